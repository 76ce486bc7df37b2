/** What any Ethernet must carry, checked between containers on different hosts. */
import type { Test } from 'tap';
import type { Container } from '../../agent/demo/hosts.ts';
import { sleep, until } from '../../agent/demo/process.ts';
import { transfer } from '../../agent/demo/transfer.ts';
import type { Cluster } from './cluster.ts';
import { pairs, unreachable } from './cluster.ts';
import { serve, traffic } from './traffic.ts';

const TRANSFER_BYTES = 32 << 20;
const DATAGRAMS = 2000;
/**
 * Reasons that healthy traffic never gives. While a cluster forms, frames may well come from a host not known yet
 * (`not-a-member`), or be flooded to a host that knows the owner to be elsewhere (`split-horizon`).
 */
const FAULTS = ['truncated', 'oversize', 'bad-offload', 'bad-source', 'arp-mismatch', 'too-big'].concat([
  'bad-vxlan',
  'unknown-vni',
  'send-failed',
  'write-failed',
  'fdb-full',
]);
/** In which a second copy of a datagram would have come. */
const SECOND_COPY_MS = 300;
const IPV4_ICMP_HEADERS = 28;
const IPV6_ICMP_HEADERS = 48;
const IPV4_UDP_HEADERS = 28;

/** Runs all of them; `containers` stand on different hosts, the first sends. */
export async function checkLan(t: Test, cluster: Cluster, containers: readonly Container[]): Promise<void> {
  const [first, second] = containers;
  if (first === undefined || second === undefined) throw new Error('two containers are needed');
  const mtu = (await cluster.daemons[0]?.status())?.networks[0]?.mtu ?? 0;

  await checkAccounts(t, cluster, async () => {
    t.strictSame(await unreachable(containers), [], 'every container answers every other, IPv4 and IPv6');
  });
  await checkFullFrames(t, containers, mtu);
  for (const address of [second.ipv4, second.ipv6]) {
    await checkTransfer(t, first, second, address);
    await checkDatagrams(t, first, second, address, mtu);
  }
  await checkBroadcast(t, first, containers);
  await checkMulticast(t, first, containers);
  await checkNoFaults(t, cluster);
}

/** Datagrams that the data paths of all hosts sent, and that they took in for it, not for control, so far. */
async function accounts({ daemons }: Cluster): Promise<[sent: number, taken: number]> {
  const get = "fetch('http://127.0.0.1:9472/metrics').then((got) => got.text()).then(console.log)";
  const texts = await Promise.all(daemons.map((daemon) => daemon.host.exec([process.execPath, '-e', get])));
  const sum = (metric: string): number =>
    texts.reduce((all, { stdout }) => all + Number(stdout.split(`${metric} `)[1]?.split('\n')[0]), 0);
  const taken = sum('overlayd_frames_total{direction="from_tunnel"}');
  const punted = sum('overlayd_verdicts_total{verdict="punted"}');
  return [sum('overlayd_frames_total{direction="to_tunnel"}'), taken - punted];
}

/** The same when nothing is on its way: what was sent, but not counted as taken in yet, would be missed for good. */
async function restingAccounts(cluster: Cluster): Promise<[sent: number, taken: number]> {
  let last = await accounts(cluster);
  await until('nothing is on its way', 20_000, async () => {
    const before = last;
    last = await accounts(cluster);
    return last[0] === before[0] && last[1] === before[1];
  });
  return last;
}

/** Of light traffic, every datagram that one host sent was taken in by another, and none twice. */
async function checkAccounts(t: Test, cluster: Cluster, work: () => Promise<void>): Promise<void> {
  // Before that, some came from hosts that were not known yet.
  await until('every host knows where the others are', 10_000, async () => {
    const peers = await Promise.all(cluster.daemons.map((daemon) => daemon.peers()));
    return peers.flat().every(({ pathMtu }) => pathMtu !== undefined);
  });
  const before = await restingAccounts(cluster);
  await work();
  let sums = [0, 0];
  await until('as many datagrams came in as went out', 10_000, async () => {
    sums = (await accounts(cluster)).map((now, i) => now - (before[i] ?? 0));
    return sums[0] === sums[1];
  }).catch(() => undefined);
  t.ok((sums[0] ?? 0) > 0, 'the traffic went through the tunnel');
  t.equal(sums[1], sums[0], 'datagrams taken in by all hosts = datagrams sent by all hosts');
}

/** Healthy traffic is never dropped for being broken, refused, or failed to be written. */
async function checkNoFaults(t: Test, { daemons }: Cluster): Promise<void> {
  for (const daemon of daemons) {
    const { drops } = await daemon.status();
    for (const reason of FAULTS)
      t.equal(drops[reason] ?? 0, 0, `${daemon.host.name}: no frame dropped as ${reason}`);
  }
}

