/** One open group at a time: what closes it, and what does not (core-wasm/coalesce.ts). */
import tap from 'tap';
import { concat, mac } from '../model/bytes.ts';
import { ACK, BROADCAST, MAC_A, MAC_B, PSH, pattern, readVnet, tcp, udp } from '../model/frame.ts';
import { Harness, vxlan } from '../model/harness.ts';

const NET = 1;
const VNI = 42;
const PEER = '192.0.2.1';
const SEGMENT = 100;
/** Behind an Ethernet and an IPv4 header. */
const TCP_FLAGS = 14 + 20 + 13;

function bench(build: 'release' | 'debug'): Harness {
  const h = new Harness(build);
  h.network(NET, VNI);
  h.port(0, NET, h.constant('PORT_OFFLOAD') | h.constant('PORT_USO'));
  h.peer(1, PEER);
  h.fdb(NET, mac(MAC_B), 0, h.constant('FDB_LOCAL'));
  return h;
}

function tcpRun(first: number, count: number, flags = ACK): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => {
    const payload = pattern(SEGMENT, first + i);
    const sequence = (first + i) * SEGMENT;
    return tcp({ from: MAC_A, to: MAC_B, version: 4, sequence, payload, flags }).frame;
  });
}

for (const build of ['release', 'debug'] as const) {
  void tap.test(`${build}: a broadcast amid a run comes out whole`, async (t) => {
    const h = bench(build);
    const unicast = (start: number): Uint8Array =>
      udp({ from: MAC_A, to: MAC_B, version: 4, payload: pattern(SEGMENT, start) }).frame;
    const broadcast = udp({ from: MAC_A, to: BROADCAST, version: 4, payload: pattern(SEGMENT, 77) }).frame;
    const frames = [unicast(1), unicast(2), broadcast, unicast(3), unicast(4)];
    h.tunnel(PEER, concat(...frames.map((frame) => vxlan(VNI, frame))), broadcast.length + 8);
    const outs = h.outs();
    t.equal(outs.length, 3, 'two super-frames and the broadcast between them');
    t.same(outs[1]?.frame, broadcast);
    t.equal(h.imbalance(), 0);
  });

  void tap.test(`${build}: small writes, each pushed, become one super-frame that is pushed`, async (t) => {
    const h = bench(build);
    const frames = [...tcpRun(0, 2), ...tcpRun(2, 3, ACK | PSH), ...tcpRun(5, 1)];
    const size = (frames[0]?.length ?? 0) + 8;
    h.tunnel(PEER, concat(...frames.map((frame) => vxlan(VNI, frame))), size);
    const [out, ...rest] = h.outs();
    t.equal(rest.length, 0);
    const headers = size - 8 - SEGMENT;
    t.same(out?.frame.subarray(headers), concat(...frames.map((frame) => frame.subarray(headers))));
    t.equal((out?.frame[TCP_FLAGS] ?? 0) & PSH, PSH);
    t.equal(h.counter('delivered'), 6);
    t.equal(h.imbalance(), 0);
  });

  void tap.test(
    `${build}: a run that came in two messages of one receive becomes one super-frame`,
    async (t) => {
      const h = bench(build);
      const [head, tail] = [tcpRun(0, 5), tcpRun(5, 2)];
      const size = (head[0]?.length ?? 0) + 8;
      h.receive(0, PEER, concat(...head.map((frame) => vxlan(VNI, frame))), size);
      h.receive(1, PEER, concat(...tail.map((frame) => vxlan(VNI, frame))), size);
      h.core.exports.fromTunnel(2);
      const [out, ...rest] = h.outs();
      t.equal(rest.length, 0);
      const headers = size - 8 - SEGMENT;
      const payloads = [...head, ...tail].map((frame) => frame.subarray(headers));
      t.same(out?.frame.subarray(headers), concat(...payloads));
      t.equal(out === undefined ? 0 : readVnet(out.vnet).gsoSize, SEGMENT);
      t.equal(h.counter('delivered'), 7);
      t.equal(h.imbalance(), 0);
    },
  );
}
