/**
 * Sealed networks in the core: nothing in clear gets out or in, whatever arrives (checklist 2.10, 3.4; GHSA-vwm3-crmr-xfxw:
 * CVE-2023-28840, -28841, -28842).
 */
import { createCipheriv } from 'node:crypto';
import t from 'tap';
import { concat, mac, mustEqual, u32 } from '../model/bytes.ts';
import { BROADCAST, GSO, MAC_A, MAC_B, arp, ethernet, pattern, tcp, vnet } from '../model/frame.ts';
import { vxlan } from '../model/harness.ts';
import { SEALED_NET, SEALED_VNI, sealedPair } from '../model/sealed-host.ts';
import { segment } from '../model/segment.ts';

const A = '192.0.2.1';
const KEY = new Uint8Array(32).fill(1);
const TAG = 16;
const LEAD = 16;
const RUN = 50;

const plain = (to: string, from = MAC_A): Uint8Array => ethernet(to, from, 0x88b5, pattern(50));

/** The format of core-wasm/sealed.ts, written a second time. */
function reference(key: Uint8Array, index: number, counter: bigint, text: Uint8Array): Uint8Array {
  const header = concat(Uint8Array.of(4, 0, 0, 0), u32(index));
  const wire = Buffer.alloc(8);
  wire.writeBigUInt64BE(counter);
  const cipher = createCipheriv('aes-256-gcm', key, concat(new Uint8Array(4), wire));
  cipher.setAAD(concat(header, Buffer.from('ov1'), Uint8Array.of(text.length >> 8, text.length & 255)));
  const sealed = cipher.update(text);
  cipher.final();
  return concat(header, wire, sealed, cipher.getAuthTag());
}

