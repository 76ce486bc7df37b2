/**
 * Segmentation and coalescing against the slow reference model, and both against each other (checklist 3.19): whatever
 * super-frame goes in, the wire carries exactly the model's frames with sound checksums, and another host's core makes
 * the same super-frame of them again.
 */
import * as fc from 'fast-check';
import t from 'tap';
import { concat, mac, must, mustEqual } from '../model/bytes.ts';
import { ACK, CWR, ECE, FIN, GSO, MAC_B, PSH, pattern, readVnet, tcp, udp, vnet } from '../model/frame.ts';
import { Harness, vxlan } from '../model/harness.ts';
import { isSound, segment } from '../model/segment.ts';

const NET = 1;
const VNI = 4096;
const SEED = 20261122;
const RUNS = 150;
/** What the core keeps free for one frame; and what it counts around each segment: VXLAN header, counter and tag. */
const TX_RESERVE = 512 * 1024;
const AROUND = 8 + 32;

interface Case {
  readonly protocol: 'tcp' | 'udp';
  readonly version: 4 | 6;
  readonly tags: readonly number[];
  readonly size: number;
  readonly segments: number;
  /** Bytes of the last segment, 1 to `size`. */
  readonly last: number;
  readonly options: number;
  /** Bytes of IPv4 options (40 at most) or of IPv6 extension headers. */
  readonly extra: number;
  readonly id: number;
  readonly doNotFragment: boolean;
  readonly sequence: number;
  readonly flags: number;
  readonly start: number;
}

const anyCase: fc.Arbitrary<Case> = fc
  .record({
    protocol: fc.constantFrom('tcp' as const, 'udp' as const),
    version: fc.constantFrom(4 as const, 6 as const),
    tags: fc.constantFrom([], [100], [7, 8]),
    size: fc.integer({ min: 1, max: 1380 }),
    segments: fc.integer({ min: 2, max: 60 }),
    last: fc.double({ min: 0, max: 1, noNaN: true }),
    options: fc.constantFrom(0, 4, 12, 40),
    extra: fc.constantFrom(0, 0, 0, 8, 16, 200, 2048, 4 * 2048),
    id: fc.integer({ min: 0, max: 65535 }),
    doNotFragment: fc.boolean(),
    sequence: fc.integer({ min: 0, max: 0xffffffff }),
    flags: fc.constantFrom(ACK, ACK | PSH, ACK | ECE, ACK | CWR | PSH),
    start: fc.integer({ min: 0, max: 255 }),
  })
  .map((c) => ({ ...c, last: 1 + Math.floor(c.last * (c.size - 1)) }))
  .map((c) => (c.version === 4 && c.extra > 40 ? { ...c, extra: 40 } : c))
  .filter((c) => c.size * c.segments + c.extra < 65000);

interface SuperFrame {
  readonly header: Uint8Array;
  readonly frame: Uint8Array;
}

function build(c: Case): SuperFrame {
  const payload = pattern((c.segments - 1) * c.size + c.last, c.start);
  const options = concat(...Array.from({ length: c.options }, () => Uint8Array.of(1)));
  const spec = { ...c, payload, options, extra: new Uint8Array(c.extra).fill(1) };
  const built = c.protocol === 'tcp' ? tcp(spec, 'partial') : udp(spec, 'partial');
  const ecn = c.protocol === 'tcp' && (c.flags & CWR) !== 0 ? GSO.ecn : 0;
  const type = c.protocol === 'udp' ? GSO.udp : c.version === 4 ? GSO.tcpv4 : GSO.tcpv6;
  return {
    frame: built.frame,
    header: vnet({
      flags: 1,
      gsoType: type | ecn,
      gsoSize: c.size,
      headerLength: built.headers,
      csumStart: built.l4,
      csumOffset: c.protocol === 'tcp' ? 16 : 6,
    }),
  };
}

function sender(build_: 'release' | 'debug'): Harness {
  const h = new Harness(build_);
  h.network(NET, VNI);
  h.port(0, NET);
  h.peer(1, '192.0.2.1', 12_000);
  h.fdb(NET, mac(MAC_B), 1);
  return h;
}

function receiver(build_: 'release' | 'debug'): Harness {
  const h = new Harness(build_);
  h.network(NET, VNI);
  h.port(5, NET);
  h.peer(2, '192.0.2.2', 1700);
  h.fdb(NET, mac(MAC_B), 5, h.constant('FDB_LOCAL'));
  return h;
}

