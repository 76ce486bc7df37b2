/** Addresses among real daemons (5.2; T8, 1.4, 3.33): disjoint ranges, kept over restarts, taken over from a dead host. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import tap from 'tap';
import type { Test } from 'tap';
import type { Daemon } from '../../agent/demo/daemon.ts';
import { until } from '../../agent/demo/process.ts';
import { intersect, parseBlock, total } from '../../proto/ipam/block.ts';
import type { Block } from '../../proto/ipam/block.ts';
import type { NetworkRanges } from '../../agent/status.ts';
import { allKnown, startCluster } from './cluster.ts';
import { netnsTest } from './guard.ts';

// The machine may be busy: tap's own limit of 30 s is for a quiet one.
tap.setTimeout(600_000);

const RANGE = /^docker network create -d macvlan .*--ip-range (\S+) overlay\n$/;

/** Asked for until there is one: the answer waits some seconds for it, and the others may be slower. */
async function dockerRange(daemon: Daemon): Promise<string> {
  return until(`${daemon.host.name} has a range`, 30_000, async () => {
    const { status, stdout } = await daemon.client('docker-command', 'overlay');
    return status === 0 && (RANGE.exec(stdout)?.[1] ?? `no range in ${stdout}`);
  });
}

async function rangesOf(daemon: Daemon): Promise<NetworkRanges['ranges']> {
  const [overlay] = await daemon.json<NetworkRanges[]>('networks', 'ranges', 'overlay');
  return overlay!.ranges;
}

const blocks = (cidrs: readonly string[]): Block[] => cidrs.map((cidr) => parseBlock(cidr)!.block);

function expectDisjoint(t: Test, lists: readonly (readonly string[])[], what: string): void {
  for (const [i, a] of lists.entries())
    for (const b of lists.slice(i + 1)) t.strictSame(intersect(blocks(a), blocks(b)), [], what);
}

