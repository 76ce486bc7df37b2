/** `overlayd doctor` and the traps of Docker's macvlan driver, made with a real engine (checklist T1, T4 to T6, T8). */
import { fileURLToPath } from 'node:url';
import tap from 'tap';
import { run, until } from '../../agent/demo/process.ts';
import type { Finding } from '../../agent/doctor/finding.ts';
import { startCluster } from '../netns/cluster.ts';
import { dockerTest } from './driver-hosts.ts';
import { Engine } from './engine.ts';

tap.setTimeout(90_000);

const MAIN = fileURLToPath(new URL('../../agent/main.js', import.meta.url));
const SUBNET = ['--subnet', '10.42.0.0/16', '--gateway', '10.42.255.254'];

dockerTest(
  'T1, T4, T5, T6, T8: each trap is found, with its cure; what docker-command prints is sound',
  async (t) => {
    const args = [
      '--network',
      'name=overlay,vni=4096,subnet=10.42.0.0/16,gateway=10.42.255.254,ip-range=10.42.1.0/24',
    ];
    const { testbed, daemons } = await startCluster(t, { hosts: 2, args });
    const [daemon] = daemons;
    const [host] = testbed.hosts;
    if (daemon === undefined || host === undefined) throw new Error('two hosts');
    const engine = await Engine.start(host);
    const doctor = async (): Promise<Finding[]> => {
      // Where the engine is: Docker's process ids mean something there.
      const verb = [process.execPath, MAIN, 'doctor', '--socket', daemon.socket, '-o', 'json'];
      const { stdout } = await run(engine.inside([...verb, '--docker-socket', engine.socket]));
      return (JSON.parse(stdout) as Finding[]).filter(({ check }) => check.startsWith('docker'));
    };
    const anew = async (...create: string[]): Promise<Finding[]> => {
      await engine.docker('network', 'create', ...create, 'ov');
      const findings = await doctor();
      await engine.docker('network', 'rm', 'ov');
      return findings;
    };
    t.strictSame(await doctor(), []);

    // The seed documents' own line: no -d.
    t.match(await anew('-o', 'parent=tap0'), [
      {
        check: 'docker-t1',
        severity: 'error',
        cure: /docker network create -d macvlan -o parent=tap0 .* ov$/,
      },
    ]);
    const macvlan = ['-d', 'macvlan', '-o', 'parent=tap0', ...SUBNET];
    const range = ['--ip-range', '10.42.1.0/24'];
    t.match(await anew(...macvlan, '-o', 'macvlan_mode=vepa'), [
      { check: 'docker-t8', what: /without --ip-range/ },
    ]);
    t.match(await anew(...macvlan, ...range, '-o', 'macvlan_mode=passthru'), [
      { check: 'docker-t4', severity: 'warn' },
    ]);
    t.match(
      await anew(...macvlan, ...range, '-o', 'macvlan_mode=vepa', '-o', 'com.docker.network.driver.mtu=1300'),
      [{ check: 'docker-t6', severity: 'warn', what: /MTU 1300, which macvlan ignores/ }],
    );

    // As overlayd prints it, with a container on it.
    const [, ...words] = (await daemon.client('docker-command', 'overlay')).stdout.trim().split(/\s+/);
    await engine.docker(...words);
    await engine.run('web', 'overlay');
    t.strictSame(
      (await doctor()).filter(({ severity }) => severity !== 'info'),
      [],
    );
    // A raised MTU reaches containers when they are restarted.
    host.ip('link', 'set', 'tap0', 'mtu', '1400');
    host.ip('link', 'set', 'tap0', 'mtu', '1450');
    await until('the container that was left behind is named', 10_000, async () =>
      (await doctor()).some(
        ({ check, what }) => check === 'docker-t6' && what.startsWith('web on "overlay" still has MTU 1400'),
      ),
    );
    await daemon.stop();
    host.ip('link', 'del', 'tap0');
    const verb = [process.execPath, MAIN, 'doctor', '--socket', daemon.socket, '-o', 'json'];
    const asked = ['env', `OVERLAYD_ADVERTISE_ADDR=${host.ipv4}`, ...verb, '--docker-socket', engine.socket];
    const gone = await host.exec(asked);
    t.match(
      (JSON.parse(gone.stdout) as Finding[]).find(({ check }) => check === 'docker-t5'),
      { severity: 'error', what: /"overlay" hangs on tap0, which is not there/ },
    );
  },
);
