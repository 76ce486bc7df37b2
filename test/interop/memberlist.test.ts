import { randomBytes } from 'node:crypto';
import t from 'tap';
import type { Test } from 'tap';
import { aesGcm, sha256 } from '../../agent/crypto/aes-gcm.ts';
import { Keyring } from '../../proto/keyring/keyring.ts';
import { SecretKey } from '../../proto/keyring/secret-key.ts';
import type { SwimDelegate } from '../../proto/swim/interface.ts';
import type { SwimOptions } from '../../proto/swim/options.ts';
import type { SwimDeps } from '../../proto/swim/swim.ts';
import { GoPeer, buildGoPeer, whyNoGo } from './go-peer.ts';
import { RealMember, eventually } from './member.ts';

/**
 * Members of ours beside HashiCorp's memberlist (Go, LZW on) with a delegate of the tests: what carries user data, and
 * the failure detector under one-way faults. Loopback addresses, one network of them for each test; all run at once.
 * Skipped with the reason where Go is missing; with OVERLAYD_TEST=required that is a failure.
 */
t.setTimeout(600_000);
t.jobs = 8;

const reason = whyNoGo();
const isRequired = process.env['OVERLAYD_TEST'] === 'required';
const skip = reason !== undefined && !isRequired && reason;
if (isRequired) t.equal(reason, undefined, 'Go and its memberlist are there');

const go = reason === undefined ? buildGoPeer() : undefined;
t.teardown(() => go?.remove());

const SOON_MS = 60_000;
/** Our plain user messages do not begin with 0xd7: nothing above membership reads them here. */
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

class Network {
  readonly #prefix: string;
  readonly #test: Test;

  constructor(test: Test, number: number) {
    this.#test = test;
    this.#prefix = `127.74.${number}`;
  }

  ip(host: number): string {
    return `${this.#prefix}.${host}`;
  }

  async goPeer(name: string, host: number, ...more: string[]): Promise<GoPeer> {
    const peer = await GoPeer.start(go!.program, name, this.ip(host), ...more);
    this.#test.teardown(() => peer.stop());
    return peer;
  }

  /** Joins host 1. */
  async ours(
    name: string,
    host: number,
    options: Partial<SwimOptions> = {},
    deps: Partial<Pick<SwimDeps, 'delegate' | 'sealing'>> = {},
  ): Promise<RealMember> {
    const seeds = [{ ip: this.ip(1), port: 7946 }];
    const member = await RealMember.open(name, this.ip(host), { seeds, ...options }, 7946, deps);
    this.#test.teardown(() => member.close());
    return member;
  }
}

/** Both list both. */
const met = async (ours: RealMember, ...peers: GoPeer[]): Promise<boolean> =>
  eventually(async () => {
    const names = [ours.swim.self.name, ...peers.map(({ name }) => name)].sort().join(' ');
    for (const peer of peers) {
      if ((await peer.members()) !== names || ours.stateOf(peer.name) !== 'alive') return false;
    }
    return true;
  }, SOON_MS);

const has = (ours: RealMember, type: string, name: string): boolean =>
  ours.events.some((event) => event.type === type && 'member' in event && event.member.name === name);

const count = (ours: RealMember, name: string): number => ours.swim.counters().counts.get(name) ?? 0;

const quiet = { buffered: true, skip };