for (const build_ of ['release', 'debug'] as const) {
  void t.test(
    `${build_}: cutting agrees with the model, and the receiver restores the super-frame`,
    async (sub) => {
      const from = sender(build_);
      const to = receiver(build_);
      const property = fc.property(anyCase, (c) => {
        from.reset();
        to.reset();
        const { header, frame } = build(c);
        from.tap(0, header, frame);
        const expected = segment(header, frame);
        const wire = from.datagrams();
        if (expected.reduce((total, piece) => total + piece.length + AROUND, 0) > TX_RESERVE) {
          must(wire.length === 0 && from.imbalance() === 0, 'more than the arena keeps free for a frame');
          return;
        }
        mustEqual(
          wire.map((d) => d.bytes),
          expected.map((piece) => vxlan(VNI, piece)),
        );
        for (const piece of expected) if (!isSound(piece)) throw new Error('the model is broken');

        // Runs as UDP_GRO would hand them over: the messages as they were sent.
        for (const message of from.messages()) {
          must(message.bytes.length <= 65507, 'a message the kernel refuses');
          to.tunnel('192.0.2.2', message.bytes, message.segment);
        }
        // Packets with options are not merged, and come through as they are.
        if (from.messages().length === 1 && c.extra === 0) {
          const outs = to.outs();
          const vnetHeaders = outs.map((o) => o.vnet);
          mustEqual([...vnetHeaders, ...outs.map((o) => o.frame)], [header, frame]);
          must(outs[0]?.frames === c.segments, 'the record stands for all segments');
        }
        must(from.imbalance() === 0 && to.imbalance() === 0, 'every frame has one verdict');
      });
      sub.doesNotThrow(() => fc.assert(property, { seed: SEED, numRuns: RUNS }));
    },
  );

  void t.test(`${build_}: a FIN rides on the last segment alone, which is not merged`, async (sub) => {
    const from = sender(build_);
    const to = receiver(build_);
    const built = tcp({ version: 4, payload: pattern(3500), flags: ACK | PSH | FIN }, 'partial');
    const header = vnet({ flags: 1, gsoType: GSO.tcpv4, gsoSize: 1000, csumStart: built.l4, csumOffset: 16 });
    from.tap(0, header, built.frame);
    const pieces = from.datagrams().map((d) => d.bytes.subarray(8));
    mustEqual(pieces, segment(header, built.frame));
    sub.same(
      pieces.map((piece) => piece[built.l4 + 13]),
      [ACK, ACK, ACK, ACK | PSH | FIN],
    );
    const [message] = from.messages();
    to.tunnel('192.0.2.2', message?.bytes ?? new Uint8Array(), message?.segment);
    sub.same(
      to.outs().map((o) => o.frames),
      [3, 1],
    );
    sub.ok(isSound(to.outs()[1]?.frame ?? new Uint8Array()));
  });

  void t.test(`${build_}: 47 datagrams of 1460 bytes do not fit one message, and are split`, async (sub) => {
    const from = sender(build_);
    const built = tcp({ version: 4, payload: pattern(65000) }, 'partial');
    const header = vnet({ flags: 1, gsoType: GSO.tcpv4, gsoSize: 1398, csumStart: built.l4, csumOffset: 16 });
    from.tap(0, header, built.frame);
    const messages = from.messages();
    sub.same(
      messages.map((m) => Math.ceil(m.bytes.length / (m.segment ?? m.bytes.length))),
      [44, 3],
    );
    mustEqual(
      from.datagrams().map((d) => d.bytes.subarray(8)),
      segment(header, built.frame),
    );
    sub.equal(from.counter('sent'), 1);
    sub.equal(from.imbalance(), 0);
  });

  void t.test(
    `${build_}: 3.19 a checksum that the TAP left partial is finished before the wire`,
    async (sub) => {
      const from = sender(build_);
      const property = fc.property(
        fc.constantFrom('tcp' as const, 'udp' as const),
        fc.constantFrom(4 as const, 6 as const),
        fc.constantFrom([], [100]),
        fc.uint8Array({ minLength: 0, maxLength: 1400 }),
        (protocol, version, tags, payload) => {
          from.reset();
          const make = protocol === 'tcp' ? tcp : udp;
          const partial = make({ version, tags, payload }, 'partial');
          const header = vnet({ flags: 1, csumStart: partial.l4, csumOffset: protocol === 'tcp' ? 16 : 6 });
          from.tap(0, header, partial.frame);
          const finished = make({ version, tags, payload }).frame;
          mustEqual(
            from.datagrams().map((d) => d.bytes.subarray(8)),
            [finished],
          );
        },
      );
      sub.doesNotThrow(() => fc.assert(property, { seed: SEED, numRuns: RUNS }));
    },
  );

  void t.test(`${build_}: a UDP sum of zero is sent as 0xffff`, async (sub) => {
    const from = sender(build_);
    // Two bytes of payload that bring the sum to zero.
    const probe = udp({ version: 4, payload: Uint8Array.of(0, 0) });
    const payload = probe.frame.slice(probe.l4 + 6, probe.l4 + 8);
    const built = udp({ version: 4, payload }, 'partial');
    from.tap(0, vnet({ flags: 1, csumStart: built.l4, csumOffset: 6 }), built.frame);
    const sent = from.datagrams()[0]?.bytes.subarray(8) ?? new Uint8Array();
    sub.same(sent.subarray(built.l4 + 6, built.l4 + 8), Uint8Array.of(255, 255));
    sub.ok(isSound(sent));
  });

  void t.test(`${build_}: a broken segment is never blessed by merging`, async (sub) => {
    const property = fc.property(fc.nat({ max: 9 }), fc.nat({ max: 999 }), (which, at) => {
      const to = receiver(build_);
      const built = tcp({ version: 4, payload: pattern(10_000) }, 'partial');
      const header = vnet({
        flags: 1,
        gsoType: GSO.tcpv4,
        gsoSize: 1000,
        csumStart: built.l4,
        csumOffset: 16,
      });
      const pieces = segment(header, built.frame).map((piece) => vxlan(VNI, piece));
      const broken = pieces[which] ?? new Uint8Array();
      const place = 8 + built.headers + at;
      broken[place] = (broken[place] ?? 0) ^ 0x40;
      const size = pieces[0]?.length ?? 0;
      to.tunnel('192.0.2.2', concat(...pieces), size);
      const outs = to.outs();
      sub.equal(
        outs.reduce((sum, o) => sum + o.frames, 0),
        10,
      );
      const alone = outs.filter((o) => o.frames === 1 && !isSound(o.frame));
      sub.equal(alone.length, 1, 'it comes through alone, for the receiver to see that it is broken');
      sub.equal(readVnet(alone[0]?.vnet ?? new Uint8Array()).flags, 0);
      sub.strictSame(Buffer.from(alone[0]?.frame ?? []), Buffer.from(broken.subarray(8)), 'byte for byte');
      for (const out of outs) {
        if (out.frames > 1) for (const piece of segment(out.vnet, out.frame)) sub.ok(isSound(piece));
      }
      sub.equal(to.imbalance(), 0);
    });
    sub.doesNotThrow(() => fc.assert(property, { seed: SEED, numRuns: 30 }));
  });

  void t.test(`${build_}: merging keeps every byte and the order, whatever is mixed in`, async (sub) => {
    const to = receiver(build_);
    const anyPiece = fc.record({
      flow: fc.integer({ min: 0, max: 1 }),
      protocol: fc.constantFrom('tcp' as const, 'udp' as const),
      version: fc.constantFrom(4 as const, 6 as const),
      jump: fc.boolean(),
      flags: fc.constantFrom(ACK, ACK, ACK, ACK | PSH, ACK | FIN, ACK | CWR),
    });
    const property = fc.property(
      fc.array(anyPiece, { minLength: 1, maxLength: 40 }),
      fc.integer({ min: 1, max: 900 }),
      (pieces, size) => {
        to.reset();
        const next = new Map<string, number>();
        const frames = pieces.map((p, i) => {
          const key = `${p.flow}${p.protocol}${p.version}`;
          const sequence = (next.get(key) ?? 1000) + (p.jump ? 5000 : 0);
          next.set(key, sequence + size);
          const headers = (p.version === 4 ? 34 : 54) + (p.protocol === 'tcp' ? 20 : 8);
          // All datagrams of a GRO run are of one size.
          const payload = pattern(size + 74 - headers, i);
          const spec = { version: p.version, sourcePort: 1000 + p.flow, sequence, flags: p.flags, payload };
          return p.protocol === 'tcp' ? tcp(spec).frame : udp(spec).frame;
        });
        const run = concat(...frames.map((frame) => vxlan(VNI, frame)));
        to.tunnel('192.0.2.2', run, size + 74 + 8);
        const restored = to
          .outs()
          .flatMap((o) =>
            (readVnet(o.vnet).gsoType & 127) === GSO.none ? [o.frame] : segment(o.vnet, o.frame),
          );
        // Ids are rewritten when a super-frame is cut; these packets are atomic, so they carry no meaning.
        mustEqual(restored.map(withoutId), frames.map(withoutId));
        must(to.imbalance() === 0, 'every frame has one verdict');
      },
    );
    sub.doesNotThrow(() => fc.assert(property, { seed: SEED, numRuns: RUNS }));
  });
}

/** The frame with the IPv4 id and header sum blanked. */
function withoutId(frame: Uint8Array): Uint8Array {
  const copy = frame.slice();
  if (copy[12] === 8 && copy[13] === 0) copy.fill(0, 18, 20).fill(0, 24, 26);
  return copy;
}
