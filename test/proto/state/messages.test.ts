/** The wire of gossip.md 7.4: golden bytes, round trips, and decoders under fire. */
import * as fc from 'fast-check';
import t from 'tap';
import { SeededRng } from '../../../proto/rng.ts';
import { ByteReader, ByteWriter, WireError, fromHex, toHex } from '../../../proto/state/bytes.ts';
import { decodeAck, decodeRoots, encodeAck, encodeRoots } from '../../../proto/state/digest.ts';
import {
  cutUpdates,
  decodeMessage,
  encodeBusy,
  encodeDelta,
  encodeHeads,
  encodePull,
  encodeSync,
  encodeTree,
  encodeUpdate,
} from '../../../proto/state/messages.ts';
import type { Message, Update } from '../../../proto/state/messages.ts';
import type { LogRecord } from '../../../proto/state/record.ts';
import { State } from '../../../proto/state/state.ts';
import type { TreeMessage, TreePart } from '../../../proto/state/tree-wire.ts';
import { decodeEndpoint, encodeEndpoint } from '../../../proto/state/values/endpoint.ts';
import { decodeNetwork, encodeNetwork } from '../../../proto/state/values/network.ts';
import { decodeVtep, encodeVtep } from '../../../proto/state/values/vtep.ts';

function record(seq: number, fields: Partial<LogRecord> = {}): LogRecord {
  const key = fields.key ?? new Uint8Array([2, 0, 0, 0, 0, seq & 255]);
  const base = { table: 4, value: new Uint8Array([seq & 255]), tombstone: false, epoch: 300n, hlc: 1_000n };
  return { ...base, key, keyHex: toHex(key), seq, bornMs: 5, mark: 0, ...fields };
}

const UPDATE: Update = {
  scope: 4096,
  owner: 'a',
  epoch: 300n,
  from: 10,
  to: 140,
  records: [
    record(11),
    record(139, { tombstone: true, value: new Uint8Array(0), hlc: 998n, key: new Uint8Array([9]) }),
  ],
};

const GOLDEN = [
  'd7 01 01', // magic, version, UPDATE
  '80 20', // scope 4096
  '01 61', // owner "a"
  'ac 02', // epoch 300
  '0a', // from 10
  '8c 01', // to 140
  '00 00 00 00 00 00 03 e8', // hlcBase 1000
  '02', // two records
  '04 00 06 02 00 00 00 00 0b 01 01 0b', // table, flags, key, seq 10 + 1, value
  '04 03 01 09 81 01 03 00', // tombstone with HLC delta -2 (zig-zag 3), seq 10 + 129
]
  .join('')
  .replaceAll(' ', '');

void t.test('UPDATE has exactly the bytes of the specification', async (test) => {
  test.equal(toHex(encodeUpdate(UPDATE)), GOLDEN);
  test.same(decodeMessage(fromHex(GOLDEN), 5), { kind: 'update', update: UPDATE });
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
      encodeDelta({ ...log, from: 0, to: 5, records: [] }, 7),
      'd7010501016202000500000000000000000007',
      { kind: 'delta', update: { ...log, from: 0, to: 5, records: [] }, flags: 7 },
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
  const bad = {
    'a list longer than its message': 'd70102ffff03',
    'an owner without a name': 'd7010301000207',
    'an owner that is no UTF-8': 'd701030101ff0207',
    'a range that runs backwards': 'd70101010161020503000000000000000000',
    'a record outside its range': 'd70101010161020304000000000000000001040001010200',
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
    'a key over 64 bytes': 'd7010101016102000500000000000000000104004100'.repeat(70),
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

void t.test('cut updates join up, stay under the limit and lose nothing', async (test) => {
  const records = Array.from({ length: 500 }, (_, i) =>
    record(i * 3 + 1, { hlc: 1_000n + BigInt(i) * 70_000n, value: new Uint8Array((i * 37) % 900) }),
  );
  const name = { scope: 4096, owner: 'node-with-a-name', epoch: 300n };
  const updates = [...cutUpdates(name, 0, 2_000, records, 1_350)];
  let at = 0;
  for (const update of updates) {
    test.equal(update.from, at);
    at = update.to;
    test.ok(encodeUpdate(update).length <= 1_350);
  }
  test.equal(at, 2_000);
  test.same(
    updates.flatMap((u) => u.records),
    records,
  );
  test.same([...cutUpdates(name, 5, 9, [], 1_350)], [{ ...name, from: 5, to: 9, records: [] }]);
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

const SEEDS = [
  encodeUpdate(UPDATE),
  encodeDelta(UPDATE, 7),
  encodeDelta({ ...UPDATE, from: 0, records: [] }, 3),
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
  const state = new State({ node: 'me', epoch: 300n, ...limits }, { rng, wall: () => 1_700_000_000_000 });
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
