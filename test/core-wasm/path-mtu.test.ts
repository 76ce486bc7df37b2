/**
 * A path that takes less than endpoints send (issue 5.5; checklist 3.16, 3.17): connections are told at their start, running
 * ones are cut smaller, senders of what must stay whole hear of it, and nothing larger than the path ever leaves.
 */
import t from 'tap';
import type { Test } from 'tap';
import { concat, ip, mac, mustEqual, onesSum, read16, read32, u16, u32, write16 } from '../model/bytes.ts';
import {
  ACK,
  BROADCAST,
  CWR,
  FIN,
  GSO,
  MAC_A,
  MAC_B,
  PSH,
  ethernet,
  pattern,
  tcp,
  udp,
  vnet,
} from '../model/frame.ts';
import type { Built, FlowSpec, TcpSpec } from '../model/frame.ts';
import { Harness, vxlan } from '../model/harness.ts';
import { reassemble } from '../model/fragment.ts';
import { sealedPair } from '../model/sealed-host.ts';
import { isSound, segment } from '../model/segment.ts';

const NET = 3;
const VNI = 4096;
const PEER = '192.0.2.7';
const SYN = 0x02;
const VXLAN = 8;
/** UDP payload of a path of 1,400 bytes over IPv4, and what that leaves for the IP packet of a container. */
const PAYLOAD = 1372;
const INNER = PAYLOAD - VXLAN - 14;

function bench(build: 'release' | 'debug', payload = PAYLOAD): Harness {
  const h = new Harness(build);
  h.network(NET, VNI);
  h.port(0, NET);
  h.peer(7, PEER, payload);
  h.fdb(NET, mac(MAC_B), 7);
  h.fdb(NET, mac(MAC_A), 0, h.constant('FDB_LOCAL'));
  return h;
}

const mssOption = (mss: number): Uint8Array => concat(Uint8Array.of(2, 4), u16(mss));
const sackAnd = (mss: number): Uint8Array => concat(Uint8Array.of(4, 2), mssOption(mss), Uint8Array.of(1, 1));
/** The option at an odd offset: its value then lies across the words of the checksum. */
const oddly = (mss: number): Uint8Array => concat(Uint8Array.of(1), mssOption(mss), Uint8Array.of(1, 1, 1));

function sent(h: Harness): Uint8Array[] {
  const frames = h.datagrams().map(({ bytes }) => bytes.slice(VXLAN));
  h.reset();
  return frames;
}

function valueOf(frame: Uint8Array, built: Built, option: number): number {
  return read16(frame, built.l4 + 20 + option);
}

/** Frame and vnet header of a super-frame. */
function superTcp(spec: TcpSpec, size: number): { header: Uint8Array; frame: Uint8Array } {
  const built = tcp(spec, 'partial');
  const type = spec.version === 4 ? GSO.tcpv4 : GSO.tcpv6;
  const header = vnet({ flags: 1, gsoType: type, gsoSize: size, csumStart: built.l4, csumOffset: 16 });
  return { header, frame: built.frame };
}

function resized(header: Uint8Array, size: number): Uint8Array {
  const copy = header.slice();
  copy[4] = size & 255;
  copy[5] = size >> 8;
  return copy;
}

/** The only one of a list. */
function only<T>(list: readonly T[]): T {
  const [one, ...more] = list;
  if (one === undefined || more.length > 0) throw new Error(`${list.length} instead of one`);
  return one;
}

const versions = [4, 6] as const;
const builds = ['release', 'debug'] as const;

