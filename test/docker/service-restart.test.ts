/**
 * Docker with its network driver run by the shipped unit, under a real systemd: kill -9 of the daemon with CAP_NET_ADMIN
 * alone (issue 5.7, T5). Docker's sandboxes are not to be seen there: descriptors are all that the next run has.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import tap from 'tap';
import { runNow, until } from '../../agent/demo/process.ts';
import { Testbed, testbedProblem } from '../../agent/demo/testbed.ts';
import { missing, rootTest } from '../netns/guard.ts';
import { systemdProblem } from '../netns/systemd-host.ts';
import { SystemdService } from '../netns/systemd-service.ts';
import { NumberStream } from '../netns/traffic.ts';
import { failures } from './driver-hosts.ts';
import { Engine, engineProblem } from './engine.ts';

tap.setTimeout(600_000);

const NET_ADMIN = 1n << 12n;
const PLUGIN = 'overlayd.sock';

rootTest(
  '5.7, T5: Docker over kill -9 of a driver with CAP_NET_ADMIN alone',
  testbedProblem()?.message ?? engineProblem() ?? systemdProblem() ?? missing(['findmnt']),
  async (t) => {
    const testbed = new Testbed();
    t.teardown(() => testbed.close());
    const host = testbed.addHost();
    const engine = await Engine.hold(host);
    const service = await SystemdService.start(t, host, (folder) => ({
      'docker-socket': engine.socket,
      'docker-plugin': join(folder, PLUGIN),
    }));
    const { folder } = service.systemd;
    // Where Docker looks for plugins that listen elsewhere.
    runNow(engine.inside(['mkdir', '-p', '/etc/docker/plugins']));
    const spec = [
      'sh',
      '-c',
      'echo "unix://$1" >/etc/docker/plugins/overlayd.spec',
      'sh',
      join(folder, PLUGIN),
    ];
    runNow(engine.inside(spec));
    await engine.startDockerd();
    await engine.docker(
      'network',
      'create',
      '-d',
      'overlayd',
      '--ipam-driver',
      'overlayd',
      '--subnet',
      '10.55.0.0/16',
      'blue',
    );
    const [one, two] = [await engine.run('one', 'blue'), await engine.run('two', 'blue')];
    const sandbox = await engine.docker('inspect', '-f', '{{.NetworkSettings.SandboxKey}}', 'one');
    t.notOk(existsSync(service.systemd.path(sandbox)), `${sandbox} is out of sight`);
    const stream = await NumberStream.open(one, two, two.ipv4);
    t.equal(await service.held(), 2);

    for (let round = 0; round < 2; round++) {
      await service.kill();
      await stream.advance(20);
    }
    t.equal(stream.problem(), undefined, 'the connection never broke');
    t.strictSame(await failures([one, two]), []);
    t.strictSame(new Set(await service.capabilities()), new Set([NET_ADMIN]));
    await stream.close();

    await engine.docker('restart', '-t', '0', 'two');
    const again = await engine.container('two', 'blue');
    t.strictSame(await failures([one, again]), [], 'Docker took a held TAP out, and put a new one in');
    t.equal(await service.held(), 2);
    await engine.docker('rm', '-f', 'one', 'two');
    t.equal(await service.held(), 0);
    await until('no TAP is left', 10_000, () => !host.ip('-o', 'link').includes(' ovl'));
    await engine.docker('network', 'rm', 'blue');
  },
);