/** Frames of exactly the TAP's MTU pass with DF set, and one byte more is refused by the container's own kernel. */
async function checkFullFrames(t: Test, containers: readonly Container[], mtu: number): Promise<void> {
  for (const [from, to] of pairs(containers)) {
    for (const [address, headers] of [
      [to.ipv4, IPV4_ICMP_HEADERS],
      [to.ipv6, IPV6_ICMP_HEADERS],
    ] as const) {
      const ping = ['ping', '-n', '-M', 'do', '-c', '3', '-i', '0.2', '-w', '5', '-s'];
      const full = await from.exec([...ping, `${mtu - headers}`, address]);
      t.match(full.stdout, '3 received', `${from.name} -> ${address}: ${mtu} bytes with DF`);
    }
  }
  const [from, to] = containers;
  if (from === undefined || to === undefined) return;
  const above = await from.exec([
    'ping',
    '-n',
    '-M',
    'do',
    '-c',
    '1',
    '-W',
    '1',
    '-s',
    `${mtu - 27}`,
    to.ipv4,
  ]);
  t.match(
    above.stdout + above.stderr,
    /message too long/i,
    'one byte above the MTU is refused at the sender',
  );
}

async function checkTransfer(t: Test, from: Container, to: Container, address: string): Promise<void> {
  const { sent, received } = await transfer(from, to, address, { bytes: TRANSFER_BYTES, hash: true });
  t.equal(received.bytes, TRANSFER_BYTES, `all of a TCP stream arrives at ${address}`);
  t.equal(received.sha256, sent.sha256, 'unchanged');
}

/** Echoed datagrams of three sizes: tiny, full frame, and one that the sender's kernel must fragment. */
async function checkDatagrams(
  t: Test,
  from: Container,
  to: Container,
  address: string,
  mtu: number,
): Promise<void> {
  const echo = await serve(to, 'udp-echo', address, '7');
  const full = mtu - (address.includes(':') ? IPV6_ICMP_HEADERS : IPV4_UDP_HEADERS);
  for (const bytes of [18, full, 4000]) {
    const done = await traffic(from, 'udp-count', address, '7', `${DATAGRAMS}`, `${bytes}`);
    const count = JSON.parse(done.stdout) as { sent: number; echoed: number; corrupt: number };
    t.equal(count.sent, DATAGRAMS, `${DATAGRAMS} datagrams of ${bytes} bytes to ${address}`);
    t.equal(count.corrupt, 0, 'none comes back changed');
    // UDP promises nothing, and the machine may be busy; a broken path loses far more.
    t.ok(count.echoed >= DATAGRAMS * 0.99, `nearly all come back (${count.echoed})`);
  }
  await echo.stop('SIGKILL');
}

async function checkBroadcast(t: Test, from: Container, containers: readonly Container[]): Promise<void> {
  const others = containers.filter((container) => container !== from);
  const listeners = await Promise.all(others.map((container) => serve(container, 'udp-listen', '6767')));
  await traffic(from, 'udp-send', '10.42.255.255', '6767', 'to-all');
  for (const [index, listener] of listeners.entries()) {
    const heard = (): number => listener.log().split(`${from.ipv4} to-all`).length - 1;
    await until(`${others[index]?.name} hears the broadcast`, 5000, () => heard() > 0);
    await sleep(SECOND_COPY_MS);
    t.equal(heard(), 1, `${others[index]?.name} hears a broadcast once`);
    await listener.stop('SIGKILL');
  }
}

/** The groups of mDNS, IPv4 and IPv6 (RFC 6762). */
async function checkMulticast(t: Test, from: Container, containers: readonly Container[]): Promise<void> {
  const others = containers.filter((container) => container !== from);
  for (const [group, ifaceOf] of [
    ['224.0.0.251', (container: Container): string => container.ipv4],
    ['ff02::fb', (): string => '::%eth0'],
  ] as const) {
    const listeners = await Promise.all(
      others.map((container) => serve(container, 'udp-listen', '5353', group, ifaceOf(container))),
    );
    await traffic(from, 'udp-send', group, '5353', 'query', ifaceOf(from));
    for (const [index, listener] of listeners.entries()) {
      const heard = (): number => listener.log().split(' query').length - 1;
      await until(`${others[index]?.name} hears ${group}`, 5000, () => heard() > 0);
      await sleep(SECOND_COPY_MS);
      t.equal(heard(), 1, `${others[index]?.name} hears ${group} once`);
      await listener.stop('SIGKILL');
    }
  }
}
