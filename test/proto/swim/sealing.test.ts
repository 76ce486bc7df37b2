import t from 'tap';
import { aesGcm } from '../../../agent/crypto/aes-gcm.ts';
import { Keyring } from '../../../proto/keyring/keyring.ts';
import type { SecretKey } from '../../../proto/keyring/secret-key.ts';
import type { Sealer } from '../../../proto/memberlist/sealed-block.ts';
import { FloodGuard } from '../../../proto/swim/flood-guard.ts';
import { announcedKeys, encodeMeta } from '../../../proto/swim/meta.ts';
import type { SealingMode } from '../../../proto/swim/sealing.ts';
import type { SwimDelegate } from '../../../proto/swim/interface.ts';
import { keyOfByte } from '../keyring/keys.ts';
import { Bench } from './bench.ts';

const [FILE, NEW, OTHER] = [keyOfByte(1), keyOfByte(2), keyOfByte(3)];
const PING = { type: 'ping', node: 'me', seqNo: 7, sourceAddr: null, sourceNode: '', sourcePort: 0 } as const;
const EMPTY_PUSH_PULL = {
  type: 'pushPull',
  join: true,
  nodes: [],
  userState: new Uint8Array(0),
  signedInts: false,
} as const;

const sealer = (key: SecretKey): Sealer => ({
  aead: aesGcm,
  key,
  version: 1,
  nonce: () => new Uint8Array(12).fill(1),
});

/** [NEW, FILE], where FILE is the base key and NEW came by rotation. */
function rotatedRing(): Keyring {
  const keyring = new Keyring([FILE]);
  keyring.add(NEW, 'rotated');
  keyring.use(NEW.fingerprint);
  return keyring;
}

function sealedBench(
  keyring: Keyring,
  mode: SealingMode = 'required',
  delegate: Partial<SwimDelegate> = {},
): Bench {
  const bench = new Bench({}, delegate, { aead: aesGcm, keyring, mode, announcedKeys });
  bench.sealer = sealer(keyring.base);
  return bench;
}

function metaWith(keys?: readonly SecretKey[]): Uint8Array {
  const announced = keys && { keys: keys.map(({ fingerprint }) => fingerprint) };
  return encodeMeta({ stateProtocolMin: 1, stateProtocolMax: 1, epoch: 1n, ...announced });
}

/** Key of the last packet to 10.0.0.`host`. */
function keyTo(bench: Bench, host: number): string | undefined {
  return bench.sent.findLast(({ to }) => to.ip === `10.0.0.${host}`)?.key;
}

void t.test('required: what is in clear is counted and not answered; what is sealed is, sealed', (test) => {
  const bench = sealedBench(new Keyring([FILE]));
  bench.sealer = undefined;
  bench.hear('10.0.0.2', PING);
  test.same(bench.sent, []);
  test.equal(bench.count('drop:packet-undecryptable'), 1);
  test.equal(bench.dialIn(2, '10.0.0.2', EMPTY_PUSH_PULL), undefined, 'nor a stream, not even by err');
  test.equal(bench.count('drop:stream-clear'), 1);
  test.match(bench.actions, [{ type: 'close', id: 2 }]);
  bench.sealer = sealer(OTHER);
  test.equal(bench.dialIn(4, '10.0.0.2', EMPTY_PUSH_PULL), undefined);
  test.equal(bench.count('drop:stream-undecryptable'), 1);
  bench.sealer = sealer(FILE);
  bench.hear('10.0.0.2', PING);
  test.match(bench.sent, [{ key: FILE.fingerprint, messages: [{ type: 'ack', seqNo: 7 }] }]);
  test.end();
});

void t.test('the key is the newest that the member announces', (test) => {
  const bench = sealedBench(rotatedRing());
  bench.alive('both', 2, { meta: metaWith([NEW, FILE]) });
  bench.alive('behind', 3, { meta: metaWith([FILE]) });
  bench.alive('ahead', 4, { meta: metaWith([OTHER, FILE]) });
  bench.alive('strange', 5, { meta: metaWith([OTHER]) });
  bench.wait(5000);
  test.equal(keyTo(bench, 2), NEW.fingerprint);
  test.equal(keyTo(bench, 3), FILE.fingerprint);
  test.equal(keyTo(bench, 4), FILE.fingerprint);
  test.equal(keyTo(bench, 5), FILE.fingerprint, 'the base key, for want of a better one');
  bench.alive('behind', 3, { meta: metaWith([NEW, FILE]), incarnation: 2 });
  bench.wait(5000);
  test.equal(keyTo(bench, 3), NEW.fingerprint, 'as soon as it announces more');
  test.end();
});

