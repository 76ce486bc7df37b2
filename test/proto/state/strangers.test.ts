/** Logs of owners whom membership does not know: a budget for all of them, and nothing taken from those it knows. */
import t from 'tap';
import type { Test } from 'tap';
import { SeededRng } from '../../../proto/rng.ts';
import { signBlock } from '../../../proto/state/block.ts';
import { toHex } from '../../../proto/state/bytes.ts';
import { Identities } from '../../../proto/state/identities.ts';
import { TABLE } from '../../../proto/state/interface.ts';
import { SYNC_FLAG, decodeMessage, encodeSync, encodeUpdate } from '../../../proto/state/messages.ts';
import type { LogRecord } from '../../../proto/state/record.ts';
import type { Signer } from '../../../proto/state/signing.ts';
import { State } from '../../../proto/state/state.ts';
import { encodeVtep, vtepKey } from '../../../proto/state/values/vtep.ts';
import { Cluster } from './cluster.ts';
import { fakeSigner, fakeVerifier } from './fake-identity.ts';

const WALL_MS = 1_700_000_000_000;
const EPOCH = BigInt(WALL_MS);
const ADDR = { ip: '192.0.2.7', port: 4789 };

function host(node: string, peers: readonly string[]): State {
  const options = { node, epoch: EPOCH, rateBytes: 1e9, burstBytes: 1e9 };
  const deps = {
    rng: new SeededRng(1),
    wall: () => WALL_MS,
    signer: fakeSigner(node),
    verifier: fakeVerifier,
  };
  const state = new State(options, deps);
  for (const peer of peers) state.handleMemberAlive(0, peer, EPOCH);
  return state;
}

/** The first words of an owner: where it is. */
function place(owner: string, signer: Signer = fakeSigner(owner), count = 1): Uint8Array {
  const log = { scope: 0, owner, epoch: EPOCH };
  const records = Array.from({ length: count }, (_, i): LogRecord => {
    const key = vtepKey(`${owner}-${i}`);
    const rest = { tombstone: false, epoch: EPOCH, seq: i + 1, hlc: 1n, bornMs: 0, mark: 0, slot: 0 };
    return { table: TABLE.vtep, key, keyHex: toHex(key), value: encodeVtep(ADDR), ...rest };
  });
  const block = signBlock(log, { from: 0, to: count, digest: 0n }, records, signer, fakeVerifier);
  for (const record of records) block.hold(record);
  return encodeUpdate({ ...log, key: signer.publicKey, from: 0, blocks: [block.toWire()] });
}

const ownersOf = (state: State): string[] =>
  [...state.records(0, TABLE.vtep)].map(({ owner }) => owner).sort();

/** How many owners' logs a state would tell of. */
function told(state: State, now: number): number {
  while (state.pollTransmit() !== undefined);
  const lines = [{ owner: 'nobody', epoch: 1n, have: 0, floor: 0, count: 0, digest: 0n }];
  const buckets = Array.from({ length: 64 }, (_, i) => i);
  const some = { of: 64, buckets };
  state.handleMessage(now, 'm', encodeSync({ id: 1, scope: 0, flags: SYNC_FLAG.some, lines, some }));
  const pushed = new Set<string>();
  for (let at = now; at < now + 1_000; at += 10) {
    if (state.nextDeadline() <= at) state.handleDeadline(at);
    for (let out = state.pollTransmit(); out !== undefined; out = state.pollTransmit()) {
      const message = decodeMessage(out.bytes, at);
      if (message.kind === 'delta' && message.update.scope === 0) pushed.add(message.update.owner);
    }
  }
  return pushed.size;
}

void t.test('a member that makes up owners fills no more than their budget', async (test) => {
  const state = host('b', ['m']);
  let now = 1_000;
  for (let i = 0; i < 6_000; i++) state.handleMessage((now += 1), 'm', place(`made-up-${i}`));
  test.equal(state.counters().get('refused:stranger'), 6_000 - 4_096);
  test.same(
    [...state.identities.pins()].map(({ name }) => name),
    ['b'],
    'none of them is pinned',
  );
  test.equal(told(state, now), 0, 'and nobody is told of them');
  state.handleMemberAlive(now, 'new', EPOCH);
  state.handleMessage(now, 'new', place('new'));
  test.same(ownersOf(state), ['new'], 'who is a member has its place');
  state.handleMemberAlive(now, 'made-up-5999', EPOCH);
  state.handleMessage(now, 'm', place('made-up-5999'));
  test.same(ownersOf(state), ['made-up-5999', 'new'], 'and so has who becomes one');
});

void t.test('and few owners with very many records no more than that', async (test) => {
  const state = host('b', ['m']);
  let now = 1_000;
  for (let i = 0; i < 400; i++) state.handleMessage((now += 10), 'm', place(`made-up-${i}`, undefined, 400));
  test.equal(state.counters().get('refused:stranger'), 400 - Math.ceil(65_536 / 400));
});

void t.test(
  'what comes before its owner is a member counts from then on, under the key that it came with',
  async (test) => {
    const state = host('b', ['a']);
    state.handleMessage(1_000, 'a', place('c'));
    test.same(ownersOf(state), []);
    state.handleMessage(1_001, 'a', place('c', fakeSigner('liar')));
    test.equal(state.counters().get('refused:other-key'), 1);
    test.equal(state.identities.keyOf('c'), undefined);
    state.handleMemberAlive(1_002, 'c', EPOCH);
    test.same(ownersOf(state), ['c']);
    test.equal(state.identities.keyOf('c'), toHex(fakeSigner('c').publicKey));
  },
);

void t.test(
  'a newcomer keeps what the dead have said, and shows it at once when they are back',
  async (test: Test) => {
    const cluster = new Cluster(1);
    for (const name of ['a', 'b', 'c'])
      cluster.start(name).put(cluster.now, 0, TABLE.vtep, vtepKey(name), encodeVtep(ADDR));
    cluster.meet();
    cluster.run(5_000);
    cluster.crash('c');
    cluster.run(60_000);
    const d = cluster.start('d');
    cluster.meet();
    cluster.run(5_000);
    test.same(ownersOf(d), ['a', 'b']);
    d.handleMemberAlive(cluster.now, 'c', cluster.state('c').epoch);
    test.same(ownersOf(d), ['a', 'b', 'c'], 'with no word from anybody');
  },
);

void t.test('a full table of pins gives up who has not been a member for longest', async (test) => {
  const identities = new Identities('self', fakeSigner('self').publicKey, { pinsMax: 4 });
  const members = new Set(['a', 'b', 'c']);
  identities.isMember = (name) => members.has(name);
  const pin = (name: string): void => identities.accept(name, fakeSigner(name).publicKey, 1n);
  const names = (): string =>
    [...identities.pins()]
      .map(({ name }) => name)
      .sort()
      .join(' ');
  for (const name of ['a', 'b', 'c']) pin(name);
  const { publicKey } = fakeSigner('d');
  test.equal(identities.check('d', publicKey, 1n), 'too-many-names', 'all are members');
  members.delete('b');
  members.delete('c');
  identities.accept('b', fakeSigner('b').publicKey, 2n);
  test.equal(identities.check('d', publicKey, 1n), undefined);
  pin('d');
  test.equal(names(), 'a b d self', 'b was heard of later than c');
  test.equal(identities.check('c', fakeSigner('other').publicKey, 1n), undefined);
});
