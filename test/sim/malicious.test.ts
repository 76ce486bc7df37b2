/**
 * A member with the cluster's key and an identity of its own that lies about others. Each run is compared with one in which
 * the same member behaves: roots and rows of the honest hosts are the same.
 */
import t, { type Test } from 'tap';
import { encodeMessage } from '../../proto/memberlist/messages.ts';
import { signBlock } from '../../proto/state/block.ts';
import { add64 } from '../../proto/state/hash.ts';
import { TABLE } from '../../proto/state/interface.ts';
import type { Update } from '../../proto/state/messages.ts';
import {
  DELTA_FLAG,
  SYNC_FLAG,
  encodeDelta,
  encodeHeads,
  encodeSync,
  encodeUpdate,
} from '../../proto/state/messages.ts';
import type { LogRecord } from '../../proto/state/record.ts';
import { TABLE_GOODBYE, recordHash } from '../../proto/state/record.ts';
import type { Signer } from '../../proto/state/signing.ts';
import { snapshotStatement, SnapshotList } from '../../proto/state/signing.ts';
import { encodeEndpoint } from '../../proto/state/values/endpoint.ts';
import { macKey, macKeyHex } from '../../proto/state/values/mac.ts';
import { encodeMeta } from '../../proto/swim/meta.ts';
import { Cluster } from '../proto/state/cluster.ts';
import { fakeSigner, fakeVerifier } from '../proto/state/fake-identity.ts';
import type { SimNode } from './sim-node.ts';
import { Simulation } from './simulation.ts';
import { VNI, addHost, agree, layerOf, learn } from './state-layer.ts';

const MAC = 0x02_00_00_00_00_01;
const EMPTY = new Uint8Array(0);
const endpoint = (mobility: number): Uint8Array => encodeEndpoint({ mobility, ips: [], flags: 0, name: '' });

interface Log {
  readonly scope: number;
  readonly owner: string;
  readonly epoch: bigint;
}

/** What mallory makes of a log of somebody else: one record at `seq`, signed by `signer`, said to be of `key`. */
function forge(log: Log, table: number, seq: number, signer: Signer, key: Uint8Array): Update {
  const isEndpoint = table === TABLE.endpoint;
  const [recordKey, value] = isEndpoint ? [macKey(MAC), endpoint(9)] : [EMPTY, EMPTY];
  const keyHex = isEndpoint ? macKeyHex(MAC) : '';
  const rest = { tombstone: false, epoch: log.epoch, seq, hlc: 1n, bornMs: 0, mark: 0, slot: 0 };
  const record: LogRecord = { table, key: recordKey, keyHex, value, ...rest };
  const head = { from: seq - 1, to: seq, digest: add64(0n, recordHash(record)) };
  const block = signBlock(log, head, [record], signer, fakeVerifier);
  block.hold(record); // or it would be sent as its hash
  return { ...log, key, from: 0, blocks: [block.toWire()] };
}

/** Every kind of lie about one victim: as its next words, as a later life, as a snapshot that lists nothing, as its good-bye. */
function lies(liar: string, victim: string, epoch: bigint): Uint8Array[] {
  const mallory = fakeSigner(liar);
  const { publicKey } = fakeSigner(victim);
  const out: Uint8Array[] = [];
  for (const scope of [0, VNI]) {
    for (const era of [epoch, epoch + 5_000n, (1n << 62n) + 1n]) {
      const log = { scope, owner: victim, epoch: era };
      for (const key of [publicKey, mallory.publicKey]) {
        for (const table of [TABLE.endpoint, TABLE_GOODBYE]) {
          const update = forge(log, table, 900, mallory, key);
          const list = new SnapshotList(fakeVerifier).hash;
          const manifest = mallory.sign(snapshotStatement(log, 900, list));
          out.push(
            encodeUpdate(update),
            encodeDelta(update, DELTA_FLAG.snapshot | DELTA_FLAG.last, manifest),
          );
          out.push(encodeDelta(update, DELTA_FLAG.repair));
        }
        const nothing = { ...log, key, from: 0, blocks: [] };
        out.push(encodeDelta(nothing, DELTA_FLAG.snapshot | DELTA_FLAG.last), encodeUpdate(nothing));
      }
      out.push(encodeHeads([{ ...log, head: 9_999 }]));
      const line = { owner: victim, epoch: era, have: 9_999, floor: 9_999, count: 0, digest: 0n };
      for (const flags of [0, SYNC_FLAG.answer]) out.push(encodeSync({ id: 7, scope, flags, lines: [line] }));
    }
  }
  return out;
}

