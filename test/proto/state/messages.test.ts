/** The wire of gossip.md 7.4: golden bytes, round trips, and decoders under fire. */
import * as fc from 'fast-check';
import t from 'tap';
import { SeededRng } from '../../../proto/rng.ts';
import { openBlock, signBlock } from '../../../proto/state/block.ts';
import { ByteReader, ByteWriter, WireError, encodeText, fromHex, toHex } from '../../../proto/state/bytes.ts';
import { decodeAck, decodeRoots, encodeAck, encodeRoots } from '../../../proto/state/digest.ts';
import {
  cutRecords,
  decodeMessage,
  encodeBusy,
  encodeDelta,
  encodeHeads,
  encodePull,
  encodeSync,
  encodeTree,
  encodeUpdate,
  endOf,
  packBlocks,
  packHeads,
  updateRoom,
} from '../../../proto/state/messages.ts';
import type { Message, Update } from '../../../proto/state/messages.ts';
import type { LogRecord } from '../../../proto/state/record.ts';
import { recordBytes } from '../../../proto/state/record.ts';
import { blockStatement, snapshotStatement } from '../../../proto/state/signing.ts';
import { State } from '../../../proto/state/state.ts';
import type { TreeMessage, TreePart } from '../../../proto/state/tree-wire.ts';
import { decodeEndpoint, encodeEndpoint } from '../../../proto/state/values/endpoint.ts';
import { decodeNetwork, encodeNetwork } from '../../../proto/state/values/network.ts';
import { decodeVtep, encodeVtep } from '../../../proto/state/values/vtep.ts';
import { fakeSigner, fakeVerifier } from './fake-identity.ts';

function record(seq: number, fields: Partial<LogRecord> = {}): LogRecord {
  const key = fields.key ?? new Uint8Array([2, 0, 0, 0, 0, seq & 255]);
  const base = { table: 4, value: new Uint8Array([seq & 255]), tombstone: false, epoch: 300n, hlc: 1_000n };
  return { ...base, key, keyHex: toHex(key), seq, bornMs: 5, mark: 0, slot: 0, ...fields };
}

const KEY = new Uint8Array(32).fill(0xaa);
const SIGNATURE = new Uint8Array(64).fill(0xbb);
const LOG = { scope: 4096, owner: 'a', epoch: 300n };
const BLOCK = {
  from: 11,
  to: 140,
  digest: 0xff00_0000_0000_0001n,
  signature: SIGNATURE,
  entries: [
    record(12, { slot: 0 }),
    new Uint8Array(16).fill(0xcc),
    record(139, {
      tombstone: true,
      value: new Uint8Array(0),
      hlc: 998n,
      key: new Uint8Array([9]),
      slot: 2,
    }),
  ],
};
const UPDATE: Update = { ...LOG, key: KEY, from: 10, blocks: [BLOCK] };

const GOLDEN = [
  'd7 01 01', // magic, version, UPDATE
  '80 20', // scope 4096
  '01 61', // owner "a"
  'ac 02', // epoch 300
  'aa '.repeat(32), // key
  '0a', // from 10
  '00 00 00 00 00 00 03 e8', // hlcBase 1000
  '01', // one block
  '01 81 01', // from 10 + 1, to 11 + 129
  'ff 00 00 00 00 00 00 01', // digest
  'bb '.repeat(64), // signature
  '03', // three entries
  '04 00 06 02 00 00 00 00 0c 01 01 0c', // table, flags, key, seq 11 + 1, value
  'ff' + 'cc'.repeat(16), // a record that is no more
  '04 03 01 09 80 01 03 00', // tombstone with HLC delta -2 (zig-zag 3), seq 11 + 128
]
  .join('')
  .replaceAll(' ', '');

/** As read: places in the block are given when it is opened. */
const READ: Update = {
  ...UPDATE,
  blocks: [
    { ...BLOCK, entries: BLOCK.entries.map((e) => (e instanceof Uint8Array ? e : { ...e, slot: 0 })) },
  ],
};

void t.test('UPDATE has exactly these bytes', async (test) => {
  test.equal(toHex(encodeUpdate(UPDATE)), GOLDEN);
  test.same(decodeMessage(fromHex(GOLDEN), 5), { kind: 'update', update: READ });
});