for (const build of ['release', 'debug'] as const) {
  for (const ciphers of [
    ['openssl', 'openssl'],
    ['node', 'openssl'],
    ['openssl', 'node'],
  ] as const) {
    void t.test(`${build}: sealed by ${ciphers[0]}, opened by ${ciphers[1]}`, async (sub) => {
      const { a, b } = sealedPair(build, ciphers);
      for (let i = 0; i < 3; i++) {
        a.h.tap(0, vnet(), plain(MAC_B));
        const [datagram = new Uint8Array(), ...rest] = a.sent();
        sub.equal(rest.length, 0);
        const inside = vxlan(SEALED_VNI, plain(MAC_B));
        mustEqual([datagram], [reference(KEY, 0x0b0b0b0b, BigInt(i), inside)]);
        b.receive(A, datagram);
        mustEqual(
          b.h.outs().map((o) => o.frame),
          [plain(MAC_B)],
        );
        b.h.reset();
      }
      sub.equal(a.h.counter('sealed'), 3);
      sub.equal(b.h.counter('opened'), 3);
      sub.equal(a.h.imbalance() + b.h.imbalance(), 0);
      a.close();
      b.close();
    });
  }

  void t.test(
    `${build}: a super-frame is cut, sealed as one send, opened as one run, and whole again`,
    async (sub) => {
      const { a, b } = sealedPair(build);
      const built = tcp({ version: 4, payload: pattern(20_000), flags: 0x10 }, 'partial');
      const header = vnet({ flags: 1, gsoType: GSO.tcpv4, gsoSize: 1360, csumStart: 34, csumOffset: 16 });
      a.h.tap(0, header, built.frame);
      const messages = a.h.messages();
      sub.equal(messages.length, 1);
      const size = messages[0]?.segment ?? 0;
      sub.equal(size, LEAD + 8 + built.headers + 1360 + TAG);
      const datagrams = a.sent();
      sub.equal(datagrams.length, 15);
      b.receive(A, concat(...datagrams), size);
      const outs = b.h.outs();
      sub.equal(outs.length, 1, 'one super-frame');
      mustEqual(segment(outs[0]?.vnet ?? header, outs[0]?.frame ?? header), segment(header, built.frame));
      sub.equal(b.h.imbalance(), 0);
      a.close();
      b.close();
    },
  );

  void t.test(`${build}: CVE-2023-28841: without a session nothing leaves`, async (sub) => {
    const { a } = sealedPair(build);
    a.h.command('SESSION_DEL', { a: 0 });
    a.h.tap(0, vnet(), plain(MAC_B));
    a.h.tap(0, vnet(), plain(BROADCAST));
    a.h.tap(0, vnet(), plain('02:00:00:00:00:99'));
    sub.strictSame(a.sent(), []);
    sub.equal(a.h.drops('no-session'), 3);
    sub.equal(a.h.imbalance(), 0);
    a.close();
  });

  void t.test(`${build}: CVE-2023-28840: a clear frame of a sealed network does not get in`, async (sub) => {
    const { b } = sealedPair(build);
    b.receive(A, vxlan(SEALED_VNI, plain(MAC_B)));
    b.receive(A, vxlan(SEALED_VNI, plain(BROADCAST)));
    b.receive(A, vxlan(SEALED_VNI, arp({ senderMac: MAC_A, senderIp: '10.42.0.1', targetIp: '10.42.0.2' })));
    sub.equal(b.h.drops('clear-refused'), 3);
    sub.strictSame(b.h.outs(), []);
    sub.equal(b.h.imbalance(), 0);
    b.close();
  });

  void t.test(
    `${build}: a sealed frame of a clear network does not get in, nor one of another VNI`,
    async (sub) => {
      const { b } = sealedPair(build);
      b.h.network(4, 77);
      b.h.port(1, 4);
      b.h.fdb(4, mac(MAC_B), 1, b.h.constant('FDB_LOCAL'));
      b.receive(A, reference(KEY, 0x0b0b0b0b, 0n, vxlan(77, plain(MAC_B))));
      b.receive(A, reference(KEY, 0x0b0b0b0b, 1n, vxlan(78, plain(MAC_B))));
      sub.equal(b.h.drops('sealed-refused'), 1);
      sub.equal(b.h.drops('unknown-vni'), 1);
      sub.strictSame(b.h.outs(), []);
      b.close();
    },
  );

  void t.test(`${build}: every bit that is flipped is found`, async (sub) => {
    const { b } = sealedPair(build);
    const good = reference(KEY, 0x0b0b0b0b, 9n, vxlan(SEALED_VNI, plain(MAC_B)));
    for (let bit = 0; bit < good.length * 8; bit++) {
      const bad = good.slice();
      bad[bit >> 3] = (bad[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      b.receive(A, bad);
      if (b.h.outs().length > 0) sub.fail(`bit ${bit}`);
    }
    sub.equal(b.h.counter('delivered'), 0);
    sub.equal(b.h.imbalance(), 0);
    b.receive(A, good);
    sub.equal(b.h.counter('delivered'), 1, 'none of them has used up its counter');
    b.close();
  });

  void t.test(`${build}: replays, reflections, and other hosts' datagrams`, async (sub) => {
    const { a, b } = sealedPair(build);
    const first = reference(KEY, 0x0b0b0b0b, 5n, vxlan(SEALED_VNI, plain(MAC_B)));
    b.receive(A, first);
    b.receive(A, first);
    b.receive(A, concat(first, first), first.length);
    sub.equal(b.h.drops('replay'), 3);
    const twins = reference(KEY, 0x0b0b0b0b, 6n, vxlan(SEALED_VNI, plain(MAC_B)));
    b.receive(A, concat(twins, twins), twins.length);
    sub.equal(b.h.drops('replay'), 4, 'also when both came in one receive');
    a.h.tap(0, vnet(), plain(MAC_B));
    const [own = new Uint8Array()] = a.sent();
    a.receive('192.0.2.2', own);
    sub.equal(a.h.drops('no-session'), 1, 'reflected: the index is not ours');
    b.h.peer(8, '192.0.2.8');
    b.receive('192.0.2.8', reference(KEY, 0x0b0b0b0b, 7n, vxlan(SEALED_VNI, plain(MAC_B))));
    sub.equal(b.h.drops('no-session'), 1, 'another member under this session');
    sub.equal(b.h.counter('delivered'), 2);
    sub.equal(b.h.imbalance(), 0);
    a.close();
    b.close();
  });

  void t.test(`${build}: 3.36 the replay window is 16,320 counters wide`, async (sub) => {
    const { b } = sealedPair(build);
    const deliver = (counter: bigint): boolean => {
      const before = b.h.counter('opened');
      b.receive(A, reference(KEY, 0x0b0b0b0b, counter, new Uint8Array()));
      return b.h.counter('opened') > before;
    };
    sub.ok(deliver(0n));
    sub.ok(deliver(20_000n));
    sub.notOk(deliver(20_000n - 16_320n));
    sub.ok(deliver(20_000n - 16_319n));
    sub.notOk(deliver(20_000n - 16_319n));
    sub.ok(deliver(1n << 40n), 'a leap');
    sub.ok(deliver((1n << 40n) - 1n));
    sub.notOk(deliver(20_001n));
    sub.equal(b.h.drops('replay'), 3);
    b.close();
  });

  void t.test(`${build}: the first datagram on a session is told of, once`, async (sub) => {
    const { b } = sealedPair(build);
    b.receive(A, reference(KEY, 0x0b0b0b0b, 0n, vxlan(SEALED_VNI, plain(MAC_B))));
    b.receive(A, reference(KEY, 0x0b0b0b0b, 1n, new Uint8Array()));
    const heard = b.h.events().filter(({ type }) => type === 'session-heard');
    sub.strictSame(
      heard.map(({ c }) => c),
      [0],
    );
    sub.equal(b.h.drops('truncated'), 1, 'no frame in it');
    sub.equal(b.h.imbalance(), 0);
    b.close();
  });

  void t.test(`${build}: handshake messages go to control, at a bounded rate`, async (sub) => {
    const { b } = sealedPair(build);
    const message = concat(Uint8Array.of(1, 0, 0, 0), pattern(144));
    for (let i = 0; i < 300; i++) b.receive(A, message);
    b.receive(A, concat(Uint8Array.of(5, 0, 0, 0), pattern(28)));
    const slots = b.h.constant('PUNT_SLOTS');
    sub.equal(b.h.counter('punted'), slots);
    sub.equal(b.h.drops('punt-rate'), 301 - slots);
    sub.equal(b.h.events().filter(({ type }) => type === 'punted').length, 1, 'one doorbell');
    b.receive('203.0.113.1', message);
    sub.equal(b.h.drops('not-a-member'), 1);
    b.receive(A, concat(message, new Uint8Array(200)));
    sub.equal(b.h.drops('truncated'), 1, 'longer than any');
    sub.equal(b.h.imbalance(), 0);
    b.close();
  });

  void t.test(`${build}: 3.37 counters end far below where they could come round`, async (sub) => {
    const { a } = sealedPair(build);
    const sealed = a.h.constant('SESSION_BASE') + a.h.constant('SESSION_SEALED');
    a.h.core.view.setBigUint64(sealed, 2n ** 36n - 1n, true);
    a.h.tap(0, vnet(), plain(MAC_B));
    sub.equal(a.h.counter('sealed'), 1, 'the last one');
    a.h.tap(0, vnet(), plain(MAC_B));
    sub.equal(a.h.drops('no-session'), 1);
    sub.equal(a.h.imbalance(), 0);
    a.close();
  });

  void t.test(`${build}: sessions end with their peer`, async (sub) => {
    const { a, b } = sealedPair(build);
    sub.notOk(a.session(1, 0x0a0a0a0a, 1, KEY, KEY), 'an index in use');
    a.h.command('PEER_DEL', { a: 7 });
    a.h.peer(7, '192.0.2.9');
    a.h.fdb(SEALED_NET, mac(MAC_B), 7);
    a.h.tap(0, vnet(), plain(MAC_B));
    sub.equal(a.h.drops('no-session'), 1, 'a new host under an old number has none');
    a.close();
    b.close();
  });
}

void t.test('a million forged datagrams: none gets in, and the good one after them does', async (sub) => {
  const { b } = sealedPair('release');
  const good = reference(KEY, 0x0b0b0b0b, 1n, vxlan(SEALED_VNI, plain(MAC_B)));
  const run = new Uint8Array(good.length * RUN);
  let state = 20261122;
  const dice = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0);
  for (let sent = 0; sent < 1_000_000; sent += RUN) {
    for (let i = 0; i < RUN; i++) {
      const at = i * good.length;
      run.set(good, at);
      // Of a known session with fresh counters: all but the key is right.
      run[at + 11] = dice() >>> 24;
      run[at + 12] = dice() >>> 24;
      run[at + 15] = dice() >>> 24;
      const place = at + LEAD + (dice() % (good.length - LEAD));
      run[place] = (run[place] ?? 0) ^ (1 + ((dice() >>> 24) % 255));
    }
    b.receive(A, run, good.length);
    if (b.h.outs().length > 0) sub.fail('one got in');
  }
  sub.equal(b.h.drops('bad-seal'), 1_000_000);
  sub.equal(b.h.counter('delivered'), 0);
  b.receive(A, good);
  sub.equal(b.h.counter('delivered'), 1);
  sub.equal(b.h.imbalance(), 0);
  b.close();
});