/** What the honest hosts hold and would send frames by. */
const viewOf = (nodes: readonly SimNode[]): string[] =>
  nodes.map((node) => {
    const { state, rows } = layerOf(node);
    return [node.name, state.root(0), state.root(VNI), ...rows.lines()].join('\n');
  });

const rowsOf = (nodes: readonly SimNode[]): string =>
  nodes.map((node) => layerOf(node).rows.lines().join('\n')).join('\n\n');

/** Every honest host hears every lie about every one of them, over UDP and TCP. */
function tellLies(mallory: SimNode, honest: readonly SimNode[]): void {
  for (const victim of honest) {
    const { epoch } = layerOf(victim).state;
    for (const bytes of lies(mallory.name, victim.name, epoch)) {
      for (const { addr } of honest) {
        mallory.do((swim, now) => swim.sendUser(now, addr, bytes));
        mallory.do((swim, now) => swim.sendUserReliable(now, addr, bytes));
      }
    }
  }
}

/** To all but the victim: that it has left, in its own name, and that it is there with another epoch in its Meta. */
function tellOfMember(sim: Simulation, mallory: SimNode, honest: readonly SimNode[], victim: SimNode): void {
  const { name, addr, incarnation } = victim.swim.self;
  const meta = encodeMeta({ stateProtocolMin: 1, stateProtocolMax: 1, epoch: 1n << 62n });
  const where = { addr: Uint8Array.from(addr.ip.split('.').map(Number)), port: addr.port };
  const vsn = Uint8Array.of(1, 5, 2, 2, 5, 4);
  const lie = [
    encodeMessage({ type: 'dead', node: name, from: name, incarnation }),
    encodeMessage({ type: 'alive', node: name, incarnation: incarnation + 2, meta, vsn, ...where }),
    encodeMessage({ type: 'dead', node: name, from: name, incarnation: incarnation + 2 }),
  ];
  for (const to of honest) {
    if (to !== victim) for (const bytes of lie) sim.network.send(mallory.addr, to.addr, bytes);
  }
}

/** Four honest hosts and n5, which lies or does not: the views of the four at the end. */
function playCluster(test: Test, seed: number, isEvil: boolean): string[] {
  const sim = new Simulation(seed);
  const nodes = Array.from({ length: 5 }, () => addHost(sim));
  const [honest, mallory] = [nodes.slice(0, 4), nodes[4]!];
  nodes.forEach((node, i) => learn(node, MAC + i, `10.42.0.${i + 2}`));
  sim.run(40_000);
  const before = rowsOf(honest);
  if (isEvil) tellLies(mallory, honest);
  for (let i = 0; i < 12; i++) {
    const victim = honest[i % 4]!;
    if (isEvil) tellOfMember(sim, mallory, honest, victim);
    let heard = 0;
    for (let j = 0; j < 400; j++) {
      sim.run(5);
      heard = Math.max(heard, left(honest, victim));
      if (rowsOf(honest) !== before) test.fail(`rows changed after lie ${i}`);
    }
    test.equal(heard > 0, isEvil, 'a lie is heard');
    test.equal(left(honest, victim), 0, 'it was refuted');
  }
  honest[1]!.crash();
  sim.run(3_000);
  honest[1]!.start();
  learn(honest[1]!, MAC + 1, '10.42.0.3');
  sim.run(2_000);
  if (isEvil) tellLies(mallory, honest);
  sim.run(60_000);
  test.ok(agree(honest), 'the honest agree');
  test.equal(rowsOf(honest), before, 'rows after a restart');
  for (const node of honest) {
    const { state } = layerOf(node);
    test.notOk(state.counters().get('renumbered'), 'nobody took a lie about itself for its own past');
    if (isEvil) test.ok((state.counters().get('refused:signature') ?? 0) > 0, 'forgeries were looked at');
  }
  return viewOf(honest);
}