void t.test('what is signed has exactly these bytes', async (test) => {
  const name = { scope: 1, owner: 'a', epoch: 2n };
  const hashes = new Uint8Array(16).fill(0xcc);
  test.equal(
    toHex(blockStatement(name, { from: 3, to: 4, digest: 5n }, hashes)),
    `11${toHex(encodeText('overlayd block 1'))}00` +
      `0000000101610000000000000002000000000000000300000000000000040000000000000005` +
      'cc'.repeat(16),
  );
  test.equal(
    toHex(snapshotStatement(name, 4, hashes)),
    `14${toHex(encodeText('overlayd snapshot 1'))}0000000001016100000000000000020000000000000004${'cc'.repeat(16)}`,
  );
  test.equal(
    toHex(recordBytes(record(12, { hlc: 7n }))),
    '04000602000000000c000000000000000c0000000000000007010c',
  );
});

void t.test('a signature binds every part of a block, and nothing else', async (test) => {
  const signer = fakeSigner('a');
  const records = [record(12), record(13)];
  const head = { from: 11, to: 20, digest: 7n };
  const block = signBlock(LOG, head, records, signer, fakeVerifier).toWire();
  const opens = (name: object, change: object): boolean =>
    openBlock({ ...LOG, ...name }, signer.publicKey, { ...block, ...change }, fakeVerifier) === undefined;
  // A new block holds nothing yet: all its entries are hashes, and the signature fits.
  test.ok(block.entries.every((entry) => entry instanceof Uint8Array));
  test.notOk(opens({}, {}));
  test.notOk(opens({}, { entries: records }), 'records or their hashes: the same');
  test.notOk(opens({}, { entries: [records[0], block.entries[1]] }));
  for (const change of [{ scope: 1 }, { owner: 'b' }, { epoch: 301n }]) test.ok(opens(change, {}));
  for (const change of [{ from: 10 }, { to: 21 }, { digest: 8n }, { entries: records.slice(1) }])
    test.ok(opens({}, change));
  for (const fields of [
    { seq: 14 },
    { value: fromHex('00') },
    { tombstone: true },
    { hlc: 1n },
    { table: 5 },
    { key: fromHex('00') },
  ])
    test.ok(opens({}, { entries: [records[0], { ...records[1], ...fields }] }));
  test.equal(openBlock(LOG, fakeSigner('b').publicKey, block, fakeVerifier), undefined, 'another key');
});

/** TREE: what differs by level. */
const TREES: readonly [TreePart, string][] = [
  [
    { level: 2, nodes: [{ index: 255, hashes: Array.from({ length: 16 }, (_, i) => BigInt(i)) }] },
    `0201ff01${Array.from({ length: 16 }, (_, i) => i.toString(16).padStart(16, '0')).join('')}`,
  ],
  [{ level: 1, nodes: [] }, '0100'],
  [
    { leaves: [{ leaf: 4095, entries: [{ table: 4, key: fromHex('0a0b'), seq: 300, hash: 0xfffffffe }] }] },
    '0301ff1f0104020a0bac02fffffffe',
  ],
  [{ ids: [{ table: 4, key: fromHex('0a') }] }, '040104010a'],
];

void t.test('the other kinds', async (test) => {
  const log = { scope: 1, owner: 'b', epoch: 2n };
  const line = { owner: 'b', epoch: 2n, have: 3, floor: 1, count: 2, digest: 0xff00_0000_0000_0001n };
  const cases: [Uint8Array, string, Message][] = [
    [
      encodeHeads([{ ...log, head: 300 }]),
      'd701020101016202ac02',
      { kind: 'heads', heads: [{ ...log, head: 300 }] },
    ],
    [encodePull(log, 7), 'd701030101620207', { kind: 'pull', log, from: 7 }],
    [
      encodeSync({ id: 9, scope: 1, flags: 1, lines: [line] }),
      'd7010409010101016202030102ff00000000000001',
      { kind: 'sync', sync: { id: 9, scope: 1, flags: 1, lines: [line] } },
    ],
    [
      encodeSync({ id: 9, scope: 1, flags: 2, lines: [], sums: [5n] }),
      'd7010409010200010000000000000005',
      { kind: 'sync', sync: { id: 9, scope: 1, flags: 2, lines: [], sums: [5n] } },
    ],
    [
      encodeSync({ id: 9, scope: 1, flags: 5, lines: [], some: { of: 64, buckets: [0, 63] } }),
      'd70104090105004002003f',
      { kind: 'sync', sync: { id: 9, scope: 1, flags: 5, lines: [], some: { of: 64, buckets: [0, 63] } } },
    ],
    [encodeBusy(9, 2_000), 'd7010709d00f', { kind: 'busy', id: 9, retryAfterMs: 2_000 }],
    [
      encodeDelta({ ...log, key: KEY, from: 0, blocks: [] }, 6),
      `d7010501016202${'aa'.repeat(32)}0000000000000000000006`,
      {
        kind: 'delta',
        update: { ...log, key: KEY, from: 0, blocks: [] },
        flags: 6,
        manifest: undefined,
      },
    ],
    [
      encodeDelta({ ...log, key: KEY, from: 0, blocks: [] }, 6, SIGNATURE),
      `d7010501016202${'aa'.repeat(32)}0000000000000000000016${'bb'.repeat(64)}`,
      {
        kind: 'delta',
        update: { ...log, key: KEY, from: 0, blocks: [] },
        flags: 22,
        manifest: SIGNATURE,
      },
    ],
  ];
  for (const [part, hex] of TREES) {
    const tree: TreeMessage = { ...log, id: 9, part };
    cases.push([encodeTree(tree), `d701060901016202${hex}`, { kind: 'tree', tree }]);
  }
  for (const [bytes, hex, message] of cases) {
    test.equal(toHex(bytes), hex, message.kind);
    test.same(decodeMessage(bytes, 5), message);
    test.same(decodeMessage(new Uint8Array([...bytes, 1, 2, 3]), 5), message, 'later additions are ignored');
  }
  test.same(decodeMessage(fromHex('d70163'), 0), { kind: 'unknown' }, 'a kind that we do not know');
  test.same(decodeMessage(fromHex('d702ff'), 0), { kind: 'unknown' }, 'a later version');
});