void t.test('what the delegates carry: user state, ack payloads, messages, meta', quiet, async (test) => {
  const net = new Network(test, 1);
  const peer = await net.goPeer('go1', 1);
  const [theirState, theirAck] = [hex(randomBytes(5_000)), hex(randomBytes(18))];
  await peer.do(`state ${theirState}`);
  await peer.do(`ack ${theirAck}`);
  const [ourState, ourAck] = [randomBytes(3_000), randomBytes(18)];
  const delegate: SwimDelegate = {
    localState: (_now, join) => Buffer.concat([ourState, Buffer.from([Number(join)])]),
    broadcasts: () => [],
    ackPayload: () => ourAck,
  };
  const ours = await net.ours('ours', 2, {}, { delegate });
  test.ok(await met(ours, peer));

  // The join, and a push/pull that Go begins (every 2 s).
  for (const join of [true, false]) {
    const said = hex(ourState) + (join ? '01' : '00');
    test.ok(await eventually(() => peer.has('state', { join, bytes: said }), SOON_MS), `state, join ${join}`);
  }
  const heard = (event: RealMember['events'][number], join: boolean): boolean =>
    event.type === 'remote-state' && event.join === join && hex(event.bytes) === theirState;
  test.ok(await eventually(() => ours.events.some((event) => heard(event, true)), SOON_MS));
  test.ok(await eventually(() => ours.events.some((event) => heard(event, false)), SOON_MS));
  test.ok(
    await eventually(() => peer.has('ack', { name: 'ours', bytes: hex(ourAck) }), SOON_MS),
    'our payload',
  );
  const isTheirAck = (event: RealMember['events'][number]): boolean =>
    event.type === 'ack-payload' && event.node === 'go1' && hex(event.bytes) === theirAck;
  test.ok(await eventually(() => ours.events.some(isTheirAck), SOON_MS), 'their payload');

  const [small, large] = [randomBytes(1_200), randomBytes(600_000)];
  const to = { ip: peer.ip, port: 7946 };
  ours.do((swim, now) => swim.sendUser(now, to, small));
  ours.do((swim, now) => swim.sendUserReliable(now, to, large));
  for (const bytes of [small, large]) {
    test.ok(
      await eventually(() => peer.has('user', { bytes: hex(bytes) }), SOON_MS),
      `${bytes.length} to Go`,
    );
  }
  await peer.do(`udp ours ${hex(small)}`);
  await peer.do(`tcp ours ${hex(large)}`);
  const rider = randomBytes(300);
  await peer.do(`broadcast ${hex(rider)}`);
  for (const [bytes, reliable] of [
    [small, false],
    [large, true],
    [rider, false],
  ] as const) {
    const isIt = (event: RealMember['events'][number]): boolean =>
      event.type === 'user' && event.reliable === reliable && Buffer.compare(event.bytes, bytes) === 0;
    test.ok(await eventually(() => ours.events.some(isIt), SOON_MS), `${bytes.length} from Go`);
  }

  // Meta: 512 bytes are the limit on both sides.
  const [theirMeta, ourMeta] = [randomBytes(512), randomBytes(512)];
  await peer.do(`meta ${hex(theirMeta)}`);
  ours.do((swim, now) => swim.setMeta(now, ourMeta));
  test.ok(await eventually(() => peer.has('update', { name: 'ours', meta: hex(ourMeta) }), SOON_MS));
  test.ok(await eventually(() => hex(ours.swim.member('go1')!.meta) === hex(theirMeta), SOON_MS));
  test.throws(() => ours.do((swim, now) => swim.setMeta(now, randomBytes(513))), RangeError);

  await peer.do('leave');
  test.ok(await eventually(() => ours.stateOf('go1') === 'left', SOON_MS), 'their leave');
  test.same(peer.complaints, []);
  test.notOk(has(ours, 'dead', 'go1'));
});

void t.test('our leave; speakers of protocol 1 and 5', quiet, async (test) => {
  const net = new Network(test, 2);
  const first = await net.goPeer('go1', 1, '-protocol', '1');
  const second = await net.goPeer('go5', 3, '-protocol', '5', '-compress=false');
  await second.do(`join ${first.ip}`);
  const ours = await net.ours('ours', 2);
  test.ok(await met(ours, first, second));
  for (const peer of [first, second]) {
    const bytes = randomBytes(40);
    await peer.do(`udp ours ${hex(bytes)}`);
    test.ok(
      await eventually(
        () => ours.events.some((e) => e.type === 'user' && hex(e.bytes) === hex(bytes)),
        SOON_MS,
      ),
    );
    ours.do((swim, now) => swim.sendUser(now, { ip: peer.ip, port: 7946 }, bytes));
    test.ok(await eventually(() => peer.has('user', { bytes: hex(bytes) }), SOON_MS));
  }
  ours.do((swim, now) => swim.leave(now));
  for (const peer of [first, second]) {
    test.ok(await eventually(() => peer.has('leave', { name: 'ours' }), SOON_MS), `${peer.name} saw it`);
  }
  // A member that left may come back.
  ours.do((swim, now) => swim.join(now, [{ ip: first.ip, port: 7946 }]));
  test.ok(await met(ours, first, second));
  test.same([...first.complaints, ...second.complaints], []);
});

void t.test('a name that is taken stays where it is', quiet, async (test) => {
  const net = new Network(test, 3);
  const peer = await net.goPeer('go1', 1);
  const ours = await net.ours('ours', 2);
  test.ok(await met(ours, peer));
  const thief = await net.goPeer('ours', 3);
  await thief.do(`join ${net.ip(1)}`);
  test.ok(await eventually(() => peer.has('conflict', { addr: `${net.ip(3)}:7946` }), SOON_MS), 'Go says so');
  // The thief's word about our name comes to us as a push/pull or as gossip: we say it louder.
  await thief.do(`join ${net.ip(2)}`);
  await eventually(() => false, 3_000);
  const ourAddress = peer.events.findLast(({ type, name }) => type === 'join' && name === 'ours');
  test.equal(ourAddress?.addr, `${net.ip(2)}:7946`);
  test.notOk(peer.has('leave', { name: 'ours' }));
  const second = await net.ours('go1', 4);
  const isConflict = (event: RealMember['events'][number]): boolean =>
    event.type === 'conflict' && event.existing.name === 'go1' && event.other.ip === net.ip(4);
  test.ok(await eventually(() => ours.events.some(isConflict), SOON_MS), 'and so do we');
  test.equal(ours.swim.member('go1')?.addr.ip, net.ip(1));
  await second.close();
  const isProvoked = /Conflicting address|Failed push\/pull merge|Failed to join/;
  test.same(
    [...peer.complaints].filter((line) => !isProvoked.test(line)),
    [],
  );
});

