/**
 * Names, help and labels of all metrics, and how a daemon's plain numbers fill them.
 *
 * Nothing is counted here: the core and the protocol objects count, and a scrape copies. Counters are therefore reset
 * and set at each scrape. Labels have bounded cardinality: peers, networks and reasons yes, MACs and IPs never.
 */
import { Counter, Gauge, Registry, collectDefaultMetrics } from 'prom-client';
import type { DaemonMetrics, Frames } from '../status.ts';
import { VERSION } from '../version.ts';

/** The default of 10 ms would wake an idle daemon a hundred times a second. */
const EVENT_LOOP_PRECISION_MS = 200;

const DIRECTIONS: Readonly<Record<keyof Frames, string>> = {
  fromTap: 'from_tap',
  toTap: 'to_tap',
  fromTunnel: 'from_tunnel',
  toTunnel: 'to_tunnel',
};

export interface Metrics {
  readonly contentType: string;
  /** The exposition text, with `now` copied in. */
  render(now: DaemonMetrics): Promise<string>;
}

export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: EVENT_LOOP_PRECISION_MS });
  const ours = createOurs(registry);
  return {
    contentType: registry.contentType,
    render(now) {
      copy(ours, now);
      return registry.metrics();
    },
  };
}

type Ours = ReturnType<typeof createOurs>;

function createOurs(registry: Registry) {
  const registers = [registry];
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> =>
    new Counter({ name: `overlayd_${name}`, help, labelNames: [...labelNames], registers });
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[] = []): Gauge<L> =>
    new Gauge({ name: `overlayd_${name}`, help, labelNames: [...labelNames], registers });

  gauge('build_info', 'Always 1; the labels say what runs', ['version', 'node']).set(
    { version: VERSION, node: process.version },
    1,
  );
  return {
    frames: counter('frames_total', 'Ethernet frames, by where they came from or went to', ['direction']),
    bytes: counter('bytes_total', 'Bytes of these frames', ['direction']),
    verdicts: counter('verdicts_total', 'Frames that were not dropped, by what became of them', ['verdict']),
    drops: counter('drops_total', 'Frames and datagrams dropped, by reason', ['reason']),
    fdbEntries: gauge('fdb_entries', 'Forwarding entries, local and remote', ['network']),
    addressesOwned: gauge('addresses_owned', 'Addresses that this host may hand out', ['network']),
    addressesFree: gauge('addresses_free', 'Of these, addresses not in use', ['network']),
    members: gauge('members', 'Hosts of the cluster, by state', ['state']),
    peerRtt: gauge('peer_rtt_seconds', 'Round trip to a host', ['peer']),
    pathMtu: gauge('path_mtu_bytes', 'Largest underlay packet that reaches a host unfragmented', ['peer']),
    peerLoss: gauge('peer_loss_ratio', 'Share of small path probes to a host that were not answered lately', [
      'peer',
    ]),
    pathProbes: counter('path_probes_total', 'Path probes and answers, by what became of them', ['event']),
    shrunk: counter('frames_shrunk_total', 'Frames cut smaller than sent, because their path takes no more'),
    tooBigTold: counter('too_big_told_total', 'Senders told by ICMP that a packet is too big for its path'),
    sealedSessions: gauge('sealed_sessions', 'Sessions with other hosts that seal traffic'),
    rekeys: counter('rekeys_total', 'Sessions replaced by a new one'),
    gossip: counter('gossip_messages_total', 'Gossip messages, by type', ['type', 'direction']),
    gossipSealed: counter('gossip_sealed_total', 'Packets and streams of gossip, sealed and in clear', [
      'direction',
      'sealed',
    ]),
    gossipDrops: counter('gossip_drops_total', 'Gossip messages not understood or refused', ['reason']),
    stateRefused: counter('state_refused_total', 'Signed pieces of other hosts’ records not taken in', [
      'reason',
    ]),
    stateDrops: counter('state_drops_total', 'Messages of the replicated state malformed or without room', [
      'reason',
    ]),
    stateWithheld: counter(
      'state_withheld_total',
      'Questions to an owner because a copy stayed unlike what it signed',
    ),
    stateDivergences: counter(
      'state_divergences_total',
      'Copies that differed where they had to be the same; must stay 0',
    ),
    tableRepairs: counter('table_repairs_total', 'Forwarding rows that differed from the cluster state'),
    loopStall: gauge('loop_stall_seconds', 'Longest pause of the packet loop since the last scrape'),
  };
}

