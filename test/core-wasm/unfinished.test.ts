/** Frames of a kernel vxlan device: checksums it left to hardware that is not there, and uncut super-frames. */
import t from 'tap';
import { concat, mac } from '../model/bytes.ts';
import { BROADCAST, GSO, MAC_B, pattern, readVnet, tcp, udp, vnet } from '../model/frame.ts';
import { Harness, vxlan } from '../model/harness.ts';
import { segment } from '../model/segment.ts';

const NET = 1;
const VNI = 42;

function bench(build: 'release' | 'debug', learn: boolean): Harness {
  const h = new Harness(build);
  h.network(NET, VNI);
  h.port(0, NET);
  h.peer(1, '192.0.2.1', 1472, learn ? h.constant('PEER_LEARN') : 0);
  h.fdb(NET, mac(MAC_B), 0, h.constant('FDB_LOCAL'));
  return h;
}

for (const build of ['release', 'debug'] as const) {
  void t.test(
    `${build}: an unfinished checksum is handed on as unfinished, from such a peer only`,
    async (sub) => {
      for (const version of [4, 6] as const) {
        for (const make of [tcp, udp]) {
          const built = make({ version, payload: pattern(99) }, 'partial');
          const kernel = bench(build, true);
          kernel.tunnel('192.0.2.1', vxlan(VNI, built.frame));
          const [out] = kernel.outs();
          sub.same(out?.frame, built.frame);
          sub.same(out?.vnet, vnet({ flags: 1, csumStart: built.l4, csumOffset: make === tcp ? 16 : 6 }));
          const member = bench(build, false);
          member.tunnel('192.0.2.1', vxlan(VNI, built.frame));
          sub.same(
            member.outs()[0]?.vnet,
            vnet(),
            'from a member it is just a broken frame, for the kernel to drop',
          );
          sub.equal(kernel.imbalance() + member.imbalance(), 0);
        }
      }
    },
  );

  void t.test(`${build}: the same holds for flooded frames`, async (sub) => {
    const h = bench(build, true);
    h.port(1, NET);
    const built = udp({ to: BROADCAST, version: 4, payload: pattern(33) }, 'partial');
    h.tunnel('192.0.2.1', vxlan(VNI, built.frame));
    sub.same(
      h.outs().map((o) => readVnet(o.vnet).csumStart),
      [34, 34],
    );
  });

  void t.test(
    `${build}: an uncut TCP super-frame becomes one with a segment size that fits the path`,
    async (sub) => {
      const h = bench(build, true);
      const options = Uint8Array.of(1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2);
      const built = tcp({ version: 4, payload: pattern(20_000), options }, 'partial');
      h.tunnel('192.0.2.1', vxlan(VNI, built.frame));
      const offload = readVnet(h.outs()[0]?.vnet ?? new Uint8Array());
      sub.equal(offload.gsoType, GSO.tcpv4);
      sub.equal(offload.gsoSize, 1472 - 8 - built.headers);
      sub.equal(offload.headerLength, built.headers);
    },
  );

  void t.test(`${build}: finished segments of such a peer are coalesced like any other's`, async (sub) => {
    const h = bench(build, true);
    const built = tcp({ version: 4, payload: pattern(5000) }, 'partial');
    const header = vnet({ flags: 1, gsoType: GSO.tcpv4, gsoSize: 1000, csumStart: built.l4, csumOffset: 16 });
    const pieces = segment(header, built.frame).map((piece) => vxlan(VNI, piece));
    h.tunnel('192.0.2.1', concat(...pieces), pieces[0]?.length ?? 0);
    sub.same(
      h.outs().map((o) => o.frames),
      [5],
    );
    sub.same(h.outs()[0]?.frame, built.frame);
  });

  void t.test(`${build}: ports without offloads get every frame as it came`, async (sub) => {
    const h = bench(build, false);
    h.port(0, NET, 0);
    const built = tcp({ version: 4, payload: pattern(5000) }, 'partial');
    const header = vnet({ flags: 1, gsoType: GSO.tcpv4, gsoSize: 1000, csumStart: built.l4, csumOffset: 16 });
    const pieces = segment(header, built.frame);
    h.tunnel('192.0.2.1', concat(...pieces.map((piece) => vxlan(VNI, piece))), (pieces[0]?.length ?? 0) + 8);
    sub.same(
      h.outs().map((o) => o.frame),
      pieces,
    );
    h.core.exports.outFailed(2, h.constant('REASON_WRITE_FAILED'));
    sub.equal(h.counter('delivered'), 4);
    sub.equal(h.imbalance(), 0);
  });
}