void t.test('members that announce nothing get the key of what they sent last', (test) => {
  const keyring = rotatedRing();
  const bench = sealedBench(keyring);
  bench.alive('serf', 2);
  bench.hear('10.0.0.9', {
    type: 'alive',
    node: 'far',
    addr: Uint8Array.of(10, 0, 0, 3),
    port: 7946,
    incarnation: 1,
    meta: null,
    vsn: Uint8Array.of(1, 5, 2, 0, 0, 0),
  });
  bench.wait(3000);
  test.equal(keyTo(bench, 2), FILE.fingerprint);
  test.equal(keyTo(bench, 3), FILE.fingerprint, 'the base key as long as it was not heard');
  bench.sealer = sealer(NEW);
  bench.hear('10.0.0.2', PING);
  test.equal(keyTo(bench, 2), NEW.fingerprint);
  keyring.use(FILE.fingerprint);
  keyring.remove(NEW.fingerprint);
  bench.wait(3000);
  test.equal(keyTo(bench, 2), FILE.fingerprint, 'and never one that we have no more');
  test.end();
});

void t.test('the answer on a stream is sealed with the key of its request', (test) => {
  const bench = sealedBench(rotatedRing());
  for (const [i, key] of [FILE, NEW].entries()) {
    bench.forget();
    bench.sealer = sealer(key);
    test.match(bench.dialIn(2 + 2 * i, '10.0.0.2', EMPTY_PUSH_PULL), { type: 'pushPull' });
    const write = bench.actions.find((action) => action.type === 'write');
    test.ok(write?.type === 'write');
    if (write?.type !== 'write') return;
    const block = write.bytes.subarray(5);
    const opened = aesGcm.open(key, block.subarray(1, 13), write.bytes.subarray(0, 5), block.subarray(13));
    test.ok(opened, `by ${key.toString()}`);
  }
  test.end();
});

void t.test('transition: both kinds are heard, answered in kind', (test) => {
  const bench = sealedBench(new Keyring([FILE]), 'transition');
  bench.sealer = undefined;
  bench.hear('10.0.0.2', PING);
  test.equal(keyTo(bench, 2), undefined);
  test.equal(bench.said('ack').length, 1);
  test.match(bench.dialIn(2, '10.0.0.2', EMPTY_PUSH_PULL), { type: 'pushPull' });
  bench.alive('off', 3, { meta: metaWith() });
  bench.sealer = sealer(FILE);
  bench.hear('10.0.0.4', PING);
  test.equal(keyTo(bench, 4), FILE.fingerprint);
  test.match(bench.dialIn(4, '10.0.0.4', EMPTY_PUSH_PULL), { type: 'pushPull' });
  bench.alive('on', 5, { meta: metaWith([FILE]) });
  bench.wait(5000);
  test.equal(keyTo(bench, 3), undefined, 'in clear to who has no key');
  test.equal(keyTo(bench, 5), FILE.fingerprint);
  test.end();
});

void t.test('transition: a join is tried sealed, then in clear', (test) => {
  const bench = sealedBench(new Keyring([FILE]), 'transition');
  bench.forget();
  bench.swim.join(bench.now, [{ ip: '10.0.0.2', port: 7946 }]);
  bench.poll();
  const firstBytes = (): number[] =>
    bench.actions.flatMap((action) => (action.type === 'write' ? [action.bytes[0]!] : []));
  const dials = (): number[] =>
    bench.actions.flatMap((action) => (action.type === 'dial' ? [action.id] : []));
  bench.swim.handleStreamConnect(bench.now, dials()[0]!);
  bench.swim.handleStreamEnd(bench.now, dials()[0]!, undefined);
  bench.poll();
  bench.swim.handleStreamConnect(bench.now, dials()[1]!);
  bench.swim.handleStreamEnd(bench.now, dials()[1]!, undefined);
  bench.poll();
  test.same(firstBytes(), [0x0a, 0x06]);
  test.match(
    bench.events.filter(({ type }) => type === 'join-result'),
    [{ error: /closed the stream/ }],
    'one result',
  );
  test.end();
});

