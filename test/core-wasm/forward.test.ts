/** Forwarding: who gets a frame, and the named reason when nobody does (checklist 3.30, 3.39, T4). */
import t from 'tap';
import { concat, ip, mac, u16 } from '../model/bytes.ts';
import { BROADCAST, MAC_A, MAC_B, arp, ethernet, ndp, pattern, udp, vnet } from '../model/frame.ts';
import { Harness, vxlan } from '../model/harness.ts';

const NET = 3;
const VNI = 0xabcdef;
const plain = (to: string, from = MAC_A): Uint8Array => ethernet(to, from, 0x88b5, pattern(50));

const MAC_C = '02:00:00:00:00:0c';
const hex = (byte: number): string => byte.toString(16).padStart(2, '0');
/** What a container with mDNS floods as it starts, and how often: destination, times. */
const CONTAINER_START: readonly (readonly [to: string, times: number])[] = [
  // Announcement of its IPv4 address, and questions for the gateway and two neighbours.
  [BROADCAST, 4],
  // Duplicate address detection for two IPv6 addresses (RFC 4862), listener reports (RFC 3810), router solicitations.
  ['33:33:ff:00:00:0c', 2],
  ['33:33:00:00:00:16', 6],
  ['33:33:00:00:00:02', 3],
  // Probes and announcements over IPv4 and IPv6 (RFC 6762 §8), and IGMP reports for the group.
  ['01:00:5e:00:00:fb', 3],
  ['33:33:00:00:00:fb', 3],
  ['01:00:5e:00:00:16', 2],
];

function smallUdp(size: number): Uint8Array {
  return udp({ version: 4, payload: pattern(size) }).frame;
}

function bench(build: 'release' | 'debug', portFlags?: number): Harness {
  const h = new Harness(build);
  h.network(NET, VNI);
  h.port(0, NET, portFlags);
  h.peer(7, '192.0.2.7');
  h.peer(9, '2001:db8::9');
  return h;
}