/** What a "too big" must say to the sender of `original`. */
function isTooBig(sub: Test, answer: Uint8Array, original: Uint8Array, version: 4 | 6, mtu: number): void {
  sub.same(answer.slice(0, 6), mac(MAC_A), 'to who sent it');
  sub.same(answer.slice(6, 12), mac(MAC_B), 'as from whom it was for');
  const l3 = 14;
  if (version === 4) {
    sub.equal(onesSum(answer.slice(l3, l3 + 20)), 0xffff, 'the IPv4 checksum is right');
    sub.equal(answer[l3 + 9], 1);
    sub.same(answer.slice(l3 + 12, l3 + 20), concat(original.slice(30, 34), original.slice(26, 30)));
    sub.equal(read16(answer, l3 + 2), answer.length - l3);
    sub.equal(read16(answer, l3 + 20), 0x0304);
    sub.equal(onesSum(answer.slice(l3 + 20)), 0xffff, 'the ICMP checksum is right');
    sub.equal(read16(answer, l3 + 26), mtu);
    sub.ok(answer.length <= l3 + 576);
    sub.same(answer.slice(l3 + 28), original.slice(l3, l3 + answer.length - l3 - 28), 'the packet is quoted');
    return;
  }
  sub.equal(answer[l3 + 6], 58);
  sub.same(answer.slice(l3 + 8, l3 + 40), concat(original.slice(38, 54), original.slice(22, 38)));
  const pseudo = concat(answer.slice(l3 + 8, l3 + 40), u32(answer.length - l3 - 40), u32(58));
  sub.equal(onesSum(pseudo, answer.slice(l3 + 40)), 0xffff, 'the ICMPv6 checksum is right');
  sub.equal(read16(answer, l3 + 40), 0x0200);
  sub.equal(read32(answer, l3 + 44), mtu);
  sub.ok(answer.length <= l3 + 1280);
  sub.same(answer.slice(l3 + 48), original.slice(l3, l3 + answer.length - l3 - 48), 'the packet is quoted');
}

