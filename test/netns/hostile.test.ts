/** Hostile and broken input: counted drops, bounded tables, and legitimate traffic flows on. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import type { Daemon } from '../../agent/demo/daemon.ts';
import type { Container, Host } from '../../agent/demo/hosts.ts';
import { Ping } from '../../agent/demo/ping.ts';
import { until } from '../../agent/demo/process.ts';
import { allLearnt, metricsOf, startCluster, unreachable } from './cluster.ts';
import { netnsTest } from './guard.ts';

const CHILD = fileURLToPath(new URL('hostile-child.js', import.meta.url));
const DATAGRAMS = 2000;
/** Source of the frames that hostile-child puts into its datagrams. */
const FORGED_MAC = '02:66:66:66:66:66';
const RSS_MAX_KIB = 200 * 1024;
const MACS_MAX = 16_384;

async function attack(place: Host | Container, ...args: readonly string[]): Promise<number> {
  const done = await place.exec([process.execPath, CHILD, ...args], 120_000);
  if (done.status !== 0) throw new Error(`${place.name}: ${args.join(' ')}: ${done.stderr}`);
  return Number(done.stdout);
}

/** Runs `act` and checks that `daemon` counts at least `frames` more drops for one of the reasons. */
async function counted(
  t: Test,
  daemon: Daemon,
  reasons: readonly string[],
  frames: number,
  act: () => Promise<unknown>,
): Promise<void> {
  const sum = async (): Promise<number> => {
    const { drops } = await daemon.status();
    return reasons.reduce((total, reason) => total + (drops[reason] ?? 0), 0);
  };
  const before = await sum();
  await act();
  const goal = before + frames;
  await until(`${daemon.host.name} counts ${frames} drops as ${reasons.join(', ')}`, 5000, async () => {
    return (await sum()) >= goal;
  });
  t.pass(`${frames} drops are counted as ${reasons.join(', ')}`);
}

function rssKib(daemon: Daemon): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${daemon.process.pid}/status`, 'utf8'))?.[1]);
}

for (const io of ['batch', 'dgram']) {
  netnsTest(`forged and broken datagrams, --io ${io}`, ['ping'], async (t) => {
    const { testbed, daemons } = await startCluster(t, { hosts: 2, args: ['--io', io] });
    const [target, member] = testbed.hosts;
    const [daemon] = daemons;
    if (target === undefined || member === undefined || daemon === undefined) throw new Error('two hosts');
    const stranger = testbed.addHost();
    const containers = testbed.hosts.slice(0, 2).map((host) => host.addContainer());
    await allLearnt(daemons, containers);
    const [first, second] = containers;
    if (first === undefined || second === undefined) throw new Error('two containers');
    const bystander = new Ping(first, second.ipv4);

    const blast = (from: Host, kind: string): Promise<number> =>
      attack(from, 'datagrams', target.ipv4, kind, `${DATAGRAMS}`);
    await counted(t, daemon, ['not-a-member'], DATAGRAMS, () => blast(stranger, 'valid:4096'));
    await counted(t, daemon, ['unknown-vni'], DATAGRAMS, () => blast(member, 'valid:4097'));
    await counted(t, daemon, ['truncated', 'bad-vxlan'], DATAGRAMS, () => blast(member, 'truncated'));
    await counted(t, daemon, ['bad-vxlan'], DATAGRAMS, () => blast(member, 'no-flag'));

    const learnt = (await daemon.fdb()).filter(({ mac }) => mac === FORGED_MAC);
    t.strictSame(learnt, [], 'the MAC inside them was not learnt');
    const sofar = bystander.count().answered;
    await until('the containers ping each other', 10_000, () => bystander.count().answered > sofar + 20);
    const count = await bystander.stop();
    t.equal(count.lost, 0, `the containers lost none of ${count.answered} pings meanwhile`);
    t.strictSame(await unreachable(containers), []);
  });
}

// One packet per call reads only a part of the flood; the kernel drops the rest before it is seen.
for (const [io, frames, refused] of [
  ['batch', 1_000_000, 1000],
  ['dgram', 50_000, 100],
] as const) {
  netnsTest(`${frames} random source MACs, --io ${io}`, ['ping'], async (t) => {
    const { testbed, daemons } = await startCluster(t, { hosts: 3, args: ['--io', io] });
    const containers = testbed.hosts.map((host) => host.addContainer());
    await allLearnt(daemons, containers);
    const [first, second, attacker] = containers;
    const daemon = daemons[2];
    if (first === undefined || second === undefined || attacker === undefined || daemon === undefined) {
      throw new Error('three of each');
    }
    const bystander = new Ping(first, second.ipv4);

    await counted(t, daemon, ['mac-quota', 'learn-rate'], refused, async () => {
      t.equal(
        await attack(attacker, 'frames', 'eth0', 'random-sources', `${frames}`),
        frames,
        'all frames are sent',
      );
    });
    for (const each of daemons) {
      const { networks } = await each.status();
      const macs = networks[0]?.macs ?? Infinity;
      t.ok(macs <= MACS_MAX, `${each.host.name} holds ${macs} MACs`);
      t.ok(rssKib(each) < RSS_MAX_KIB, `and ${rssKib(each) >> 10} MiB of memory`);
    }
    const sofar = bystander.count().answered;
    await until(
      'the other containers ping each other',
      10_000,
      () => bystander.count().answered > sofar + 20,
    );
    const count = await bystander.stop();
    t.equal(count.lost, 0, `the other containers lost none of ${count.answered} pings meanwhile`);
    t.strictSame(await unreachable(containers), [], 'the attacker too still reaches all under its own MAC');
  });
}

netnsTest('a stranger that speaks from UDP port 0 ends nothing', [], async (t) => {
  // Clear gossip: whoever pings is answered.
  const { testbed, daemons } = await startCluster(t, { hosts: 2 });
  const [target] = testbed.hosts;
  const [daemon] = daemons;
  if (target === undefined || daemon === undefined) throw new Error('two hosts');
  const stranger = testbed.addHost();
  t.equal(await attack(stranger, 'datagrams', target.ipv4, `from-port-0:${target.name}`, '20'), 20);
  await until('it is counted', 10_000, async () => /source-port"\} 20$/m.test(await metricsOf(daemon)));
  t.match(await daemon.status(), { peers: { alive: 1 } }, 'it runs, and so does its peer');
});

netnsTest('ARP that lies', ['ping'], async (t) => {
  const { testbed, daemons } = await startCluster(t, { hosts: 3 });
  const containers = testbed.hosts.map((host) => host.addContainer());
  await allLearnt(daemons, containers);
  const attacker = containers[2];
  const daemon = daemons[2];
  if (attacker === undefined || daemon === undefined) throw new Error('three of each');
  await counted(t, daemon, ['arp-mismatch'], 100, () =>
    attack(attacker, 'frames', 'eth0', 'arp-mismatch', '100'),
  );
  for (const container of containers) container.ip('neigh', 'flush', 'all');
  t.strictSame(await unreachable(containers), [], 'addresses still resolve to their owners');
});
