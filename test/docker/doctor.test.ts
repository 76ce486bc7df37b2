/** `overlayd doctor` and the traps of Docker's macvlan driver, made with a real engine (checklist T1, T4 to T6, T8). */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import tap from 'tap';
import { run, until } from '../../agent/demo/process.ts';
import type { HostRange } from '../../agent/ipam/interface.ts';
import type { Finding } from '../../agent/doctor/finding.ts';
import { startCluster } from '../netns/cluster.ts';
import { dockerTest } from './driver-hosts.ts';
import { Engine } from './engine.ts';

tap.setTimeout(600_000);

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

dockerTest(
  'T8: Docker hands out what is another host’s, also while no daemon runs; the cure cures',
  async (t) => {
    const network = 'name=overlay,vni=4096,subnet=10.42.0.0/16,gateway=10.42.255.254';
    const { testbed, daemons } = await startCluster(t, { hosts: 2, args: ['--network', network] });
    const [daemon, other] = daemons;
    const [host] = testbed.hosts;
    if (daemon === undefined || other === undefined || host === undefined) throw new Error('two hosts');
    const engine = await Engine.start(host);
    const config = join(host.scratch, 'overlayd.yaml');
    writeFileSync(
      config,
      `advertise-addr: ${host.ipv4}\nstate-dir: ${host.scratch}/state\nnetworks:\n` +
        '  - { name: overlay, vni: 4096, subnet: 10.42.0.0/16, gateway: 10.42.255.254, tap: tap0 }\n',
    );
    const doctor = async (): Promise<Finding[]> => {
      const verb = [process.execPath, MAIN, 'doctor', '--socket', daemon.socket, '-o', 'json'];
      const { stdout } = await run(
        engine.inside([...verb, '--config', config, '--docker-socket', engine.socket]),
      );
      return (JSON.parse(stdout) as Finding[]).filter(({ check }) => /^docker-t[68]$/.test(check));
    };
    const words = [
      '-d',
      'macvlan',
      '-o',
      'parent=tap0',
      '-o',
      'macvlan_mode=vepa',
      '--subnet',
      '10.42.0.0/16',
    ];
    const gateway = ['--gateway', '10.42.255.254'];
    const found = async (...more: string[]): Promise<Finding[]> => {
      await engine.docker('network', 'create', ...words, ...more, 'ov');
      return doctor();
    };
    const remove = (): Promise<string> => engine.docker('network', 'rm', 'ov');

    // Nothing is marked for Docker here yet: the daemon is to say a range.
    const unmarked = await found(...gateway);
    t.match(unmarked, [
      {
        check: 'docker-t8',
        severity: 'warn',
        what: /"ov": without --ip-range Docker hands out the same addresses on every host/,
        cure: 'docker network rm ov; sh -c "$(overlayd docker-command overlay)"',
      },
    ]);
    await remove();
    const rangeOf = async (of: typeof daemon): Promise<string> => {
      const { stdout } = await of.client('docker-command', 'overlay');
      return /--ip-range (\S+)/.exec(stdout)?.[1] ?? '';
    };
    const [mine, theirs] = [await rangeOf(daemon), await rangeOf(other)];
    await until('the host knows what the other has for Docker', 10_000, async () => {
      const { ranges } = (
        await daemon.json<readonly { readonly ranges: readonly HostRange[] }[]>('networks', 'ranges')
      )[0]!;
      return ranges.some(({ host: name, docker }) => name === 'h2' && docker.includes(theirs));
    });
    const cure = `docker network rm ov; docker network create -d macvlan -o parent=tap0 -o macvlan_mode=vepa --subnet 10.42.0.0/16 --gateway 10.42.255.254 --ip-range ${mine} ov`;
    t.strictSame(await found(...gateway), [{ ...unmarked[0], cure }]);
    await remove();
    const [a, b, c] = theirs.split('.');
    const kept = `${a}.${b}.${c}.9`;
    t.match(await found(...gateway, '--ip-range', mine, '--aux-address', `router=${kept}`), [
      { check: 'docker-t8', severity: 'warn', what: new RegExp(`keeps ${kept} .*Docker on h2 hands it out`) },
    ]);
    await remove();
    t.match(await found('--ip-range', mine), [
      { check: 'docker-t6', severity: 'warn', what: /that of network "overlay" is 10\.42\.255\.254/, cure },
    ]);
    await remove();

    const belongs = {
      check: 'docker-t8',
      severity: 'error',
      what: `Docker network "ov": it hands out ${theirs}, which belongs to h2; this host's part is ${mine}`,
      cure,
    };
    t.strictSame(await found(...gateway, '--ip-range', theirs), [belongs]);
    await daemon.stop();
    t.strictSame(await doctor(), [belongs], 'from the files alone');
    for (const command of cure.split('; ')) await engine.docker(...command.split(' ').slice(1));
    t.strictSame(await doctor(), []);
  },
);
