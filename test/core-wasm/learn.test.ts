/** Local learning: moves, quotas, rates, ageing, pinned rows, and the events that tell of them. */
import t from 'tap';
import { ip, mac, u32, concat } from '../model/bytes.ts';
import { BROADCAST, MAC_A, MAC_B, arp, ethernet, ndp, pattern, vnet } from '../model/frame.ts';
import { Harness, vxlan } from '../model/harness.ts';

const NET = 2;
const VNI = 77;
const plain = (to: string, from: string): Uint8Array => ethernet(to, from, 0x88b5, pattern(46));

function bench(build: 'release' | 'debug', quota = 100): Harness {
  const h = new Harness(build);
  h.network(NET, VNI);
  h.port(0, NET, h.flags('PORT_OFFLOAD', 'PORT_USO'), quota);
  h.port(1, NET, h.flags('PORT_OFFLOAD', 'PORT_USO'), quota);
  h.peer(3, '192.0.2.3');
  h.flood(NET, 3);
  return h;
}

for (const build of ['release', 'debug'] as const) {
  void t.test(
    `${build}: a MAC is learnt once, moves between ports, and comes back from a peer`,
    async (sub) => {
      const h = bench(build);
      const local = h.flags('FDB_LOCAL', 'FDB_LEARNED');
      for (let i = 0; i < 3; i++) h.tap(0, vnet(), plain(BROADCAST, MAC_A));
      sub.same(
        h.events().map((e) => [e.type, e.network, e.port, e.c, e.mac]),
        [['mac-learned', NET, 0, 0, mac(MAC_A)]],
      );
      sub.same(h.destination(NET, mac(MAC_A)), { destination: 0, flags: local });
      h.tap(1, vnet(), plain(BROADCAST, MAC_A));
      sub.same(
        h.events().map((e) => [e.type, e.port, e.c]),
        [['mac-learned', 1, 0]],
      );
      h.fdb(NET, mac(MAC_A), 3);
      sub.same(h.destination(NET, mac(MAC_A)), { destination: 3, flags: 0 });
      h.tap(0, vnet(), plain(BROADCAST, MAC_A));
      sub.same(
        h.events().map((e) => [e.type, e.port, e.c]),
        [['mac-learned', 0, 4]],
        'peer index + 1',
      );
      sub.equal(h.counter('macs-moved'), 2);
      sub.equal(h.imbalance(), 0);
    },
  );

  void t.test(
    `${build}: 10^6 random source MACs: the table is bounded, a known MAC flows on`,
    async (sub) => {
      const h = bench(build, 1024);
      h.command('CONFIG', { a: h.constant('CONFIG_LEARN_PPS'), b: 1_000_000 });
      h.pass(1000);
      h.tap(0, vnet(), plain(BROADCAST, MAC_A));
      h.reset();
      const core = h.core.exports;
      const slot = h.constant('TAP_SLOT_BASE');
      const frame = concat(vnet(), plain(BROADCAST, MAC_B));
      h.core.bytes.set(frame, slot);
      for (let i = 0; i < 1_000_000; i++) {
        h.core.bytes.set(u32(Math.imul(i, 0x9e3779b1) >>> 0), slot + 12 + 8);
        if (core.fromTap(0, slot, frame.length)) h.reset();
      }
      sub.equal(core.fdbCount(), 1024);
      sub.equal(h.drops('mac-quota'), 1_000_000 - 1023);
      h.reset();
      h.tap(0, vnet(), plain(BROADCAST, MAC_A));
      sub.equal(h.datagrams().length, 1, 'the known one');
      h.tap(1, vnet(), plain(BROADCAST, '02:00:00:00:00:cc'));
      sub.equal(h.datagrams().length, 2, 'a neighbour port has its own quota');
      sub.equal(h.imbalance(), 0);
    },
  );

  void t.test(`${build}: new MACs cost tokens, and the ring does not grow`, async (sub) => {
    const h = bench(build, 1_000_000);
    h.command('CONFIG', { a: h.constant('CONFIG_LEARN_PPS'), b: 10 });
    h.port(9, NET, 0, 1_000_000);
    for (let i = 0; i < 30; i++) {
      h.tap(9, vnet(), plain(BROADCAST, `02:00:00:00:01:${i.toString(16).padStart(2, '0')}`));
    }
    sub.equal(h.drops('learn-rate'), 20);
    sub.equal(h.events().length, 10);
    h.pass(1000);
    h.tap(9, vnet(), plain(BROADCAST, '02:00:00:00:02:00'));
    sub.equal(h.counter('macs-learned'), 11);
  });

  void t.test(`${build}: events that find no room are counted, and nothing else is lost`, async (sub) => {
    const h = bench(build, 1_000_000);
    h.command('CONFIG', { a: h.constant('CONFIG_LEARN_PPS'), b: 1_000_000 });
    h.port(9, NET, 0, 1_000_000);
    const room = h.constant('EVENT_SLOTS');
    for (let i = 0; i < room + 5; i++) {
      const address = `02:00:00:${(i >> 16).toString(16)}:${((i >> 8) & 255).toString(16)}:${(i & 255).toString(16)}`;
      if (h.tap(9, vnet(), plain(MAC_B, address))) h.reset();
    }
    sub.equal(h.core.view.getUint32(h.constant('EVENTS_LOST'), true), 5);
    sub.equal(h.core.exports.fdbCount(), room + 5);
    sub.equal(h.events().length, room);
  });

  void t.test(`${build}: a silent MAC ages out, one that speaks and a commanded one stay`, async (sub) => {
    const h = bench(build);
    h.command('CONFIG', { a: h.constant('CONFIG_AGEING_SECONDS'), b: 10 });
    h.tap(0, vnet(), plain(BROADCAST, MAC_A));
    h.tap(0, vnet(), arp({ from: MAC_B, senderIp: '10.42.0.9', targetIp: '10.42.0.1' }));
    h.fdb(NET, mac('02:00:00:00:00:cc'), 3);
    h.events();
    for (let i = 0; i < 5; i++) {
      h.pass(5000);
      h.reset();
      h.tap(0, vnet(), plain(BROADCAST, MAC_A));
    }
    sub.same(
      h.events().map((e) => [e.type, e.port, e.mac]),
      [['mac-expired', 0, mac(MAC_B)]],
    );
    sub.ok(h.destination(NET, mac(MAC_A)));
    sub.ok(h.destination(NET, mac('02:00:00:00:00:cc')));
    sub.equal(h.core.exports.fdbCount(), 2);
    h.pass(60_000);
    h.tap(0, vnet(), arp({ from: MAC_A, senderIp: '10.42.0.9', targetIp: '10.42.0.1' }));
    sub.same(
      h.events().map((e) => e.type),
      ['mac-expired', 'mac-learned', 'ip-learned'],
      'the IP of the silent MAC went with it',
    );
  });

  void t.test(
    `${build}: IPs are snooped from ARP and neighbour discovery, never against a commanded row`,
    async (sub) => {
      const h = bench(build);
      h.command('NEIGHBOUR_PUT', { a: NET, ip: ip('10.42.0.7'), mac: mac(MAC_B) });
      h.tap(0, vnet(), arp({ senderIp: '10.42.0.5', targetIp: '10.42.0.6' }));
      h.tap(0, vnet(), arp({ senderIp: '10.42.0.5', targetIp: '10.42.0.6' }));
      h.tap(0, vnet(), arp({ senderIp: '10.42.0.7', targetIp: '10.42.0.6' }));
      h.tap(0, vnet(), arp({ senderIp: '0.0.0.0', targetIp: '10.42.0.6' }));
      const multicast = { to: '33:33:00:00:00:01', destination: 'ff02::1' } as const;
      h.tap(0, vnet(), ndp({ ...multicast, source: 'fd00::5', type: 136, target: 'fd00::5', option: MAC_A }));
      h.tap(0, vnet(), ndp({ ...multicast, source: 'fd00::6', type: 135, target: 'fd00::7', option: MAC_A }));
      h.tap(0, vnet(), ndp({ ...multicast, source: 'fd00::8', type: 136, target: 'fd00::8', option: MAC_B }));
      h.tap(0, vnet(), ndp({ ...multicast, source: '::', type: 135, target: 'fd00::9' }));
      sub.same(
        h
          .events()
          .filter((e) => e.type === 'ip-learned')
          .map((e) => e.ip),
        [ip('10.42.0.5'), ip('fd00::5'), ip('fd00::6')],
        'not the probes, not what is stated for another MAC',
      );
      sub.equal(h.counter('ips-learned'), 3);
    },
  );

  void t.test(`${build}: a port states only so many IPs`, async (sub) => {
    const h = bench(build, 1);
    for (let i = 1; i < 20; i++) h.tap(0, vnet(), arp({ senderIp: `10.42.1.${i}`, targetIp: '10.42.0.1' }));
    sub.equal(h.counter('ips-learned'), 4);
  });

  void t.test(`${build}: an ARP lie is dropped and teaches nothing`, async (sub) => {
    const h = bench(build);
    h.tap(0, vnet(), arp({ senderMac: MAC_B, senderIp: '10.42.0.1', targetIp: '10.42.0.2' }));
    sub.equal(h.drops('arp-mismatch'), 1);
    sub.equal(h.events().length, 0);
    sub.equal(h.core.exports.fdbCount(), 0);
  });

  void t.test(`${build}: a peer without gossip teaches its MACs; a gossiping one does not`, async (sub) => {
    const h = bench(build);
    h.peer(4, '192.0.2.4', 1472, h.constant('PEER_LEARN'));
    h.tunnel('192.0.2.3', vxlan(VNI, plain(BROADCAST, '02:00:00:00:00:33')));
    h.tunnel('192.0.2.4', vxlan(VNI, plain(BROADCAST, '02:00:00:00:00:44')));
    sub.equal(h.destination(NET, mac('02:00:00:00:00:33')), undefined);
    sub.same(h.destination(NET, mac('02:00:00:00:00:44')), {
      destination: 4,
      flags: h.constant('FDB_LEARNED'),
    });

    h.tap(0, vnet(), plain(BROADCAST, MAC_A));
    h.tunnel('192.0.2.4', vxlan(VNI, plain(BROADCAST, MAC_A)));
    sub.equal(
      h.destination(NET, mac(MAC_A))?.destination,
      0,
      'a local MAC that has just spoken is not taken away',
    );
    h.pass(5000);
    h.events();
    h.tunnel('192.0.2.4', vxlan(VNI, plain(BROADCAST, MAC_A)));
    sub.equal(h.destination(NET, mac(MAC_A))?.destination, 4);
    sub.same(
      h.events().map((e) => e.type),
      ['mac-expired'],
    );
    h.fdb(NET, mac('02:00:00:00:00:55'), 3);
    h.tunnel('192.0.2.4', vxlan(VNI, plain(BROADCAST, '02:00:00:00:00:55')));
    sub.equal(h.destination(NET, mac('02:00:00:00:00:55'))?.destination, 3, 'a commanded row stands');
    h.command('CONFIG', { a: h.constant('CONFIG_AGEING_SECONDS'), b: 10 });
    h.pass(120_000);
    sub.equal(h.destination(NET, mac('02:00:00:00:00:44')), undefined, 'and what was learnt ages');
    sub.equal(h.imbalance(), 0);
  });
}