void t.test('a flood of undecryptable packets is muted, and told of once', (test) => {
  const bench = sealedBench(new Keyring([FILE]));
  bench.alive('member', 3, { meta: metaWith([FILE]) });
  bench.forget();
  bench.sealer = sealer(OTHER);
  for (let i = 0; i < 1000; i++) bench.hear('10.0.0.2', PING);
  test.same(bench.sent, []);
  test.equal(bench.count('drop:packet-undecryptable'), 20, 'only so many are looked at');
  test.equal(bench.count('drop:packet-muted'), 980);
  test.match(
    bench.events.filter(({ type }) => type === 'undecryptable'),
    [{ addr: { ip: '10.0.0.2' }, count: 1 }],
  );
  bench.sealer = sealer(FILE);
  test.match(bench.dialIn(2, '10.0.0.2', EMPTY_PUSH_PULL), { type: 'pushPull' }, 'streams are not forged');
  bench.sealer = sealer(OTHER);

  for (let i = 0; i < 100; i++) bench.hear('10.0.0.3', PING);
  bench.sealer = sealer(FILE);
  bench.hear('10.0.0.3', PING);
  test.equal(bench.said('ack').length, 1, 'a flood in the name of a member does not cut it off');
  bench.wait(11_000);
  bench.forget();
  bench.hear('10.0.0.2', PING);
  test.equal(bench.said('ack').length, 1, 'and the mute passes');
  test.end();
});

void t.test('a flood of undecryptable streams is muted, and its packets are not', (test) => {
  const bench = sealedBench(new Keyring([FILE]));
  bench.forget();
  bench.sealer = sealer(OTHER);
  for (let i = 0; i < 100; i++) bench.dialIn(2 + 2 * i, '10.0.0.2', EMPTY_PUSH_PULL);
  test.equal(bench.count('drop:stream-undecryptable'), 20, 'only so many are looked at');
  test.equal(bench.count('drop:stream-muted'), 80);
  bench.sealer = sealer(FILE);
  bench.hear('10.0.0.2', PING);
  test.equal(bench.said('ack').length, 1);
  bench.wait(11_000);
  bench.forget();
  test.match(bench.dialIn(1000, '10.0.0.2', EMPTY_PUSH_PULL), { type: 'pushPull' }, 'the mute passes');
  test.end();
});

void t.test('the table of floods is bounded', (test) => {
  const guard = new FloodGuard();
  for (let i = 0; i < 5000; i++) guard.failed(i, `10.${i >> 8}.${i & 255}.1`);
  test.equal(guard.size, 1024);
  for (let i = 0; i < 20; i++) guard.failed(5000, 'a');
  test.ok(guard.isMuted(5000, 'a'));
  test.notOk(guard.isMuted(5600, 'a'));
  test.notOk(guard.isMuted(5000, 'b'));
  test.end();
});

void t.test('packets stay within their size, the seal included', (test) => {
  const filler = new Uint8Array(40).fill(5);
  const broadcasts = (_now: number, overhead: number, budget: number): Uint8Array[] =>
    Array.from({ length: Math.floor(budget / (40 + overhead)) }, () => filler);
  const bench = sealedBench(new Keyring([FILE]), 'required', { broadcasts });
  bench.alive('a', 2);
  bench.forget();
  bench.wait(3000);
  const sizes = bench.sent.map(({ bytes }) => bytes.length);
  test.ok(Math.max(...sizes) <= 1400 && Math.max(...sizes) > 1300, `${Math.max(...sizes)}`);
  // What the state layer may put into one packet (proto/state/options.ts) fits under the seal.
  bench.swim.sendUser(bench.now, { ip: '10.0.0.2', port: 7946 }, new Uint8Array(1350));
  test.throws(() => {
    bench.swim.sendUser(bench.now, { ip: '10.0.0.2', port: 7946 }, new Uint8Array(1366));
  }, /1365 bytes at most/);
  test.end();
});

void t.test('compression, where it is asked for', (test) => {
  const bench = new Bench({ compress: true }, {}, undefined);
  bench.alive('a', 2);
  bench.forget();
  bench.swim.sendUser(bench.now, { ip: '10.0.0.2', port: 7946 }, new Uint8Array(1000));
  bench.poll();
  test.ok(bench.sent[0]!.bytes.length < 300);
  test.match(bench.sent[0]!.messages, [{ type: 'user' }]);
  test.match(bench.dialIn(2, '10.0.0.2', EMPTY_PUSH_PULL), { type: 'pushPull' });
  const write = bench.actions.find((action) => action.type === 'write');
  test.ok(write?.type === 'write' && write.bytes[0] === 9);
  test.end();
});
