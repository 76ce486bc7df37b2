/** Networks added to the file and taken out of it, with SIGHUP, real daemons and containers (issue 5.7). */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Daemon } from '../../agent/demo/daemon.ts';
import { until } from '../../agent/demo/process.ts';
import type { Host } from '../../agent/demo/hosts.ts';
import type { NetworkDetail } from '../../agent/status.ts';
import { startCluster, unreachable } from './cluster.ts';
import { netnsTest } from './guard.ts';

t.setTimeout(600_000);

const OVERLAY = 'name=overlay,vni=4096,subnet=10.42.0.0/16,tap=tap0';
const BLUE = 'name=blue,vni=5000,subnet=10.50.0.0/16,tap=blue0';

const fileOf = (host: Host): string => join(host.scratch, 'overlayd.yaml');

function write(host: Host, ...networks: readonly string[]): void {
  writeFileSync(fileOf(host), JSON.stringify({ networks, 'log-format': 'json' }));
}

async function reload(daemon: Daemon, said: RegExp): Promise<void> {
  const before = daemon.log().length;
  process.kill(daemon.process.pid, 'SIGHUP');
  await until(`the log says ${said}`, 20_000, () => said.test(daemon.log().slice(before)));
}

async function names(daemon: Daemon): Promise<string> {
  return (await daemon.status()).networks.map(({ name }) => name).join();
}

netnsTest(
  '5.7 SIGHUP: a network comes by the file, is kept while in use, and goes',
  ['ping'],
  async (test) => {
    const { testbed, daemons } = await startCluster(test, {
      hosts: 2,
      argsOf: (host) => {
        write(host, OVERLAY, ...(host.number === 2 ? [BLUE] : []));
        return ['--config', fileOf(host)];
      },
    });
    const [one, two] = testbed.hosts as [Host, Host];
    const [a, b] = daemons as [Daemon, Daemon];
    const old = [one, two].map((host) => host.addContainer());
    test.notMatch(one.ip('link'), /blue0/);

    write(one, OVERLAY, BLUE);
    await reload(a, /"msg":"reloaded: networks"/);
    test.match(a.log(), /docker network create -d macvlan -o parent=blue0 --subnet 10\.50\.0\.0\/16 blue/);
    const containers = [one, two].map((host) =>
      host.addContainer({ parent: 'blue0', ipv4: `10.50.${host.number}.2` }),
    );
    await until('both are in it', 10_000, async () => {
      const all = await Promise.all(daemons.map((daemon) => daemon.status()));
      return all.every(({ networks }) => networks.find(({ name }) => name === 'blue')?.peers === 1);
    });
    test.strictSame(await unreachable(containers), [], 'containers reach each other on it');
    test.strictSame(await unreachable(old), [], 'and on the other one as before');

    // In use: refused, and nothing else is taken over either.
    write(one, `${OVERLAY},ip-range=10.42.9.0/24`);
    await reload(a, /network \\"blue\\" is not in the configuration any more, and containers are on blue0/);
    write(one, OVERLAY.replace('4096', '4097'), BLUE);
    await reload(a, /network \\"overlay\\" has its vni changed from 4096 to 4097, and hosts know it by that/);
    write(one, OVERLAY, 'name=green,vni=5001,tap=green0', BLUE, 'name=no,vni=77,tap=lo');
    await reload(a, /reload refused; everything stays as it was/);
    await until('what was begun is undone', 5_000, () => !one.ip('link').includes('green0'));
    write(one, OVERLAY, BLUE, 'name=bad,vni=x');
    await reload(a, /reload refused; everything stays as it was/);
    test.equal(await names(a), 'blue,overlay');
    test.notOk((await a.json<NetworkDetail>('networks', 'inspect', 'overlay')).ipRange);
    test.strictSame(await unreachable(containers), [], 'nothing was cut');

    // The end of a namespace comes some time after its removal; that of an interface at once.
    containers[0]!.ip('link', 'del', 'eth0');
    containers[0]!.remove();
    write(one, `${OVERLAY},ip-range=10.42.9.0/24`);
    await reload(a, /"msg":"reloaded: networks"/);
    test.notMatch(one.ip('link'), /blue0/, 'its TAP is gone');
    test.equal((await a.json<NetworkDetail>('networks', 'inspect', 'overlay')).ipRange, '10.42.9.0/24');
    await until('the other host sees it leave', 10_000, async () => {
      return (await b.status()).networks.find(({ name }) => name === 'blue')?.peers === 0;
    });
    test.strictSame(await unreachable(old), [], 'the other network goes on');
    test.match(await a.status(), { ready: true });
  },
);

netnsTest('5.7 SIGHUP: a rekey interval holds for sessions that are opened after it', [], async (test) => {
  const key = randomBytes(32).toString('base64');
  const { daemons, testbed } = await startCluster(test, {
    hosts: 2,
    argsOf: (host) => {
      const keyring = join(host.scratch, 'keyring');
      writeFileSync(keyring, `${key}\n`, { mode: 0o600 });
      write(host, OVERLAY);
      return ['--keyring', keyring, '--config', fileOf(host)];
    },
  });
  const [a, b] = daemons as [Daemon, Daemon];
  for (const [index, daemon] of daemons.entries()) {
    const config = { networks: [OVERLAY], 'log-format': 'json', 'rekey-interval': '1s' };
    writeFileSync(fileOf(testbed.hosts[index]!), JSON.stringify(config));
    await reload(daemon, /"msg":"reloaded: rekey-interval"/);
  }
  await a.client('networks', 'create', 'blue', '--encrypted');
  await a.client('networks', 'attach', 'blue');
  await until('the other knows it', 10_000, async () => (await names(b)).includes('blue'));
  await b.client('networks', 'attach', 'blue');
  await until('sessions are renewed by it', 20_000, async () => {
    const peers = (await Promise.all(daemons.map((daemon) => daemon.peers()))).flat();
    return peers.every(({ session }) => (session?.rekeys ?? 0) >= 2);
  });
});
