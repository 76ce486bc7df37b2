/**
 * Whatever a container sends and however narrow its path: nothing leaves that is larger than the path takes, TCP arrives byte
 * for byte, every frame has its verdict, and nothing traps (issue 5.5; checklist 3.16, 3.18).
 */
import * as fc from 'fast-check';
import t from 'tap';
import { concat, mac, read32, u32 } from '../model/bytes.ts';
import { ACK, FIN, GSO, MAC_A, MAC_B, PSH, pattern, tcp, udp, vnet } from '../model/frame.ts';
import { Harness } from '../model/harness.ts';
import { isSound, layersOf } from '../model/segment.ts';

const NET = 3;
const VXLAN = 8;
const SEED = 20261130;

function bench(build: 'release' | 'debug'): Harness {
  const h = new Harness(build);
  h.network(NET, 4096);
  h.port(0, NET);
  h.peer(7, '192.0.2.7');
  h.fdb(NET, mac(MAC_B), 7);
  h.fdb(NET, mac(MAC_A), 0, h.constant('FDB_LOCAL'));
  return h;
}

const anyFrame = fc.record({
  version: fc.constantFrom(4 as const, 6 as const),
  tags: fc.constantFrom([], [100], [7, 8]),
  size: fc.integer({ min: 0, max: 12_000 }),
  gsoSize: fc.integer({ min: 8, max: 1460 }),
  options: fc.uint8Array({ maxLength: 10 }),
  extra: fc.constantFrom(0, 0, 0, 8, 16),
  flags: fc.constantFrom(ACK, ACK | PSH, ACK | FIN, 2, 18, 4, 36),
  doNotFragment: fc.boolean(),
  kind: fc.constantFrom('tcp', 'udp', 'tcp-super', 'udp-super'),
  finish: fc.constantFrom('finished' as const, 'partial' as const),
  payload: fc.integer({ min: 0, max: 1472 }),
  /** Bytes of the headers to overwrite: where, with what. */
  damage: fc.array(fc.tuple(fc.integer({ min: 12, max: 90 }), fc.integer({ min: 0, max: 255 })), {
    maxLength: 3,
  }),
});
type AnyFrame = typeof anyFrame extends fc.Arbitrary<infer T> ? T : never;

function made(c: AnyFrame): { header: Uint8Array; frame: Uint8Array } {
  const isSuper = c.kind.endsWith('super');
  const isTcp = c.kind.startsWith('tcp');
  const finish = isSuper ? 'partial' : c.finish;
  const padded = concat(c.options, new Uint8Array(4 * Math.ceil(c.options.length / 4) - c.options.length));
  const spec = { ...c, payload: pattern(c.size), extra: new Uint8Array(c.extra).fill(1) };
  const built = isTcp ? tcp({ ...spec, options: padded }, finish) : udp(spec, finish);
  const type = isTcp ? (c.version === 4 ? GSO.tcpv4 : GSO.tcpv6) : GSO.udp;
  const header = vnet({
    ...(isSuper ? { gsoType: type, gsoSize: c.gsoSize } : {}),
    ...(finish === 'partial' ? { flags: 1, csumStart: built.l4, csumOffset: isTcp ? 16 : 6 } : {}),
  });
  return { header, frame: built.frame };
}

for (const build of ['release', 'debug'] as const) {
  void t.test(`5.5 ${build}: damaged frames on paths of any width`, async (sub) => {
    const h = bench(build);
    fc.assert(
      fc.property(anyFrame, (c) => {
        const { header, frame } = made(c);
        for (const [at, value] of c.damage) if (at < frame.length) frame[at] = value;
        h.peer(7, '192.0.2.7', c.payload);
        h.pass(5);
        h.tap(0, header, frame);
        const tooLarge = h.datagrams().filter(({ bytes }) => bytes.length > c.payload);
        const outs = h.outs();
        h.reset();
        h.tunnel('192.0.2.7', concat(Uint8Array.of(8, 0, 0, 0), u32(4096 * 256), mac(MAC_A), frame.slice(6)));
        h.reset();
        return (
          tooLarge.length === 0 &&
          outs.every((out) => out.frame.length < frame.length && out.frame.length <= 18 + 4 + 1280) &&
          h.imbalance() === 0
        );
      }),
      { seed: SEED, numRuns: 1500 },
    );
    sub.ok(
      h.counter('shrunk') > 100 && h.counter('too-big-told') > 20,
      'and it did get to the paths that matter',
    );
  });

  void t.test(`5.5 ${build}: TCP arrives whole and sound, however small it had to be cut`, async (sub) => {
    const h = bench(build);
    let cut = 0;
    fc.assert(
      fc.property(anyFrame, (c) => {
        const kind: AnyFrame['kind'] = c.kind.endsWith('super') && c.size > c.gsoSize ? 'tcp-super' : 'tcp';
        const spec = { ...c, kind, size: Math.max(1, c.size), flags: ACK | PSH | FIN };
        const { header, frame } = made(spec);
        h.peer(7, '192.0.2.7', 400 + (c.payload % 1073));
        h.tap(0, header, frame);
        const segments = h.datagrams().map(({ bytes }) => bytes.slice(VXLAN));
        h.reset();
        if (segments.length > 1) cut++;
        return h.imbalance() === 0 && arrives(segments, frame);
      }),
      { seed: SEED, numRuns: 600 },
    );
    sub.ok(cut > 300);
  });
}

/** The segments are sound, of consecutive bytes, and carry what the frame carried; its last one ends it. */
function arrives(segments: readonly Uint8Array[], frame: Uint8Array): boolean {
  const of = layersOf(frame);
  if (of === undefined) return false;
  const headers = of.l4 + ((frame[of.l4 + 12] ?? 0) >> 4) * 4;
  const first = read32(frame, of.l4 + 4);
  let at = 0;
  for (const segment of segments) {
    if (!isSound(segment)) return false;
    if (read32(segment, of.l4 + 4) !== (first + at) % 2 ** 32) return false;
    at += segment.length - headers;
    const ends = ((segment[of.l4 + 13] ?? 0) & FIN) !== 0;
    if (ends !== (at === frame.length - headers)) return false;
  }
  const whole = concat(...segments.map((segment) => segment.subarray(headers)));
  return Buffer.compare(whole, frame.subarray(headers)) === 0;
}