/** How many of the others hold the victim to be gone. */
const left = (honest: readonly SimNode[], victim: SimNode): number =>
  honest.filter((node) => node !== victim && node.stateOf(victim.name) === 'left').length;

for (const seed of [1, 2]) {
  void t.test(`seed ${seed}: forged logs, leaves and epochs change nothing`, (test) => {
    const quiet = playCluster(test, seed, false);
    test.same(playCluster(test, seed, true), quiet);
    test.end();
  });
}

const NAMES = ['a', 'b', 'c', 'm'];

function announce(cluster: Cluster, name: string, mac: number): void {
  cluster.state(name).put(cluster.now, VNI, TABLE.endpoint, macKey(mac), endpoint(0));
}

/**
 * m records all there is to record: first words, moves, deletions, the good-byes of b (which comes back) and of d (which does
 * not). A day later, after restarts of a speaker and of a listener, it says all of it again to everybody.
 */
function playDay(seed: number, isEvil: boolean): { views: string[]; recorded: number; refused: number } {
  const cluster = new Cluster(seed);
  const tape: Uint8Array[] = [];
  cluster.onDelivery = (bytes) => tape.push(bytes.slice());
  for (const name of [...NAMES, 'd']) cluster.start(name, [VNI]);
  cluster.meet();
  cluster.run(2_000);
  [...NAMES, 'd'].forEach((name, i) => announce(cluster, name, MAC + i));
  announce(cluster, 'a', MAC + 50);
  cluster.run(2_000);
  cluster.state('a').delete(cluster.now, VNI, TABLE.endpoint, macKey(MAC + 50));
  cluster.leave('b');
  cluster.leave('d');
  cluster.run(40_000);
  cluster.onDelivery = () => {};
  const b = cluster.hosts.get('b')!;
  b.alive = true;
  b.state.renew(cluster.now);
  cluster.meet();
  cluster.run(24 * 3_600_000);
  for (const name of ['a', 'c']) {
    cluster.crash(name);
    cluster.run(1_000);
    cluster.start(name, [VNI]);
    announce(cluster, name, MAC + NAMES.indexOf(name));
    if (isEvil) replay(cluster, tape);
    cluster.meet();
    if (isEvil) replay(cluster, tape);
    cluster.run(60_000);
  }
  if (isEvil) replay(cluster, tape);
  cluster.run(120_000);
  const views = ['a', 'b', 'c'].map((name) => {
    const state = cluster.state(name);
    const claims = Array.from({ length: 60 }, (_, i) =>
      state.claims(VNI, TABLE.endpoint, macKeyHex(MAC + i)),
    );
    const owners = claims.map((of, i) => `${i}:${of.map(({ owner }) => owner).join()}`);
    return [name, state.root(0), state.root(VNI), ...owners].join(' ');
  });
  const refused = cluster.state('b').counters().get('refused:old-epoch') ?? 0;
  return { views, recorded: tape.length, refused };
}

function replay(cluster: Cluster, tape: readonly Uint8Array[]): void {
  for (const name of ['a', 'b', 'c']) {
    for (const bytes of tape) cluster.state(name).handleMessage(cluster.now, 'm', bytes);
  }
}

void t.test('what was recorded means nothing a day later, nor to who has restarted', (test) => {
  const quiet = playDay(1, false);
  const evil = playDay(1, true);
  test.same(evil.views, quiet.views);
  test.match(quiet.views[0], /0:a 1:b 2:c 3:m 4: /, 'all but d are there');
  test.match(quiet.views[0], / 50: /, 'and what was deleted is not');
  test.ok(evil.recorded > 50 && evil.refused > 10, `${evil.recorded} recorded, ${evil.refused} refused by b`);
  test.end();
});