void t.test('every cut short message is refused', async (test) => {
  const whole = encodeDelta(UPDATE, 3);
  for (let length = 0; length < whole.length; length++) {
    test.throws(() => decodeMessage(whole.subarray(0, length), 0), WireError);
  }
});

void t.test('what the format forbids is refused', async (test) => {
  const UP = `d7010101016102${'aa'.repeat(32)}00${'00'.repeat(8)}01`;
  const bad = {
    'a list longer than its message': 'd70102ffff03',
    'an owner without a name': 'd7010301000207',
    'an owner that is no UTF-8': 'd701030101ff0207',
    'a key cut short': `d701010101610203${'aa'.repeat(31)}`,
    'a block with more entries than bytes': `${UP}0105${'00'.repeat(72)}7f`,
    'a record outside its block': `${UP}0105${'00'.repeat(72)}01040001010600`,
    'a record before its block': `${UP}0105${'00'.repeat(72)}01040001010000`,
    'a hash cut short': `${UP}0105${'00'.repeat(72)}01ff${'00'.repeat(15)}`,
    'a block beyond all numbers': `${UP}ffffffffffffff0fffffffffffffff0f${'00'.repeat(72)}00`,
    'a number over 2^53': 'd7010301016102ffffffffffffffff7f',
    'no sums': 'd701040901020000',
    'no groups': 'd70104090104000000',
    'a group that there is not': 'd7010409010400400140',
    'a tree node beyond its level': `d701060901016202010110${'00'.repeat(128)}`,
    'more tree nodes than there are': `d7010609010162020002${`00${'00'.repeat(128)}`.repeat(2)}`,
    'a tree leaf beyond the last': 'd7010609010162020301802000',
    'a level that there is not': 'd70106090101620205',
    'more tree entries than bytes': 'd70106090101620203010901ff0a',
    'an epoch that has no successor': 'd70103010161808080808080801007',
  };
  for (const [why, hex] of Object.entries(bad))
    test.throws(() => decodeMessage(fromHex(hex), 0), WireError, why);
});

void t.test('varints round-trip', async (test) => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), (number, big) => {
      const signed = BigInt.asIntN(64, big);
      const r = new ByteReader(
        new ByteWriter(1).varint(number).varint64(big).u64(big).signed64(signed).finish(),
      );
      return (
        r.varint() === number &&
        r.varint64() === big &&
        r.u64() === big &&
        r.signed64() === signed &&
        r.left === 0
      );
    }),
    { seed: 1 },
  );
  test.pass();
});

void t.test('cut records join up, fit a packet now and as hashes, and none is lost', async (test) => {
  const records = Array.from({ length: 500 }, (_, i) =>
    record(i * 3 + 1, { hlc: 1_000n + BigInt(i) * 70_000n, value: new Uint8Array((i * 37) % 900) }),
  );
  const owner = 'node-with-a-name';
  let at = 0;
  for (const { from, to, records: some } of cutRecords(0, 2_000, records, 1_350 - updateRoom(owner.length))) {
    test.equal(from, at);
    at = to;
    for (const entries of [some, some.map(() => new Uint8Array(16))]) {
      const block = { from, to, digest: 0n, signature: SIGNATURE, entries };
      test.ok(encodeUpdate({ ...LOG, owner, key: KEY, from, blocks: [block] }).length <= 1_350);
    }
  }
  test.equal(at, 2_000);
  test.same(
    [...cutRecords(0, 2_000, records, 1_200)].flatMap((piece) => piece.records),
    records,
  );
  test.same([...cutRecords(5, 9, [], 1_200)], [{ from: 5, to: 9, records: [] }]);
});