void t.test('a suspicion is refuted, on both sides', quiet, async (test) => {
  // Time enough to refute on a busy machine.
  const net = new Network(test, 4);
  const peer = await net.goPeer('go1', 1, '-suspicion', '10');
  const ours = await net.ours('ours', 2, { suspicionMult: 10 });
  test.ok(await met(ours, peer));
  peer.signal('SIGSTOP');
  test.ok(await eventually(() => ours.stateOf('go1') === 'suspect', SOON_MS), 'we suspect');
  peer.signal('SIGCONT');
  test.ok(await eventually(() => ours.stateOf('go1') === 'alive', SOON_MS), 'Go refutes');
  test.notOk(has(ours, 'dead', 'go1'));

  const before = ours.swim.self.incarnation;
  await peer.do(`deaf udp ${net.ip(2)}`);
  await peer.do(`deaf tcp ${net.ip(2)}`);
  test.ok(await eventually(() => /Suspect ours/.test(peer.log), SOON_MS), 'Go suspects');
  await peer.do('deaf udp');
  await peer.do('deaf tcp');
  test.ok(await eventually(() => ours.swim.self.incarnation > before, SOON_MS), 'we refute');
  await eventually(() => false, 5_000);
  test.equal(await peer.members(), 'go1 ours');
  test.notOk(peer.has('leave', { name: 'ours' }));
  const isProvoked = /Failed fallback ping|Push\/Pull with ours failed|Failed to send|timed? ?out/i;
  test.same(
    peer.complaints.filter((line) => !isProvoked.test(line)),
    [],
  );
});

void t.test('probes by way of others, and by TCP', quiet, async (test) => {
  const net = new Network(test, 5);
  const [first, second] = [await net.goPeer('go1', 1), await net.goPeer('go2', 3)];
  await second.do(`join ${first.ip}`);
  const ours = await net.ours('ours', 2);
  test.ok(await met(ours, first, second));

  // We and the first do not hear each other: the second asks for us, and tells the first of us.
  await first.do(`deaf udp ${net.ip(2)}`);
  await first.do(`deaf tcp ${net.ip(2)}`);
  const asked = count(ours, 'indirectPing:out');
  test.ok(await eventually(() => count(ours, 'indirectPing:out') >= asked + 3, SOON_MS), 'we ask the second');
  await eventually(() => false, 3_000);
  test.ok(await eventually(() => ours.stateOf('go1') === 'alive', SOON_MS));
  test.equal(await first.members(), 'go1 go2 ours');

  // The two of Go do not hear each other: we are the relay.
  await first.do('deaf udp');
  await first.do('deaf tcp');
  await first.do(`deaf udp ${second.ip}`);
  await first.do(`deaf tcp ${second.ip}`);
  const served = count(ours, 'indirectPing:in');
  test.ok(await eventually(() => count(ours, 'indirectPing:in') >= served + 3, SOON_MS), 'we are asked');
  await eventually(() => false, 2_000);
  for (const peer of [first, second]) {
    test.equal(await peer.members(), 'go1 go2 ours');
    for (const name of ['go1', 'go2', 'ours']) test.notOk(peer.has('leave', { name }), `${name} stayed`);
  }
  test.same(
    [...ours.events].filter(({ type }) => type === 'dead'),
    [],
  );
});

void t.test('TCP pings stand in for lost datagrams', quiet, async (test) => {
  const net = new Network(test, 6);
  const peer = await net.goPeer('go1', 1);
  const ours = await net.ours('ours', 2);
  test.ok(await met(ours, peer));
  await peer.do(`deaf udp ${net.ip(2)}`);
  const isWarned = /Was able to (connect to|reach) ours/;
  test.ok(await eventually(() => isWarned.test(peer.log), SOON_MS), 'Go reached us by TCP');
  await eventually(() => false, 6_000);
  test.equal(await peer.members(), 'go1 ours');
  test.ok(await eventually(() => ours.stateOf('go1') === 'alive', SOON_MS));
  test.notOk(has(ours, 'dead', 'go1'), 'nor did we ever give it up');
  test.notOk(peer.has('leave', { name: 'ours' }));
  test.same(peer.complaints, []);
});