for (const build of ['release', 'debug'] as const) {
  void t.test(`${build}: unicast goes to the peer that owns it, as RFC 7348 says`, async (sub) => {
    const h = bench(build);
    sub.ok(h.fdb(NET, mac(MAC_B), 7));
    const frame = plain(MAC_B);
    sub.equal(h.tap(0, vnet(), frame), 0);
    const [message, ...rest] = h.messages();
    sub.equal(rest.length, 0);
    sub.same(message?.bytes, concat(Uint8Array.of(8, 0, 0, 0, 0xab, 0xcd, 0xef, 0), frame));
    sub.same(
      message?.name,
      concat(Uint8Array.of(2, 0), u16(4789), ip('192.0.2.7').subarray(12), new Uint8Array(8)),
    );
    sub.equal(message?.segment, undefined, 'a single datagram asks for no segmentation');
    sub.equal(h.counter('sent'), 1);
    sub.equal(h.counter('to-tunnel-bytes'), frame.length + 8);
    sub.equal(h.imbalance(), 0);
  });

  void t.test(
    `${build}: broadcast is replicated to every peer of the network and every other port`,
    async (sub) => {
      const h = bench(build);
      h.port(1, NET);
      h.network(4, 4);
      h.port(2, 4);
      h.flood(NET, 7);
      h.flood(NET, 9);
      h.tap(0, vnet(), plain(BROADCAST));
      const sent = h.datagrams();
      sub.same(
        sent.map((d) => d.peerAddress.length),
        [16, 28],
        'sockaddr_in and sockaddr_in6',
      );
      sub.same(sent[1]?.peerAddress.subarray(8, 24), ip('2001:db8::9'));
      sub.same(sent[0]?.bytes, sent[1]?.bytes);
      sub.same(
        h.outs().map((o) => o.port),
        [1],
        'not to itself, not to another network',
      );
      sub.equal(h.counter('sent'), 1, 'one frame in, one verdict');
      sub.equal(h.counter('delivered'), 0);
      sub.equal(h.imbalance(), 0);
    },
  );

  void t.test(`${build}: a flood reaches as many peers as there can be, in one table`, async (sub) => {
    const h = bench(build);
    const most = h.constant('PEER_MAX');
    for (let peer = 0; peer < most; peer++) {
      h.peer(peer, `10.9.${peer >> 8}.${peer & 255}`);
      h.flood(NET, peer);
    }
    sub.equal(h.tap(0, vnet(), plain(BROADCAST)), 0, 'a second flood still has room');
    sub.equal(h.tap(0, vnet(), plain(BROADCAST)), 1, 'after that the tables must be flushed');
    sub.equal(h.messages().length, 2 * most);
    sub.equal(new Set(h.messages().map((m) => m.bytes.length)).size, 1);
    h.tap(0, vnet(), plain(BROADCAST));
    sub.equal(h.drops('tx-full'), 1, 'a loop that does not flush loses frames, counted');
    h.reset();
    sub.equal(h.tap(0, vnet(), plain(BROADCAST)), 0);
    sub.equal(h.imbalance(), 0);
  });

  void t.test(`${build}: 3.39 split horizon: what came through a tunnel leaves through none`, async (sub) => {
    const h = bench(build);
    h.flood(NET, 7);
    h.flood(NET, 9);
    h.tunnel('192.0.2.7', vxlan(VNI, plain(BROADCAST, MAC_B)));
    sub.equal(h.messages().length, 0);
    sub.same(
      h.outs().map((o) => o.port),
      [0],
    );
    h.fdb(NET, mac('02:00:00:00:00:99'), 9);
    h.tunnel('192.0.2.7', vxlan(VNI, plain('02:00:00:00:00:99', MAC_B)));
    sub.equal(h.drops('split-horizon'), 1);
    sub.equal(h.messages().length, 0);
    sub.equal(h.imbalance(), 0);
  });

  void t.test(`${build}: unknown unicast is flooded within its rate`, async (sub) => {
    const h = bench(build);
    h.command('CONFIG', { a: h.constant('CONFIG_UNKNOWN_PPS'), b: 5 });
    h.flood(NET, 7);
    for (let i = 0; i < 8; i++) h.tap(0, vnet(), plain('02:00:00:00:00:77'));
    sub.equal(h.datagrams().length, 5);
    sub.equal(h.drops('unknown-rate'), 3);
    h.pass(1000);
    h.reset();
    h.tap(0, vnet(), plain('02:00:00:00:00:77'));
    sub.equal(h.datagrams().length, 1, 'a second later it may flood again');
    sub.equal(h.imbalance(), 0);
  });

  void t.test(`${build}: 3.39 a storm of broadcast and multicast is cut at its port, named`, async (sub) => {
    const h = bench(build);
    h.command('CONFIG', { a: h.constant('CONFIG_BROADCAST_PPS'), b: 5 });
    h.port(1, NET);
    h.flood(NET, 7);
    h.fdb(NET, mac(MAC_B), 7);
    const mdns = plain('01:00:5e:00:00:fb');
    for (let i = 0; i < 4; i++) {
      h.tap(1, vnet(), plain(BROADCAST, MAC_C));
      h.tap(1, vnet(), plain('01:00:5e:00:00:fb', MAC_C));
    }
    sub.equal(h.drops('storm-limit'), 3, 'both kinds from one bucket');
    sub.equal(h.datagrams().length, 5);
    sub.equal(h.outs().length, 5, 'what is dropped reaches no other port either');
    h.reset();
    h.tap(1, vnet(), plain(MAC_B, MAC_C));
    h.tap(1, vnet(), plain('02:00:00:00:00:77', MAC_C));
    h.tap(0, vnet(), mdns);
    h.tunnel('192.0.2.7', vxlan(VNI, plain(BROADCAST, MAC_B)));
    sub.equal(h.drops('storm-limit'), 3, 'not unicast, not another port, not what a tunnel brings');
    h.pass(200);
    h.reset();
    for (let i = 0; i < 3; i++) h.tap(1, vnet(), plain(BROADCAST, MAC_C));
    sub.equal(h.datagrams().length, 1, 'a fifth of a second later there is one more');
    sub.equal(h.drops('storm-limit'), 5);
    sub.equal(h.imbalance(), 0);
  });

  void t.test(`${build}: 3.39 what the tables answer is no storm`, async (sub) => {
    const h = bench(build);
    h.command('CONFIG', { a: h.constant('CONFIG_BROADCAST_PPS'), b: 2 });
    h.flood(NET, 7);
    h.fdb(NET, mac(MAC_B), 7);
    h.command('NEIGHBOUR_PUT', { a: NET, ip: ip('10.42.0.2'), mac: mac(MAC_B) });
    h.command('NEIGHBOUR_PUT', { a: NET, ip: ip('fd00::2'), mac: mac(MAC_B) });
    const solicitation = ndp({
      to: '33:33:ff:00:00:02',
      source: 'fd00::1',
      destination: 'ff02::1:ff00:2',
      type: 135,
      target: 'fd00::2',
      option: MAC_A,
    });
    for (let i = 0; i < 10; i++) {
      h.tap(0, vnet(), arp({ senderIp: '10.42.0.1', targetIp: '10.42.0.2' }));
      h.tap(0, vnet(), solicitation);
    }
    sub.equal(h.counter('answered'), 20);
    for (let i = 0; i < 3; i++) h.tap(0, vnet(), arp({ senderIp: '10.42.0.1', targetIp: '10.42.0.99' }));
    sub.equal(h.datagrams().length, 2, 'questions that nobody can answer are flooded, and count');
    sub.equal(h.drops('storm-limit'), 1);
    sub.equal(h.imbalance(), 0);
  });

  void t.test(
    `${build}: 3.39 four hundred containers that start in the same instant are no storm`,
    async (sub) => {
      const h = bench(build);
      h.port(0, NET, undefined, 1000);
      h.flood(NET, 7);
      const floods = CONTAINER_START.reduce((sum, [, times]) => sum + times, 0);
      let frames = 0;
      for (let container = 0; container < 400; container++) {
        const from = `02:42:0a:2a:${hex(container >> 8)}:${hex(container & 255)}`;
        for (const [to, times] of CONTAINER_START) {
          for (let i = 0; i < times; i++) h.tap(0, vnet(), plain(to, from));
        }
        frames += floods;
        h.reset();
      }
      sub.equal(h.drops('storm-limit'), 0);
      sub.equal(h.counter('sent'), frames);
      for (let i = frames; i < 10_000; i++) {
        h.tap(0, vnet(), plain(BROADCAST, '02:42:0a:2a:00:01'));
        h.reset();
      }
      sub.equal(h.drops('storm-limit'), 0, 'the default is ten thousand a second');
      h.tap(0, vnet(), plain(BROADCAST, '02:42:0a:2a:00:01'));
      sub.equal(h.drops('storm-limit'), 1);
      sub.equal(h.imbalance(), 0);
    },
  );

  void t.test(
    `${build}: T4 a reflecting port gets back what is for its own side, others do not`,
    async (sub) => {
      const quiet = bench(build);
      quiet.fdb(NET, mac(MAC_B), 0, quiet.constant('FDB_LOCAL'));
      quiet.tap(0, vnet(), plain(MAC_B));
      sub.equal(quiet.drops('same-port'), 1);
      quiet.tap(0, vnet(), plain(BROADCAST));
      sub.equal(quiet.drops('no-destination'), 1);
      sub.equal(quiet.outs().length, 0);

      const vepa = bench(build);
      vepa.port(0, NET, vepa.flags('PORT_REFLECT', 'PORT_OFFLOAD', 'PORT_USO'));
      vepa.fdb(NET, mac(MAC_B), 0, vepa.constant('FDB_LOCAL'));
      vepa.tap(0, vnet(), plain(MAC_B));
      vepa.tap(0, vnet(), plain(BROADCAST));
      vepa.tap(0, vnet(), plain('02:00:00:00:00:77'));
      sub.same(
        vepa.outs().map((o) => o.port),
        [0, 0, 0],
      );
      vepa.command('CONFIG', { a: vepa.constant('CONFIG_REFLECT_UNKNOWN'), b: 0 });
      vepa.reset();
      vepa.tap(0, vnet(), plain('02:00:00:00:00:77'));
      sub.equal(vepa.outs().length, 0, 'unless unknown unicast is not to be reflected');
      sub.equal(vepa.imbalance(), 0);
    },
  );

  void t.test(`${build}: every refusal has its name (3.30)`, async (sub) => {
    const h = bench(build);
    h.fdb(NET, mac(MAC_B), 7);
    const expect = (reason: string, run: () => void): void => {
      const before = h.drops(reason);
      run();
      sub.equal(h.drops(reason), before + 1, reason);
    };
    expect('no-port', () => h.tap(55, vnet(), plain(MAC_B)));
    expect('truncated', () => h.tap(0, vnet(), plain(MAC_B).subarray(0, 13)));
    expect('truncated', () => h.tap(0, vnet().subarray(0, 5), new Uint8Array()));
    expect('oversize', () => h.tap(0, vnet(), new Uint8Array(65554)));
    expect('bad-source', () => h.tap(0, vnet(), plain(MAC_B, '03:00:00:00:00:01')));
    expect('bad-source', () => h.tap(0, vnet(), plain(MAC_B, '00:00:00:00:00:00')));
    expect('link-local', () => h.tap(0, vnet(), plain('01:80:c2:00:00:0e')));
    expect('too-big', () => h.tap(0, vnet(), ethernet(MAC_B, MAC_A, 0x88b5, pattern(1451))));
    expect('not-a-member', () => h.tunnel('192.0.2.99', vxlan(VNI, plain(MAC_A, MAC_B))));
    expect('unknown-vni', () => h.tunnel('192.0.2.7', vxlan(VNI + 1, plain(MAC_A, MAC_B))));
    expect('bad-vxlan', () => h.tunnel('192.0.2.7', concat(new Uint8Array(8), plain(MAC_A, MAC_B))));
    expect('truncated', () => h.tunnel('192.0.2.7', vxlan(VNI, plain(MAC_A).subarray(0, 13))));
    expect('truncated', () => h.tunnel('192.0.2.7', new Uint8Array()));
    expect('bad-source', () => h.tunnel('192.0.2.7', vxlan(VNI, plain(MAC_A, BROADCAST))));
    h.fdb(NET, mac('02:00:00:00:00:55'), 9, h.constant('FDB_STATIC'));
    expect('source-pinned', () => h.tap(0, vnet(), plain(MAC_B, '02:00:00:00:00:55')));
    h.command('PORT_DEL', { a: 0 });
    expect('no-destination', () => h.tunnel('192.0.2.7', vxlan(VNI, plain(BROADCAST, MAC_B))));
    sub.equal(h.messages().length + h.outs().length, 0);
    sub.equal(h.imbalance(), 0);
  });

  void t.test(
    `${build}: broadcasts reach every local port there can be, and take no room from what comes behind them`,
    async (sub) => {
      const h = bench(build);
      const most = h.constant('PORT_MAX');
      for (let port = 0; port < most; port++) h.port(port, NET);
      h.fdb(NET, mac(MAC_A), 0, h.constant('FDB_LOCAL'));
      const broadcast = vxlan(VNI, plain(BROADCAST, MAC_B));
      const run = [broadcast, broadcast, broadcast, broadcast, vxlan(VNI, plain(MAC_A, MAC_B))];
      h.tunnel('192.0.2.7', concat(...run), broadcast.length);
      sub.equal(h.outs().length, 4 * most + 1);
      sub.strictSame([h.outs().at(-1)?.port, h.outs().at(-1)?.frame], [0, plain(MAC_A, MAC_B)]);
      sub.equal(h.counter('from-tunnel'), run.length);
      sub.equal(h.counter('delivered'), run.length);
      sub.equal(h.drops('out-full'), 0);
      sub.equal(h.counter('to-tap'), 4 * most + 1);
      sub.equal(h.imbalance(), 0);
    },
  );

  void t.test(`${build}: reserved VXLAN bits are ignored on receipt`, async (sub) => {
    const h = bench(build);
    const datagram = vxlan(VNI, plain(BROADCAST, MAC_B));
    datagram.set([0xff, 0xff, 0xff, 0xff], 0);
    datagram[7] = 0xff;
    h.tunnel('192.0.2.7', datagram);
    sub.equal(h.outs().length, 1);
  });

  void t.test(`${build}: IPv6 peers are known by address, whatever the port`, async (sub) => {
    const h = bench(build);
    h.tunnel('2001:db8::9', vxlan(VNI, plain(BROADCAST, MAC_B)));
    sub.equal(h.counter('delivered'), 1);
    const peer = h.constant('PEER_BASE') + 9 * h.constant('PEER_SIZE');
    sub.equal(h.core.view.getUint32(peer + h.constant('PEER_RX_FRAMES'), true), 1);
  });

  void t.test(`${build}: small frames of one flow share a message, a shorter one ends it`, async (sub) => {
    const h = bench(build);
    h.fdb(NET, mac(MAC_B), 7);
    for (let i = 0; i < 70; i++) h.tap(0, vnet(), smallUdp(22));
    h.tap(0, vnet(), smallUdp(10));
    h.tap(0, vnet(), smallUdp(22));
    const messages = h.messages();
    sub.same(
      messages.map((m) => [m.segment, m.bytes.length]),
      [
        [72, 64 * 72],
        [72, 6 * 72 + 60],
        [undefined, 72],
      ],
    );
    sub.equal(h.counter('sent'), 72);
    h.core.exports.txFailed(messages[1]?.table ?? 0, 1, h.constant('REASON_SEND_FAILED'));
    h.core.exports.txFailed(messages[1]?.table ?? 0, 1, h.constant('REASON_SEND_FAILED'));
    sub.equal(h.drops('send-failed'), 7, 'taken back once');
    sub.equal(h.counter('sent'), 65);
    sub.equal(h.counter('to-tunnel'), 65);
    sub.equal(h.imbalance(), 0);
  });

  void t.test(
    `${build}: local delivery keeps a super-frame whole, or cuts it where the port takes none`,
    async (sub) => {
      const h = bench(build);
      h.port(1, NET, 0);
      h.port(2, NET);
      const built = udp({ version: 4, payload: pattern(3000) }, 'partial');
      const header = vnet({
        flags: 1,
        gsoType: 5,
        gsoSize: 1000,
        csumStart: built.l4,
        csumOffset: 6,
        headerLength: 9,
      });
      h.fdb(NET, mac(MAC_B), 2, h.constant('FDB_LOCAL'));
      h.tap(0, header, built.frame);
      const [whole] = h.outs();
      sub.same(whole?.frame, built.frame);
      sub.same(
        whole?.vnet,
        vnet({ flags: 1, gsoType: 5, gsoSize: 1000, csumStart: built.l4, csumOffset: 6, headerLength: 42 }),
      );
      h.reset();
      h.fdb(NET, mac(MAC_B), 1, h.constant('FDB_LOCAL'));
      h.tap(0, header, built.frame);
      sub.same(
        h.outs().map((o) => [o.port, o.frame.length, o.vnet.every((byte) => byte === 0)]),
        [1, 2, 3].map(() => [1, 1042, true]),
      );
      sub.equal(h.counter('delivered'), 2);
      h.core.exports.outFailed(0, h.constant('REASON_WRITE_FAILED'));
      h.core.exports.outFailed(1, h.constant('REASON_WRITE_FAILED'));
      sub.equal(h.drops('write-failed'), 1, 'the verdict rides on the first record');
      sub.equal(h.imbalance(), 0);
    },
  );
}
