/**
 * What one frame makes the core write stays within what is kept free for it, whatever headers it has: they are repeated in each
 * segment, so that a super-frame can be two hundred times as large on the wire as it came. Behind an arena lie the datagrams of
 * other networks, and the records that the kernel follows.
 */
import t from 'tap';
import { concat, mac } from '../model/bytes.ts';
import { GSO, MAC_B, pattern, tcp, udp, vnet } from '../model/frame.ts';
import { Harness } from '../model/harness.ts';

const NET = 1;
const GROUP = '33:33:00:00:00:01';
const SENTINEL = 0xa5;
const LARGEST_FRAME = 65_553;
/** So many flows go to every one of the tables. */
const FLOWS = 40;
/** What the core keeps free for one frame. */
const TX_RESERVE = 512 * 1024;
const LOOSE = 16;

interface SuperFrame {
  readonly to: string;
  /** Bytes of IPv6 extension headers. */
  readonly extra: number;
  readonly gsoSize: number;
  readonly length?: number;
  readonly protocol?: 'tcp' | 'udp';
}

function bench(build: 'release' | 'debug', maxPayload: number): Harness {
  const h = new Harness(build);
  h.network(NET, 9, false);
  h.port(0, NET);
  h.peer(1, '192.0.2.1', maxPayload);
  h.flood(NET, 1);
  h.fdb(NET, mac(MAC_B), 1);
  const { base, end } = guarded(h);
  h.core.bytes.fill(SENTINEL, base, end);
  return h;
}

/** From the first arena to the out table's end. */
function guarded(h: Harness): { base: number; end: number } {
  const end = h.constant('OUT_TABLE') + h.constant('OUT_MAX') * h.constant('OUT_RECORD_SIZE');
  return { base: h.constant('TX_ARENA_BASE'), end };
}

/** Bytes that were written beyond the reserve of the arenas, all of which were empty, and into the out table. */
function strayBytes(h: Harness): number {
  const outs = h.core.exports.outCount();
  const { base, end } = guarded(h);
  const stride = h.constant('TX_ARENA_SIZE') + h.constant('TX_SLACK');
  const parts: Uint8Array[] = [];
  for (let table = 0; table < h.constant('TX_SOCKETS'); table++) {
    const from = base + table * stride;
    parts.push(h.core.bytes.slice(from + TX_RESERVE + LOOSE, from + stride));
  }
  parts.push(h.core.bytes.slice(h.constant('OUT_TABLE') + outs * h.constant('OUT_RECORD_SIZE'), end));
  const all = concat(...parts);
  return Buffer.compare(all, Buffer.alloc(all.length, SENTINEL)) === 0
    ? 0
    : all.reduce((stray, byte) => stray + (byte === SENTINEL ? 0 : 1), 0);
}

function send(h: Harness, spec: SuperFrame, sourcePort: number): void {
  const isTcp = spec.protocol !== 'udp';
  const rest = 14 + 40 + spec.extra + (isTcp ? 20 : 8);
  const flow = {
    to: spec.to,
    version: 6,
    sourcePort,
    extra: new Uint8Array(spec.extra).fill(1),
    payload: pattern((spec.length ?? LARGEST_FRAME) - rest),
  } as const;
  const built = isTcp ? tcp(flow, 'partial') : udp(flow, 'partial');
  const offload = {
    flags: 1,
    gsoType: isTcp ? GSO.tcpv6 : GSO.udp,
    gsoSize: spec.gsoSize,
    csumStart: built.l4,
    csumOffset: isTcp ? 16 : 6,
  };
  h.tap(0, vnet(offload), built.frame);
}

const REFUSED: readonly (readonly [string, SuperFrame])[] = [
  ['a flood of 8 KiB of options and 2,048 segments', { to: GROUP, extra: 4 * 2048, gsoSize: 28 }],
  ['2,048 segments behind one header of 1,352 bytes', { to: MAC_B, extra: 1352, gsoSize: 32 }],
  ['datagrams behind the same', { to: MAC_B, extra: 1352, gsoSize: 32, protocol: 'udp' }],
  ['just too many', { to: MAC_B, extra: 184, gsoSize: 32 }],
];

for (const build of ['release', 'debug'] as const) {
  for (const [name, spec] of REFUSED) {
    void t.test(`${build}: ${name}: refused, and nothing is overwritten`, async (sub) => {
      const h = bench(build, 1472);
      for (let i = 0; i < FLOWS; i++) send(h, spec, 1000 + i);
      sub.equal(strayBytes(h), 0);
      sub.equal(h.drops('bad-offload'), FLOWS);
      sub.same(h.messages(), []);
      sub.equal(h.imbalance(), 0);
    });
  }

  void t.test(
    `${build}: a path that leaves little beside the headers does not make it large`,
    async (sub) => {
      // Sound as it came, but the path takes 64 bytes of each segment.
      const spec = { to: MAC_B, extra: 1304, gsoSize: 8000 };
      const h = bench(build, 8 + 14 + 40 + 1304 + 20 + 64);
      for (let i = 0; i < FLOWS; i++) send(h, spec, 1000 + i);
      sub.equal(strayBytes(h), 0);
      sub.equal(h.drops('too-big'), FLOWS);
      sub.same(h.messages(), []);
      sub.equal(h.imbalance(), 0);
    },
  );

  void t.test(`${build}: one segment as large is not made large either`, async (sub) => {
    const spec = { to: MAC_B, version: 6, extra: new Uint8Array(1304).fill(1) } as const;
    const h = bench(build, 8 + 14 + 40 + 1304 + 20 + 64);
    for (let i = 0; i < FLOWS; i++) {
      h.tap(0, vnet(), tcp({ ...spec, sourcePort: 1000 + i, payload: pattern(64_000) }).frame);
    }
    sub.equal(strayBytes(h), 0);
    sub.equal(h.drops('too-big'), FLOWS);
    sub.equal(h.imbalance(), 0);
  });

  void t.test(`${build}: a port that takes no super-frames gets no more than fits either`, async (sub) => {
    const h = bench(build, 1472);
    h.port(1, NET, 0);
    h.command('FLOOD_DEL', { a: NET, b: 1 });
    send(h, { to: GROUP, extra: 4 * 2048, gsoSize: 28 }, 1000);
    sub.equal(h.drops('bad-offload'), 1);
    sub.equal(strayBytes(h), 0);
    send(h, { to: GROUP, extra: 16, gsoSize: 1000 }, 1000);
    sub.equal(h.outs().length, 66);
    sub.equal(strayBytes(h), 0);
    sub.equal(h.imbalance(), 0);
  });

  void t.test(`${build}: long headers as such are no offence`, async (sub) => {
    const h = bench(build, 9000);
    send(h, { to: MAC_B, extra: 3 * 2048, gsoSize: 1200 }, 1000);
    const payload = LARGEST_FRAME - 14 - 40 - 3 * 2048 - 20;
    sub.equal(h.datagrams().length, Math.ceil(payload / 1200));
    sub.equal(h.counter('sent'), 1);
    sub.equal(strayBytes(h), 0);
  });
}