for (const build of builds) {
  void t.test(
    `5.5 ${build}: the MSS of SYN and SYN-ACK is lowered to what the path takes, both ways`,
    async (sub) => {
      for (const version of versions) {
        for (const [options, at] of [
          [mssOption, 2],
          [sackAnd, 4],
          [oddly, 3],
        ] as const) {
          for (const tags of [[], [100]]) {
            const most = INNER - 4 * tags.length - (version === 4 ? 40 : 60);
            const h = bench(build);
            for (const [mss, wanted] of [
              [1460, most],
              [65495, most],
              [most, most],
              [536, 536],
            ] as const) {
              const spec = { version, tags, payload: new Uint8Array(), flags: SYN, options: options(mss) };
              const out = tcp(spec);
              h.tap(0, vnet(), out.frame);
              const [left = new Uint8Array()] = sent(h);
              sub.equal(valueOf(left, out, at), wanted, `${mss} out of the TAP`);
              sub.ok(isSound(left));
              const partial = tcp(spec, 'partial');
              h.tap(0, vnet({ flags: 1, csumStart: partial.l4, csumOffset: 16 }), partial.frame);
              mustEqual(sent(h), [left]);
              const back = tcp({ ...spec, flags: SYN | ACK, to: MAC_A, from: MAC_B });
              h.tunnel(PEER, vxlan(VNI, back.frame));
              const into = only(h.outs());
              sub.equal(valueOf(into.frame, back, at), wanted, `${mss} into the TAP`);
              sub.ok(isSound(into.frame));
              h.reset();
            }
            sub.equal(h.imbalance(), 0);
          }
        }
      }
    },
  );

  void t.test(
    `5.5 ${build}: nothing but the MSS of a SYN is touched, and a wrong checksum stays wrong`,
    async (sub) => {
      const h = bench(build);
      const untouched = [
        tcp({ version: 4, payload: new Uint8Array(), flags: ACK, options: mssOption(1460) }),
        tcp({ version: 4, payload: new Uint8Array(), flags: SYN, options: Uint8Array.of(0, 2, 4, 5) }),
        tcp({ version: 4, payload: new Uint8Array(), flags: SYN, options: Uint8Array.of(2, 3, 5, 1) }),
        tcp({ version: 4, payload: new Uint8Array(), flags: SYN, options: Uint8Array.of(9, 0, 2, 4) }),
        tcp({ version: 4, payload: new Uint8Array(), flags: SYN, options: Uint8Array.of(1, 1, 1, 2) }),
        tcp({ version: 4, payload: new Uint8Array(), flags: SYN, options: Uint8Array.of(3, 9, 7, 1) }),
        tcp({ version: 4, payload: new Uint8Array(), flags: SYN }),
      ];
      for (const { frame } of untouched) {
        h.tap(0, vnet(), frame);
        mustEqual(sent(h), [frame]);
      }
      const wrong = tcp({ version: 4, payload: new Uint8Array(), flags: SYN, options: mssOption(1460) });
      write16(wrong.frame, wrong.l4 + 16, read16(wrong.frame, wrong.l4 + 16) ^ 0x1000);
      h.tap(0, vnet(), wrong.frame);
      sub.notOk(isSound(only(sent(h))));
      sub.equal(h.imbalance(), 0);
    },
  );

  void t.test(
    `5.5 ${build}: a super-frame is cut as small as the path wants it, also when the path changes`,
    async (sub) => {
      for (const version of versions) {
        const h = bench(build, 1472);
        const headers = 14 + (version === 4 ? 20 : 40) + 20;
        const spec = { version, payload: pattern(20_000), flags: ACK | PSH | FIN | CWR };
        const { header, frame } = superTcp(spec, 1400 - headers + 14);
        for (const payload of [1472, 1372, 1252, 1172, 548, 1472]) {
          sub.ok(h.peer(7, PEER, payload), 'the same peer, another path');
          h.tap(0, header, frame);
          const room = Math.min(1400 - headers + 14, payload - VXLAN - headers);
          mustEqual(sent(h), segment(resized(header, room), frame));
        }
        sub.ok(h.counter('shrunk') >= 4);
        sub.equal(h.counter('sent'), 6);
        sub.equal(h.imbalance(), 0);
      }
    },
  );

  void t.test(`5.5 ${build}: a lone TCP segment is cut too, if its checksum is right`, async (sub) => {
    for (const version of versions) {
      for (const finish of ['finished', 'partial'] as const) {
        const h = bench(build);
        const built = tcp({ version, payload: pattern(1380), flags: ACK | PSH }, finish);
        const header = vnet({ flags: 1, csumStart: built.l4, csumOffset: 16 });
        h.tap(0, finish === 'partial' ? header : vnet(), built.frame);
        const { header: model, frame } = superTcp(
          { version, payload: pattern(1380), flags: ACK | PSH },
          PAYLOAD - VXLAN - built.headers,
        );
        mustEqual(sent(h), segment(model, frame));
        sub.equal(h.drops('too-big'), 0);
        sub.equal(h.imbalance(), 0);
      }
      const h = bench(build);
      const built = tcp({ version, payload: pattern(1380) });
      write16(built.frame, built.l4 + 16, read16(built.frame, built.l4 + 16) ^ 1);
      h.tap(0, vnet(), built.frame);
      sub.equal(sent(h).length, 0);
      sub.equal(h.drops('too-big'), 1);
      sub.equal(h.imbalance(), 0);
    }
  });

  void t.test(`5.5 ${build}: on a sealed network there is room for the seal`, async (sub) => {
    const { a, b } = sealedPair(build);
    a.h.peer(7, '192.0.2.2', PAYLOAD);
    const spec = { version: 4 as const, payload: pattern(9_000) };
    const { header, frame } = superTcp(spec, 1400);
    a.h.tap(0, header, frame);
    const datagrams = a.sent();
    sub.ok(datagrams.every(({ length }) => length <= PAYLOAD));
    sub.equal(datagrams[0]?.length, PAYLOAD);
    const big = udp({ version: 4, payload: pattern(1330) });
    a.h.tap(0, vnet(), big.frame);
    isTooBig(sub, only(a.h.outs()).frame, big.frame, 4, INNER - 32);
    a.h.reset();
    const syn = tcp({ version: 4, payload: new Uint8Array(), flags: SYN, options: mssOption(1460) });
    a.h.tap(0, vnet(), syn.frame);
    for (const datagram of a.sent()) b.receive('192.0.2.1', datagram);
    sub.equal(valueOf(only(b.h.outs()).frame, syn, 2), INNER - 32 - 40);
    sub.equal(a.h.imbalance() + b.h.imbalance(), 0);
    a.close();
    b.close();
  });

  void t.test(
    `5.5 ${build}: who sends a datagram that must stay whole is told what would do`,
    async (sub) => {
      for (const version of versions) {
        const h = bench(build);
        const headers = version === 4 ? 28 : 48;
        const fits = udp({ version, payload: pattern(INNER - headers) });
        h.tap(0, vnet(), fits.frame);
        mustEqual(sent(h), [fits.frame]);
        sub.equal(h.outs().length, 0);
        const big = udp({ version, payload: pattern(INNER - headers + 1) }, 'partial');
        h.tap(0, vnet({ flags: 1, csumStart: big.l4, csumOffset: 6 }), big.frame);
        const answer = only(h.outs());
        sub.equal(answer.port, 0);
        isTooBig(sub, answer.frame, big.frame, version, INNER);
        sub.strictSame(sent(h), []);
        sub.equal(h.drops('too-big'), 1);
        sub.equal(h.counter('too-big-told'), 1);
        // A super-frame of datagrams: each is too large by itself.
        const many = udp({ version, payload: pattern(4 * 1400) }, 'partial');
        const gso = { flags: 1, gsoType: GSO.udp, gsoSize: 1400, csumStart: many.l4, csumOffset: 6 };
        h.tap(0, vnet(gso), many.frame);
        isTooBig(sub, only(h.outs()).frame, many.frame, version, INNER);
        h.reset();
        sub.equal(h.imbalance(), 0);
      }
    },
  );

  void t.test(`5.5 ${build}: nobody is told who must not be, nor too often`, async (sub) => {
    const h = bench(build);
    const silent = (name: string, frame: Uint8Array): void => {
      const before = h.drops('too-big');
      h.tap(0, vnet(), frame);
      sub.equal(h.outs().length, 0, name);
      sub.equal(h.drops('too-big'), before + 1, name);
      sub.strictSame(sent(h), []);
    };
    const size = INNER;
    const of = (spec: Partial<FlowSpec>): Uint8Array =>
      udp({ version: 4, payload: pattern(size), ...spec }).frame;
    silent('from nowhere', of({ source: '0.0.0.0' }));
    silent('from a group', of({ source: '239.1.1.1' }));
    silent('to a group', of({ destination: '224.0.0.1' }));
    silent('to everyone', of({ destination: '255.255.255.255' }));
    silent('IPv6 from nowhere', of({ version: 6, source: '::' }));
    silent('IPv6 to a group', of({ version: 6, destination: 'ff02::1' }));
    silent('no IP', ethernet(MAC_B, MAC_A, 0x88b5, pattern(size + 10)));
    for (const type of [3, 11, 12]) {
      const error = of({});
      error[23] = 1;
      error[34] = type;
      silent(`an ICMP error, type ${type}`, error);
      write16(error, 20, 0x6000); // DF, and more fragments
      silent(`a first fragment of one, type ${type}`, error);
    }
    const error6 = of({ version: 6 });
    error6[20] = 58;
    error6[54] = 2;
    silent('an ICMPv6 error', error6);
    const later = of({});
    write16(later, 20, 0x4000 | 100);
    silent('a later fragment that claims DF', later);
    h.flood(NET, 7);
    const group = of({});
    group.set(mac(BROADCAST));
    silent('a broadcast', group);
    const narrow = bench(build, 1252);
    narrow.tap(0, vnet(), udp({ version: 6, payload: pattern(1232) }).frame);
    sub.equal(narrow.outs().length, 0, 'IPv6 hosts would not listen to less than 1,280');

    sub.equal(h.counter('too-big-told'), 0);
    for (let i = 0; i < 1500; i++) {
      h.tap(0, vnet(), of({}));
      h.reset();
    }
    sub.equal(h.counter('too-big-told'), 1000);
    h.pass(100);
    for (let i = 0; i < 500; i++) {
      h.tap(0, vnet(), of({}));
      h.reset();
    }
    sub.equal(h.counter('too-big-told'), 1100);
    sub.equal(h.imbalance() + narrow.imbalance(), 0);
  });

  void t.test(
    `5.5 ${build}: an IPv4 packet without DF is fragmented, and the fragments make it again`,
    async (sub) => {
      // Record route (not copied), and security (copied).
      const options = concat(Uint8Array.of(7, 7, 4, 0, 0, 0, 0, 1), Uint8Array.of(130, 4, 9, 9, 1, 1, 1, 0));
      for (const extra of [undefined, options]) {
        for (const payload of [1340, 1400, 4000, 40_000]) {
          for (const finish of ['finished', 'partial'] as const) {
            const h = bench(build);
            const spec: FlowSpec = {
              version: 4,
              doNotFragment: false,
              payload: pattern(payload),
              ...(extra ? { extra } : {}),
            };
            const built = udp(spec, finish);
            h.tap(
              0,
              finish === 'finished' ? vnet() : vnet({ flags: 1, csumStart: built.l4, csumOffset: 6 }),
              built.frame,
            );
            const fragments = sent(h);
            sub.ok(fragments.length > 1 && fragments.every(({ length }) => length + VXLAN <= PAYLOAD));
            mustEqual([reassemble(fragments)], [udp(spec).frame]);
            sub.equal(h.counter('sent'), 1);
            sub.equal(h.imbalance(), 0);
          }
        }
      }
      // A fragment in the middle of a packet is cut further.
      const h = bench(build);
      const { frame } = udp({ version: 4, doNotFragment: false, payload: pattern(1392) });
      write16(frame, 20, 0x2000 | 50);
      write16(frame, 24, 0);
      write16(frame, 24, 0xffff - onesSum(frame.slice(14, 34)));
      h.tap(0, vnet(), frame);
      const [first = frame, second = frame, ...rest] = sent(h);
      sub.equal(rest.length, 0);
      sub.equal(read16(first, 20), 0x2000 | 50);
      sub.equal(read16(second, 20), 0x2000 | (50 + (first.length - 34) / 8), 'more fragments come after it');
      mustEqual([concat(first.slice(34), second.slice(34))], [frame.slice(34)]);
      // One that would reach past the end of any packet is not.
      write16(frame, 20, 0x1fff);
      h.tap(0, vnet(), frame);
      sub.strictSame(sent(h), []);
      sub.equal(h.imbalance(), 0);
    },
  );

  void t.test(
    `5.5 ${build}: a path probe is handed to control by its head, and a flood of them is bounded`,
    async (sub) => {
      const h = bench(build);
      const probe = pattern(1372);
      probe[0] = 6;
      h.tunnel(PEER, probe);
      h.tunnel('192.0.2.99', probe);
      sub.equal(h.counter('punted'), 1);
      sub.equal(h.drops('not-a-member'), 1);
      const { view, bytes } = h.core;
      const at = h.constant('PUNT_RING');
      sub.equal(view.getUint16(at, true), 64);
      sub.equal(view.getUint32(at + h.constant('PUNT_SIZE') - 4, true), 1372, 'and how long it was');
      sub.same(bytes.slice(at + 32, at + 96), probe.slice(0, 64));
      sub.same(bytes.slice(at + 8, at + 12), ip(PEER).slice(12));
      for (let i = 0; i < 1000; i++) h.tunnel(PEER, probe);
      sub.equal(h.counter('punted'), h.constant('PUNT_SLOTS'), 'the ring is full');
      sub.equal(h.drops('punt-rate'), 1000 - h.constant('PUNT_SLOTS') + 1);
      sub.equal(h.imbalance(), 0);
    },
  );
}