/** Both ways, by datagram and by stream. */
async function talk(test: Test, ours: RealMember, peer: GoPeer, step: string): Promise<void> {
  const [short, long] = [randomBytes(300), randomBytes(30_000)];
  const to = { ip: peer.ip, port: 7946 };
  ours.do((swim, now) => swim.sendUser(now, to, short));
  ours.do((swim, now) => swim.sendUserReliable(now, to, long));
  await peer.do(`udp ours ${hex(short)}`);
  await peer.do(`tcp ours ${hex(long)}`);
  for (const bytes of [short, long]) {
    const isIt = (event: RealMember['events'][number]): boolean =>
      event.type === 'user' && Buffer.compare(event.bytes, bytes) === 0;
    const isDone = (): boolean => peer.has('user', { bytes: hex(bytes) }) && ours.events.some(isIt);
    test.ok(await eventually(isDone, SOON_MS), `${step}: ${bytes.length} bytes, both ways, ${peer.name}`);
  }
}

void t.test('sealed: keys of all lengths, both versions, and their rotation', quiet, async (test) => {
  const net = new Network(test, 8);
  const [short, middle, long] = [16, 24, 32].map((length) => randomBytes(length)) as [Buffer, Buffer, Buffer];
  const key = (bytes: Buffer): SecretKey => new SecretKey(bytes, sha256);
  // The first speaks protocol 1 and so seals by version 0; each has its own idea of the primary.
  const first = await net.goPeer('go1', 1, '-protocol', '1', '-keys', `${hex(short)},${hex(long)}`);
  const second = await net.goPeer('go2', 3, '-keys', `${hex(long)},${hex(short)}`);
  await second.do(`join ${first.ip}`);
  const keyring = new Keyring([key(long), key(short)]);
  const sealing = { aead: aesGcm, keyring, mode: 'required' as const, announcedKeys: () => undefined };
  const ours = await net.ours('ours', 2, {}, { sealing });
  const peers = [first, second];
  test.ok(await met(ours, ...peers));
  for (const peer of peers) await talk(test, ours, peer, 'mixed order');

  // The order of a rotation: all have it, all use it, nobody has the old ones any more.
  for (const peer of peers) await peer.do(`key add ${hex(middle)}`);
  test.ok(keyring.add(key(middle), 'hand'));
  await second.do(`key use ${hex(middle)}`);
  await talk(test, ours, second, 'Go uses the new one');
  test.ok(keyring.use(key(middle).fingerprint));
  await first.do(`key use ${hex(middle)}`);
  for (const peer of peers) await talk(test, ours, peer, 'all use it');
  for (const old of [short, long]) {
    for (const peer of peers) await peer.do(`key remove ${hex(old)}`);
    test.ok(keyring.remove(key(old).fingerprint));
  }
  for (const peer of peers) await talk(test, ours, peer, 'the old ones are gone');
  test.equal(await first.members(), 'go1 go2 ours');
  test.same(
    ours.events.filter(({ type }) => type === 'dead'),
    [],
  );
  for (const name of ['drop:packet-undecryptable', 'drop:stream-undecryptable'])
    test.equal(count(ours, name), 0, name);
  test.same([...first.complaints, ...second.complaints], []);

  // Who has another key, or none, is not let in, and is not answered.
  const stranger = await net.goPeer('stranger', 9, '-keys', hex(randomBytes(16)));
  const clear = await net.goPeer('clear', 10);
  for (const peer of [stranger, clear]) {
    await peer.do(`join ${net.ip(2)}`).then(
      () => test.fail(`${peer.name} joined`),
      () => test.pass(`${peer.name} is refused`),
    );
    test.equal(ours.stateOf(peer.name), undefined);
  }
});

void t.test('a label keeps us apart from a cluster without one', quiet, async (test) => {
  // Debian's memberlist 0.2.2 knows no labels: to it the first byte of ours is a message type that there is not.
  const net = new Network(test, 7);
  const peer = await net.goPeer('go1', 1);
  const ours = await net.ours('ours', 2, { label: 'blue' });
  const isRefused = (event: RealMember['events'][number]): boolean =>
    event.type === 'join-result' && event.error !== undefined;
  test.ok(await eventually(() => ours.events.some(isRefused), SOON_MS));
  await peer.do(`join ${net.ip(2)}`).then(
    () => test.fail('joined'),
    () => test.pass('refused'),
  );
  test.equal(await peer.members(), 'go1');
  test.equal(ours.stateOf('go1'), undefined);
});