netnsTest('5.2, T8: every host has its own addresses, also after restarts and deaths', [], async (t) => {
  const cluster = await startCluster(t, { hosts: 3 });
  const { daemons } = cluster;
  const { hosts } = cluster.testbed;
  const given = await Promise.all(daemons.map((daemon) => dockerRange(daemon)));
  expectDisjoint(
    t,
    given.map((cidr) => [cidr]),
    'what Docker hands out is disjoint',
  );
  for (const cidr of given) t.equal(total(blocks([cidr])), 256n, cidr);

  let shown: NetworkRanges['ranges'] = [];
  await until('all hosts have ranges, a copy elsewhere, and nothing under way', 20_000, async () => {
    shown = await rangesOf(daemons[0]!);
    return (
      shown.length === 3 &&
      shown.flatMap(({ docker }) => docker).length === 3 &&
      shown.every(({ guardians, moving }) => guardians.length > 0 && moving.length === 0)
    );
  });
  expectDisjoint(
    t,
    shown.map(({ cidrs }) => cidrs),
    'ranges are disjoint',
  );
  t.equal(total(shown.flatMap(({ cidrs }) => blocks(cidrs))), 65_536n, 'and are the whole subnet together');
  t.strictSame(shown.flatMap(({ docker }) => docker).sort(), [...given].sort(), 'Docker’s part is marked');

  // kill -9 and back with its disk; then without: only the copy at another host knows what it had.
  const restart = async (index: number, keepsDisk: boolean): Promise<void> => {
    await daemons[index]!.stop('SIGKILL');
    if (!keepsDisk) rmSync(join(hosts[index]!.scratch, 'state', 'ranges'), { recursive: true });
    const daemon = hosts[index]!.startDaemon({ join: hosts.filter((_, i) => i !== index) });
    daemons[index] = daemon;
    await allKnown(daemon, 3);
    const again = await dockerRange(daemon);
    t.equal(again, given[index], `${hosts[index]!.name} keeps its range (disk: ${keepsDisk})`);
  };
  await restart(1, true);
  await restart(2, false);
  await restart(0, true);

  // A host that runs is not taken over; one that is dead is, by whoever keeps its copy.
  const guardian = await until('the guardian of the third is known', 20_000, async () => {
    return (await rangesOf(daemons[0]!)).find(({ host }) => host === hosts[2]!.name)?.guardians[0];
  });
  const keeper = daemons.find(({ host }) => host.name === guardian)!;
  const other = daemons.find(({ host }) => host !== keeper.host && host !== hosts[2])!;
  t.match(await keeper.client('networks', 'reclaim', hosts[2]!.name), {
    status: 1,
    stderr: /Stop overlayd there/,
  });
  await daemons[2]!.stop('SIGKILL');
  await until('it may be taken over', 60_000, async () => {
    return (await keeper.client('networks', 'reclaim', hosts[2]!.name)).status === 0;
  });
  t.match(await other.client('networks', 'reclaim', 'nobody'), { status: 5, stderr: /has no addresses/ });
  t.match(keeper.log(), /taking over the addresses of a host that is gone/);
  await until('the others see whose they are', 10_000, async () => {
    const ranges = await rangesOf(other);
    const whole = total(ranges.flatMap(({ cidrs }) => blocks(cidrs)));
    return ranges.every(({ host }) => host !== hosts[2]!.name) && whole === 65_536n;
  });

  // It comes back and learns of it before it hands out anything: another range, of what is free now.
  daemons[2] = hosts[2]!.startDaemon({ join: [keeper.host] });
  await allKnown(daemons[2], 3);
  await dockerRange(daemons[2]);
  t.match(daemons[2].log(), /the addresses of this host were taken over while it was away/);
  await until('all is disjoint again', 10_000, async () => {
    const ranges = await rangesOf(other);
    return ranges.length === 3 && total(ranges.flatMap(({ cidrs }) => blocks(cidrs))) === 65_536n;
  });
  const metrics = "fetch('http://127.0.0.1:9472/metrics').then((r) => r.text()).then(console.log)";
  const { stdout } = await other.host.exec([process.execPath, '-e', metrics]);
  t.match(stdout, /overlayd_addresses_free\{network="overlay"\} [1-9]/);
});

netnsTest('3.33: of two hosts the founder is gone for good: an operator’s word', [], async (t) => {
  const cluster = await startCluster(t, { hosts: 2 });
  const { hosts } = cluster.testbed;
  const given = await Promise.all(cluster.daemons.map((daemon) => dockerRange(daemon)));
  // Of hosts that have it in their configuration the first by name founds a pool.
  const [gone, left] = [0, 1];
  t.match(cluster.daemons[left]!.log(), /has its addresses from another host/);
  await until('the founder has a copy of its own elsewhere', 20_000, async () => {
    const ranges = await rangesOf(cluster.daemons[left]!);
    return ranges.length === 2 && ranges.every(({ guardians }) => guardians.length > 0);
  });
  await Promise.all(cluster.daemons.map((daemon) => daemon.stop('SIGKILL')));
  const daemon = hosts[left]!.startDaemon({ join: [hosts[gone]!] });
  await until('it answers', 30_000, () => daemon.status().catch(() => undefined));
  const refused = await daemon.client('docker-command', 'overlay');
  t.match(refused, { status: 1, stderr: /must hear from .* first.*networks reclaim/s });
  await until('its word is taken', 60_000, async () => {
    return (await daemon.client('networks', 'reclaim', hosts[gone]!.name)).status === 0;
  });
  t.equal(await dockerRange(daemon), given[left], 'it keeps what it had');

  rmSync(join(hosts[gone]!.scratch, 'state', 'ranges'), { recursive: true });
  const fresh = hosts[gone]!.startDaemon({ join: [hosts[left]!] });
  await allKnown(fresh, 2);
  const again = await dockerRange(fresh);
  expectDisjoint(t, [[again], [given[left]!]], 'and the new one gets something of it');
});
