/**
 * What it costs a replica to get what it lacks of 100,000 endpoints: after missed changes, and all of it.
 *
 * 200 owners with 500 endpoints each; three hosts take part in the network and hold it all.
 */
import { State } from '../../proto/state/state.ts';
import { TABLE } from '../../proto/state/interface.ts';
import { encodeInterest, interestKey } from '../../proto/state/values/interest.ts';
import { encodeMeta } from '../../proto/swim/meta.ts';
import { SeededRng } from '../../proto/rng.ts';
import { fakeSigner, fakeVerifier } from '../../test/proto/state/fake-identity.ts';
import { Cluster, VNI, WALL_MS, macOf } from './cluster.ts';
import type { BenchHost } from './cluster.ts';
import type { Figure, Part } from './figure.ts';
import { StateHost } from './state-host.ts';

const OWNERS = 200;
const ENDPOINTS = 500;
const HOLDERS = 3;
/** Longer than HEADS repeat themselves: only anti-entropy can find it. */
const DEAF_MS = 15_000;
const CUT_MS = 60_000;
const PATIENCE_MS = 300_000;
const LOOK_MS = 100;
const MISSED = [1, 100, 10_000] as const;
const ONE_TARGET_BYTES = 8_000;
const FULL_TARGET_BYTES = 6_000_000;

export const RESYNC: readonly Part[] = [{ id: 'resync', measure }];

function measure(seed: number): Figure[] {
  const cluster = new Cluster({ seed, hosts: OWNERS, interested: HOLDERS, endpoints: ENDPOINTS });
  cluster.sim.run(5_000);
  return [...MISSED.flatMap((changes) => missed(cluster, changes)), ...back(cluster), ...full(cluster, seed)];
}

const holders = (cluster: Cluster): readonly BenchHost[] => cluster.hosts.slice(0, HOLDERS);

function missed(cluster: Cluster, changes: number): Figure[] {
  const { sim, hosts } = cluster;
  const victim = hosts[0]!;
  victim.layer.isDeaf = true;
  for (let c = 0; c < changes; c++) {
    const host = HOLDERS + (c % (OWNERS - HOLDERS));
    cluster.put(hosts[host]!, macOf(host, Math.floor(c / (OWNERS - HOLDERS))), changes);
  }
  sim.run(DEAF_MS);
  victim.layer.isDeaf = false;
  const began = sim.now;
  const { traffic } = victim.layer;
  const before = traffic.in + traffic.out;
  const isDone = sim.runUntil(() => cluster.agree(holders(cluster)), PATIENCE_MS, LOOK_MS);
  const bytes = traffic.in + traffic.out - before;
  const text = changes.toLocaleString('en');
  const note = `${OWNERS} owners, 100,000 endpoints; state messages of the one that lost them, both ways; found by anti-entropy`;
  const figures: Figure[] = [
    {
      id: `resync-bytes/${changes}`,
      title: `mending ${text} missed change${changes === 1 ? '' : 's'}`,
      unit: 'B',
      value: isDone ? bytes : Infinity,
      ...(changes === 1 && { target: ONE_TARGET_BYTES }),
      note,
    },
    {
      id: `resync-time/${changes}`,
      title: `… time from the end of the fault, ${text}`,
      unit: 's',
      value: isDone ? (sim.now - began) / 1_000 : Infinity,
    },
  ];
  sim.run(30_000);
  return figures;
}

/** A host that was cut off, declared dead, and comes back. */
function back(cluster: Cluster): Figure[] {
  const { sim, hosts } = cluster;
  const victim = hosts[0]!;
  const others = hosts.slice(1).map(({ node }) => node.addr.ip);
  sim.network.partition([[victim.node.addr.ip], others]);
  cluster.put(hosts[HOLDERS]!, macOf(HOLDERS, 1), 77_777);
  sim.run(CUT_MS);
  sim.network.heal();
  const { traffic } = victim.layer;
  const [began, before] = [sim.now, traffic.in + traffic.out];
  const isBack = (): boolean => hosts.every(({ node }) => node.alive().length === OWNERS);
  const isDone = sim.runUntil(() => isBack() && cluster.agree(holders(cluster)), PATIENCE_MS, LOOK_MS);
  const figure = (id: string, title: string, unit: string, value: number): Figure => ({
    id,
    title,
    unit,
    value: isDone ? value : Infinity,
  });
  const bytes = traffic.in + traffic.out - before;
  return [
    figure('back-bytes', 'back after a minute alone among 200 hosts', 'B', bytes),
    figure('back-time', '… time from the end of the fault', 's', (sim.now - began) / 1_000),
  ];
}

/** A host that was never there. */
function full(cluster: Cluster, seed: number): Figure[] {
  const { sim, hosts } = cluster;
  const state = new State(
    { node: 'new', epoch: BigInt(WALL_MS) },
    {
      rng: new SeededRng(seed),
      wall: () => WALL_MS + sim.now,
      signer: fakeSigner('new'),
      verifier: fakeVerifier,
    },
  );
  const layer = new StateHost(state);
  const began = sim.now;
  state.put(began, 0, TABLE.interest, interestKey(VNI), encodeInterest());
  const node = sim.addNode({
    name: 'new',
    ip: '10.9.9.9',
    seeds: [hosts[1]!.node.addr],
    meta: encodeMeta({ stateProtocolMin: 1, stateProtocolMax: 1, epoch: BigInt(WALL_MS) }),
    layer: () => layer,
  });
  const all = [...holders(cluster), { name: 'new', node, layer }];
  const isDone = sim.runUntil(() => cluster.agree(all), PATIENCE_MS, LOOK_MS);
  return [
    {
      id: 'full-sync-bytes',
      title: 'first full sync of 100,000 endpoints',
      unit: 'B',
      value: isDone ? layer.traffic.in + layer.traffic.out : Infinity,
      target: FULL_TARGET_BYTES,
      note: 'state messages, both ways, at 256 KiB/s a server',
    },
    {
      id: 'full-sync-time',
      title: '… time from start to agreement',
      unit: 's',
      value: isDone ? (sim.now - began) / 1_000 : Infinity,
    },
  ];
}