void t.test('packed blocks join up and none is lost', async (test) => {
  const blocks = Array.from({ length: 100 }, (_, i) => ({ ...BLOCK, from: 10 + i * 200, to: 110 + i * 200 }));
  const updates = [...packBlocks({ ...LOG, key: KEY }, 50, blocks, 2_000)];
  test.equal(updates[0]?.from, 10, 'from the middle of a block: the whole block');
  updates.forEach((update, i) => {
    if (i > 0) test.equal(update.from, endOf(updates[i - 1]!));
    test.ok(encodeDelta(update, 0).length < 2_200);
  });
  test.same(
    updates.flatMap((update) => update.blocks),
    blocks,
  );
  test.same([...packBlocks({ ...LOG, key: KEY }, 50, [], 2_000)], []);
});

void t.test('values round-trip, ignore what later versions add, and refuse nonsense', async (test) => {
  const cases: [Uint8Array, (bytes: Uint8Array) => unknown, object][] = [];
  const endpoint = { mobility: 300, ips: ['10.42.0.2', 'fd00::2'], flags: 1, name: 'web' };
  cases.push([encodeEndpoint(endpoint), decodeEndpoint, endpoint]);
  const network = { name: 'blue', vni: 100, subnet: '10.0.0.0/8', gateway: '', mtu: 1_450, encrypted: true };
  cases.push([encodeNetwork(network), decodeNetwork, network]);
  for (const ip of ['192.0.2.1', '2001:db8::1']) {
    cases.push([encodeVtep({ ip, port: 4789 }), decodeVtep, { ip, port: 4789 }]);
  }
  for (const [bytes, decode, value] of cases) {
    test.same(decode(bytes), value);
    test.same(decode(new Uint8Array([...bytes, 7])), value);
    for (let i = 0; i < bytes.length; i++) test.throws(() => decode(bytes.subarray(0, i)), WireError);
  }
  test.equal(toHex(encodeEndpoint(endpoint)), 'ac0202040a2a000210fd0000000000000000000000000000020103776562');
  test.throws(() => encodeEndpoint({ ...endpoint, ips: ['nonsense'] }), RangeError);
  test.throws(() => encodeNetwork({ ...network, vni: 0 }), RangeError);
  test.throws(() => decodeVtep(new Uint8Array([5, 1, 2, 3, 4, 5, 1])), WireError);
  test.throws(() => decodeVtep(encodeVtep({ ip: '192.0.2.1', port: 0 })), WireError, 'nothing can go there');
});

void t.test('digests', async (test) => {
  const roots = [
    { scope: 0, root: 5n },
    { scope: 4096, root: (1n << 64n) - 1n },
  ];
  test.equal(toHex(encodeRoots(300n, roots)), 'd701ac02020000000000000000058020ffffffffffffffff');
  test.same(decodeRoots(encodeRoots(300n, roots)), roots);
  test.same(decodeAck(encodeAck(7n, 9n)), { hlc: 7n, root: 9n });
  test.equal(encodeAck(7n, 9n).length, 18);
  test.throws(() => decodeRoots(new Uint8Array([1, 2])), WireError);
  test.equal(decodeAck(fromHex('d702')), undefined);
});

// Fire: nothing thrown but WireError, nothing kept that the limits forbid.

const SIGNED_UPDATE: Update = ((): Update => {
  const name = { scope: 4096, owner: 'b', epoch: 300n };
  const signer = fakeSigner('b');
  const records = [record(1), record(2), record(3)];
  const block = signBlock(name, { from: 0, to: 3, digest: 0n }, records, signer, fakeVerifier);
  return { ...name, key: signer.publicKey, from: 0, blocks: [{ ...block.toWire(), entries: records }] };
})();
const SIGNED = encodeUpdate(SIGNED_UPDATE);

