/** What keeps a State small whatever happens (gossip.md 7.3, 7.5, 7.6, 7.10). */
import t from 'tap';
import { SeededRng } from '../../../proto/rng.ts';
import { decodeRoots } from '../../../proto/state/digest.ts';
import { TABLE } from '../../../proto/state/interface.ts';
import { signBlock } from '../../../proto/state/block.ts';
import {
  SYNC_FLAG,
  decodeMessage,
  encodeDelta,
  encodeHeads,
  encodeSync,
  encodeUpdate,
} from '../../../proto/state/messages.ts';
import type { Message, Update } from '../../../proto/state/messages.ts';
import type { Verifier } from '../../../proto/state/signing.ts';
import type { StateOptions } from '../../../proto/state/options.ts';
import { State } from '../../../proto/state/state.ts';
import { encodeEndpoint } from '../../../proto/state/values/endpoint.ts';
import { encodeInterest, interestKey } from '../../../proto/state/values/interest.ts';
import { macKey } from '../../../proto/state/values/mac.ts';
import { fakeSigner, fakeVerifier } from './fake-identity.ts';

const WALL_MS = 1_700_000_000_000;
const EPOCH = BigInt(WALL_MS);
const VNI = 7;
const ENDPOINT = encodeEndpoint({ mobility: 0, ips: ['10.0.0.1'], flags: 0, name: 'web' });

function host(
  scopes: readonly number[],
  peers: number,
  rate: Partial<StateOptions> = {},
  node = 'me',
  verifier = fakeVerifier,
): State {
  const deps = { rng: new SeededRng(1), wall: () => WALL_MS, signer: fakeSigner(node), verifier };
  const state = new State({ node, epoch: EPOCH, ...rate }, deps);
  for (const vni of scopes) state.put(0, 0, TABLE.interest, interestKey(vni), encodeInterest());
  for (let i = 1; i <= peers; i++) if (`p${i}` !== node) state.handleMemberAlive(0, `p${i}`, EPOCH);
  return state;
}

/** What a State says of the cluster, as it rides on memberlist's packets. */
function said(state: State): Uint8Array[] {
  state.handleDeadline(20);
  while (state.pollTransmit() !== undefined);
  return state.delegate.broadcasts(20, 3, 65_536);
}

/** Takes what is to be sent until `ms` from `from` on, decoded. */
function sent(state: State, from: number, ms: number): { to: string; message: Message; bytes: number }[] {
  const out = [];
  for (let now = from; now <= from + ms; now += 10) {
    if (state.nextDeadline() <= now) state.handleDeadline(now);
    for (let m = state.pollTransmit(); m !== undefined; m = state.pollTransmit())
      out.push({ to: m.to, message: decodeMessage(m.bytes, now), bytes: m.bytes.length });
  }
  return out;
}

void t.test(
  'push/pull carries digests only: one size however much there is, at most 64 KiB',
  async (test) => {
    const state = host([VNI], 0);
    const empty = state.delegate.localState(0, true).length;
    for (let m = 1; m <= 5_000; m++) state.put(0, VNI, TABLE.endpoint, macKey(m), ENDPOINT);
    test.ok(state.delegate.localState(0, true).length <= empty + 13, 'records are not in it');

    const scopes = Array.from({ length: 10_000 }, (_, i) => i + 1);
    const wide = host(scopes, 0);
    const told = new Set<number>();
    for (let i = 0; i < 3; i++) {
      const bytes = wide.delegate.localState(0, false);
      test.ok(bytes.length <= 65_536, `${bytes.length} bytes`);
      const roots = decodeRoots(bytes) ?? [];
      test.equal(roots[0]?.scope, 0, 'that of the cluster is always there');
      for (const { scope } of roots) told.add(scope);
    }
    test.equal(told.size, 10_001, 'three of them tell of all networks');
  },
);

void t.test('relays are dropped above 4,096, and the scope is synced early instead', async (test) => {
  const state = host([VNI], 60);
  for (let i = 1; i <= 60; i++) {
    for (const bytes of said(host([VNI], 0, {}, `p${i}`))) state.handleMessage(20, `p${i}`, bytes);
  }
  test.equal(state.interested(VNI).length, 61);
  sent(state, 20, 60_000);
  // One that knows only us writes and writes, an update each.
  const writer = host([VNI], 0, { rateBytes: 1e9, burstBytes: 1e9 }, 'p1');
  writer.handleMemberAlive(0, 'me', EPOCH);
  for (const bytes of said(host([VNI], 0))) writer.handleMessage(20, 'me', bytes);
  const before = state.counters().get('drop:relay') ?? 0;
  let updates = 0;
  for (let i = 1; i <= 6_000; i++) {
    const now = 1_000 + i * 40;
    writer.put(now, VNI, TABLE.endpoint, macKey(i), ENDPOINT);
    writer.handleDeadline(now + 20);
    for (let m = writer.pollTransmit(); m !== undefined; m = writer.pollTransmit()) {
      if (m.to !== 'me' || decodeMessage(m.bytes, now).kind !== 'update') continue;
      updates++;
      // Five a millisecond: more at once is nothing that we would look at.
      state.handleMessage(61_000 + Math.floor(updates / 5), 'p1', m.bytes);
    }
  }
  test.ok(updates >= 6_000, `${updates} updates`);
  test.ok((state.counters().get('drop:relay') ?? 0) - before >= 6_000 - 4_096);
  const syncs = sent(state, 62_300, 3_000).filter(
    ({ message }) => message.kind === 'sync' && message.sync.scope === VNI,
  );
  test.ok(syncs.length > 0, 'within three seconds');
});