function copy(ours: Ours, now: DaemonMetrics): void {
  for (const key of Object.keys(DIRECTIONS) as (keyof Frames)[]) {
    setCounter(ours.frames, { direction: DIRECTIONS[key] }, now.frames[key]);
    setCounter(ours.bytes, { direction: DIRECTIONS[key] }, now.bytes[key]);
  }
  for (const [verdict, count] of Object.entries(now.verdicts)) setCounter(ours.verdicts, { verdict }, count);
  for (const [reason, count] of Object.entries(now.drops)) setCounter(ours.drops, { reason }, count);
  copyGauge(ours.fdbEntries, 'network', now.fdbEntries);
  copyGauge(ours.addressesOwned, 'network', byName(now.addresses, 'owned'));
  copyGauge(ours.addressesFree, 'network', byName(now.addresses, 'free'));
  copyGauge(ours.members, 'state', now.members);
  copyGauge(ours.peerRtt, 'peer', now.peerRttSeconds);
  copyGauge(ours.pathMtu, 'peer', now.pathMtuBytes);
  copyGauge(ours.peerLoss, 'peer', now.peerLossRatio);
  for (const [event, count] of now.pathProbes) setCounter(ours.pathProbes, { event }, count);
  setCounter(ours.shrunk, {}, now.fitted.shrunk);
  setCounter(ours.tooBigTold, {}, now.fitted.told);
  ours.sealedSessions.set(now.sealedSessions);
  setCounter(ours.rekeys, {}, now.rekeys);
  for (const [key, count] of now.gossip) copyGossip(ours, key, count);
  copyState(ours, now.state);
  setCounter(ours.tableRepairs, {}, now.tableRepairs);
  ours.loopStall.set(now.loopStallSeconds);
}

/** Keys are `type:in`, `type:out`, `drop:reason` and `seal:[clear-]in|out`. */
function copyGossip(ours: Ours, key: string, count: number): void {
  const [first = '', second = ''] = key.split(':');
  if (first === 'drop') setCounter(ours.gossipDrops, { reason: second }, count);
  else if (first === 'seal') {
    const direction = second.replace('clear-', '');
    setCounter(ours.gossipSealed, { direction, sealed: second === direction ? 'yes' : 'no' }, count);
  } else setCounter(ours.gossip, { type: first, direction: second }, count);
}

/** Of the keys only `refused:reason`, `drop:reason`, `withheld` and `divergence`; the reasons are the code's own words. */
function copyState(ours: Ours, counts: ReadonlyMap<string, number>): void {
  for (const [key, count] of counts) {
    const [kind = '', reason = ''] = key.split(':');
    if (kind === 'refused') setCounter(ours.stateRefused, { reason }, count);
    else if (kind === 'drop') setCounter(ours.stateDrops, { reason }, count);
  }
  setCounter(ours.stateWithheld, {}, counts.get('withheld') ?? 0);
  setCounter(ours.stateDivergences, {}, counts.get('divergence') ?? 0);
}

function setCounter<L extends string>(
  counter: Counter<L>,
  labels: Partial<Record<L, string>>,
  value: number,
): void {
  counter.remove(labels);
  counter.inc(labels, value);
}

/** A row that is no longer there must not be told on as if it were. */
function copyGauge<L extends string>(
  gauge: Gauge<L>,
  label: L,
  values: Readonly<Record<string, number>>,
): void {
  gauge.reset();
  for (const [name, value] of Object.entries(values)) {
    gauge.set({ [label]: name } as Record<L, string>, value);
  }
}

function byName(rows: DaemonMetrics['addresses'], part: 'owned' | 'free'): Record<string, number> {
  return Object.fromEntries(rows.map((row) => [row.name, row[part]]));
}