const SEEDS = [
  encodeUpdate(UPDATE),
  encodeDelta(UPDATE, 7),
  encodeDelta({ ...UPDATE, from: 0, blocks: [] }, 3),
  SIGNED,
  encodeDelta(SIGNED_UPDATE, 6, SIGNATURE),
  encodeHeads([{ scope: 0, owner: 'b', epoch: 1n, head: 4 }]),
  encodePull({ scope: 0, owner: 'me', epoch: 1n }, 0),
  encodeSync({
    id: 1,
    scope: 0,
    flags: 0,
    lines: [{ owner: 'q', epoch: 1n, have: 9, floor: 0, count: 9, digest: 1n }],
  }),
  encodeSync({ id: 1, scope: 0, flags: 2, lines: [], sums: [1n, 2n, 3n] }),
  encodeSync({ id: 1, scope: 0, flags: 5, lines: [], some: { of: 8, buckets: [0, 7] } }),
  encodeBusy(1, 5),
  // About a log that the State under fire comes to hold, and about its own.
  ...TREES.flatMap(([part]) => [
    encodeTree({ scope: 4096, owner: 'a', epoch: 300n, id: 1, part }),
    encodeTree({ scope: 0, owner: 'me', epoch: 300n, id: 1, part }),
  ]),
  encodeTree({
    scope: 0,
    owner: 'me',
    epoch: 300n,
    id: 1,
    part: { level: 0, nodes: [{ index: 0, hashes: Array.from({ length: 16 }, () => 1n) }] },
  }),
  encodeRoots(1n, [{ scope: 0, root: 1n }]),
  encodeAck(1n, 2n),
];

function mangle(rng: SeededRng, seed: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(Math.max(1, seed.length + (rng.u32() % 8) - 4));
  bytes.set(seed.subarray(0, bytes.length));
  const flips = rng.u32() % 6;
  for (let i = 0; i < flips; i++) bytes[rng.u32() % bytes.length]! ^= 1 << (rng.u32() % 8);
  if (rng.u32() % 8 === 0) rng.fill(bytes.subarray(3));
  return bytes;
}

void t.test('a State under fire neither throws nor grows, and goes on working', async (test) => {
  const rng = new SeededRng(7);
  const limits = { recordsPerLog: 64, ownersPerScope: 64 };
  const deps = {
    rng,
    wall: () => 1_700_000_000_000,
    signer: fakeSigner('me'),
    verifier: fakeVerifier,
  };
  const state = new State({ node: 'me', epoch: 300n, ...limits }, deps);
  state.put(0, 0, 2, fromHex('00001000'), new Uint8Array(0));
  for (const peer of ['b', 'c']) state.handleMemberAlive(0, peer, 1n);
  let now = 0;
  for (let i = 0; i < 30_000; i++) {
    now += 1;
    const bytes = mangle(rng, SEEDS[rng.u32() % SEEDS.length]!);
    const from = rng.u32() % 2 === 0 ? 'b' : 'stranger';
    if (i % 3 === 0) state.handleRemoteState(now, from, bytes);
    else if (i % 7 === 0) state.handleAckPayload(now, from, bytes);
    else state.handleMessage(now, from, bytes);
    if (state.nextDeadline() <= now) state.handleDeadline(now);
    while (state.pollTransmit() !== undefined);
    while (state.pollChange() !== undefined);
  }
  let records = 0;
  for (const scope of [0, 4096])
    for (let table = 1; table <= 6; table++) records += [...state.records(scope, table as 1)].length;
  test.ok(records <= 2 * 64 * 64, `${records} records`);
  test.ok(state.counters().get('drop:malformed')! > 1_000);
  state.put(now, 0, 1, fromHex('01'), fromHex('02'));
  test.equal(state.claims(0, 1, '01').find(({ owner }) => owner === 'me')?.value[0], 2);
});

void t.test('HEADS are cut by their bytes, whatever the names', (test) => {
  const whole = (names: readonly string[], maxBytes: number): void => {
    const heads = names.map((owner, scope) => ({ scope, owner, epoch: 1n << 41n, head: scope * 1_000 }));
    const packets = [...packHeads(heads, maxBytes)];
    for (const [i, packet] of packets.entries()) {
      test.ok(packet.length <= maxBytes, `${packet.length} bytes`);
      const next = packets[i + 1];
      // As many as fit: what the next begins with would have been too much.
      if (next !== undefined) test.ok(packet.length + 290 > maxBytes);
    }
    const read = packets
      .map((packet) => decodeMessage(packet, 0))
      .flatMap((m) => (m.kind === 'heads' ? m.heads : []));
    test.same(read, heads);
  };
  for (const length of [1, 49, 128, 255])
    whole(
      Array.from({ length: 40 }, () => 'n'.repeat(length)),
      1_350,
    );
  whole(
    Array.from({ length: 400 }, () => 'n'),
    1_350,
  );
  whole(['ü'.repeat(127)], 300);
  test.same([...packHeads([], 1_350)], []);
  test.end();
});
