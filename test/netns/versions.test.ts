/** Checklist 3.7: hosts of two releases in one encrypted network; --wire-version makes one speak as the older one did. */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import tap from 'tap';
import type { Daemon } from '../../agent/demo/daemon.ts';
import type { Host } from '../../agent/demo/hosts.ts';
import { until } from '../../agent/demo/process.ts';
import { allLearnt, startCluster, unreachable } from './cluster.ts';
import { netnsTest } from './guard.ts';

tap.setTimeout(600_000);

const KEY = randomBytes(32).toString('base64');
const SPEC = 'name=overlay,vni=4096,subnet=10.42.0.0/16,tap=tap0,encrypted';

netnsTest(
  '3.7 one host speaks the lowest version, the others the newest: all pairs carry traffic',
  ['ping'],
  async (t) => {
    const argsOf = (host: Host): string[] => {
      const keyring = join(host.scratch, 'keyring');
      writeFileSync(keyring, `${KEY}\n`, { mode: 0o600 });
      const old = host.number === 2 ? ['--wire-version', '1'] : [];
      return ['--keyring', keyring, '--network', SPEC, '--rekey-interval', '5s', ...old];
    };
    const { testbed, daemons } = await startCluster(t, { hosts: 3, argsOf });
    const containers = testbed.hosts.map((host) => host.addContainer());
    const versions = async (daemon: Daemon): Promise<Record<string, object | undefined>> =>
      Object.fromEntries((await daemon.peers()).map(({ name, protocol }) => [name, protocol]));
    const [first, second] = daemons as [Daemon, Daemon];
    await until('sessions stand', 30_000, async () =>
      (await Promise.all(daemons.map((daemon) => daemon.peers()))).flat().every(({ sealed }) => sealed),
    );
    t.strictSame(await versions(first), { h2: { state: 1, tunnel: 1 }, h3: { state: 1, tunnel: 2 } });
    t.strictSame(await versions(second), { h1: { state: 1, tunnel: 1 }, h3: { state: 1, tunnel: 1 } });
    await allLearnt(daemons, containers);
    t.strictSame(await unreachable(containers), []);
    await until('keys are replaced at either version', 30_000, async () =>
      (await first.peers()).every(({ session }) => (session?.rekeys ?? 0) >= 2),
    );
    t.strictSame(await versions(first), { h2: { state: 1, tunnel: 1 }, h3: { state: 1, tunnel: 2 } });
    t.strictSame(await unreachable(containers), []);
    t.match((await first.client('peers', '-o', 'wide')).stdout, /h2 .*state 1, tunnel 1/);
  },
);