void t.test('four snapshots at once; whoever asks beyond that hears BUSY', async (test) => {
  // Slow, so that none is done before the next asks.
  const state = host([VNI], 8, { rateBytes: 50_000, burstBytes: 5_000 });
  for (let m = 1; m <= 4_000; m++) state.put(0, VNI, TABLE.endpoint, macKey(m), ENDPOINT);
  sent(state, 0, 40_000);
  for (let i = 1; i <= 6; i++) {
    const request = encodeSync({ id: i, scope: VNI, flags: 0, lines: [] });
    state.handleMessage(41_000, `p${i}`, request);
  }
  const out = sent(state, 41_000, 2_000);
  const busy = out.filter(({ message }) => message.kind === 'busy');
  const answers = out.filter(
    ({ message }) => message.kind === 'sync' && (message.sync.flags & SYNC_FLAG.answer) !== 0,
  );
  test.same(
    busy.map(({ to }) => to),
    ['p5', 'p6'],
  );
  test.same(
    answers.map(({ to }) => to),
    ['p1', 'p2', 'p3', 'p4'],
  );
  const more = [...out, ...sent(state, 43_010, 20_000)].filter(({ message }) => message.kind === 'delta');
  test.same([...new Set(more.map(({ to }) => to))].sort(), ['p1', 'p2', 'p3', 'p4'], 'the four are served');
  test.ok(Math.max(...more.map(({ bytes }) => bytes)) <= 512 * 1_024, 'in pieces');
});

/** Counts the signatures that are looked at. */
function counting(): { readonly verifier: Verifier; looks: number } {
  const counter = {
    looks: 0,
    verifier: {
      ...fakeVerifier,
      verify: (...of: Parameters<Verifier['verify']>) => {
        counter.looks++;
        return fakeVerifier.verify(...of);
      },
    },
  };
  return counter;
}

/** `count` signed blocks that say nothing, the smallest there are, above `from`. */
function emptyBlocks(owner: string, from: number, count: number): Update {
  const signer = fakeSigner(owner);
  const log = { scope: 0, owner, epoch: EPOCH };
  const blocks = Array.from({ length: count }, (_, i) => {
    const head = { from: from + i, to: from + i + 1, digest: 0n };
    return signBlock(log, head, [], signer, fakeVerifier).toWire();
  });
  return { ...log, key: signer.publicKey, from, blocks };
}

void t.test('no message costs more than some hundred signatures', async (test) => {
  const counter = counting();
  const state = host([], 2, {}, 'me', counter.verifier);
  const counts = (): number =>
    (state.counters().get('drop:oversized') ?? 0) + (state.counters().get('drop:malformed') ?? 0);
  for (const [bytes, isTaken] of [
    [encodeUpdate(emptyBlocks('p1', 0, 64)), true],
    [encodeUpdate(emptyBlocks('p1', 64, 65)), false],
    [encodeUpdate(emptyBlocks('p1', 64, 20_000)), false],
    [encodeDelta(emptyBlocks('p1', 64, 512), 0), true],
    [encodeDelta(emptyBlocks('p1', 576, 513), 0), false],
    [encodeDelta(emptyBlocks('p1', 576, 3_000), 0), false],
    [
      encodeHeads(Array.from({ length: 100_000 }, () => ({ scope: 0, owner: 'p', epoch: 1n, head: 1 }))),
      false,
    ],
  ] as const) {
    const [dropped, looks] = [counts(), counter.looks];
    state.handleMessage(1_000, 'p1', bytes);
    test.equal(counts() === dropped, isTaken, `${bytes.length} bytes`);
    test.ok(counter.looks - looks <= 512, `${counter.looks - looks} signatures`);
  }
});

void t.test(
  'a member has so many signatures looked at a second, and no more; others are not held up',
  async (test) => {
    const counter = counting();
    const state = host([], 2, {}, 'me', counter.verifier);
    let from = 0;
    // Ten seconds, a megabyte each.
    for (let now = 1_000; now < 11_000; now += 40) {
      state.handleMessage(now, 'p1', encodeDelta(emptyBlocks('p1', from, 512), 0));
      from += 512;
    }
    test.ok(counter.looks < 4_096 + 10 * 2_500, `${counter.looks} signatures of ${from}`);
    test.equal(state.counters().get('drop:signatures'), from - counter.looks);
    const before = counter.looks;
    state.handleMessage(11_000, 'p2', encodeDelta(emptyBlocks('p2', 0, 512), 0));
    test.equal(counter.looks - before, 512);
  },
);
