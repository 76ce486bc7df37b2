/** Commands: idempotent rows, what each deletion takes along, and refusals that change nothing. */
import t from 'tap';
import { ip, mac } from '../model/bytes.ts';
import { BROADCAST, MAC_A, MAC_B, arp, ethernet, pattern, vnet } from '../model/frame.ts';
import { Harness, vxlan } from '../model/harness.ts';

const plain = (to: string, from = MAC_A): Uint8Array => ethernet(to, from, 0x88b5, pattern(46));

for (const build of ['release', 'debug'] as const) {
  void t.test(`${build}: a refused command says which and changes nothing`, async (sub) => {
    const h = new Harness(build);
    const max = (name: string): number => h.constant(name);
    h.network(1, 100);
    h.port(0, 1);
    h.peer(0, '192.0.2.1');
    const refused: [string, Parameters<Harness['command']>[1]][] = [
      ['NETWORK_PUT', { a: max('NETWORK_MAX'), b: 5 }],
      ['NETWORK_PUT', { a: 2, b: 1 << 24 }],
      ['NETWORK_PUT', { a: 2, b: 100 }],
      ['NETWORK_DEL', { a: max('NETWORK_MAX') }],
      ['PORT_PUT', { a: max('PORT_MAX'), b: 1, c: 1 }],
      ['PORT_PUT', { a: 1, b: max('NETWORK_MAX'), c: 1 }],
      ['PEER_PUT', { a: max('PEER_MAX'), b: 4789, c: 1472, ip: ip('192.0.2.9') }],
      ['PEER_PUT', { a: 1, b: 0, c: 1472, ip: ip('192.0.2.9') }],
      ['PEER_PUT', { a: 1, b: 65536, c: 1472, ip: ip('192.0.2.9') }],
      ['FLOOD_PUT', { a: 1, b: 7 }],
      ['FLOOD_PUT', { a: 9, b: 0 }],
      ['FLOOD_DEL', { a: max('NETWORK_MAX'), b: 0 }],
      ['FDB_PUT', { a: 1, b: 7, mac: mac(MAC_B) }],
      ['FDB_PUT', { a: 9, b: 0, mac: mac(MAC_B) }],
      ['FDB_PUT', { a: 1, b: 0, mac: mac(BROADCAST) }],
      ['FDB_PUT', { a: 1, b: 0, mac: new Uint8Array(6) }],
      ['FDB_PUT', { a: 1, b: 3, mac: mac(MAC_B), flags: max('FDB_LOCAL') }],
      ['FDB_DEL', { a: max('NETWORK_MAX'), mac: mac(MAC_B) }],
      ['NEIGHBOUR_PUT', { a: 9, ip: ip('10.0.0.1'), mac: mac(MAC_B) }],
      ['NEIGHBOUR_PUT', { a: 1, ip: ip('10.0.0.1'), mac: mac(BROADCAST) }],
      ['NEIGHBOUR_DEL', { a: max('NETWORK_MAX'), ip: ip('10.0.0.1') }],
      ['CONFIG', { a: 0, b: 1 }],
      ['CONFIG', { a: 4000, b: 1 }],
    ];
    const table = h.core.bytes.slice(h.constant('PEER_BASE'), h.constant('TAP_SLOT_BASE'));
    refused.forEach(([op, fields], i) => {
      sub.notOk(h.command(op, { ...fields, sequence: 1000 + i }), op);
      const [event, ...rest] = h.events();
      sub.equal(rest.length, 0);
      sub.same(
        [event?.type, h.core.ops[event?.c ?? 0], event?.d],
        ['command-failed', op.toLowerCase().replace('_', '-'), 1000 + i],
      );
    });
    const after = h.core.bytes.slice(h.constant('PEER_BASE'), h.constant('TAP_SLOT_BASE'));
    sub.equal(Buffer.compare(table, after), 0);
  });

  void t.test(`${build}: the ring is taken in order, up to the number asked for`, async (sub) => {
    const h = new Harness(build);
    for (let i = 0; i < 10; i++) h.queue('NETWORK_PUT', { a: i, b: 1000 + i });
    sub.equal(h.core.exports.runCommands(4), 4);
    sub.equal(h.core.exports.runCommands(100), 6);
    sub.equal(h.core.exports.runCommands(100), 0);
    sub.equal(h.counter('commands'), 10);
    sub.equal(h.counter('commands-failed'), 0);
  });

  void t.test(`${build}: everything twice is as once`, async (sub) => {
    const h = new Harness(build);
    for (let i = 0; i < 2; i++) {
      sub.ok(h.network(1, 100));
      sub.ok(h.port(0, 1));
      sub.ok(h.peer(0, '192.0.2.1'));
      sub.ok(h.flood(1, 0));
      sub.ok(h.fdb(1, mac(MAC_B), 0));
      sub.ok(h.command('NEIGHBOUR_PUT', { a: 1, ip: ip('10.0.0.1'), mac: mac(MAC_B) }));
    }
    sub.equal(h.core.exports.fdbCount(), 1);
    h.tap(0, vnet(), plain(BROADCAST));
    sub.equal(h.datagrams().length, 1);
    sub.equal(h.outs().length, 0);
    for (let i = 0; i < 2; i++) {
      sub.ok(h.command('NEIGHBOUR_DEL', { a: 1, ip: ip('10.0.0.1'), mac: mac(MAC_B) }));
      sub.ok(h.command('FDB_DEL', { a: 1, mac: mac(MAC_B) }));
      sub.ok(h.command('FLOOD_DEL', { a: 1, b: 0 }));
      sub.ok(h.command('PEER_DEL', { a: 0 }));
      sub.ok(h.command('PORT_DEL', { a: 0 }));
      sub.ok(h.command('NETWORK_DEL', { a: 1 }));
    }
    sub.equal(h.core.exports.fdbCount(), 0, 'the local row of MAC_A went with its port');
  });

  void t.test(`${build}: a deletion spares rows of the other kind`, async (sub) => {
    const h = new Harness(build);
    const local = h.constant('FDB_LOCAL');
    h.network(1, 100);
    h.port(0, 1);
    h.peer(0, '192.0.2.1');
    h.fdb(1, mac(MAC_A), 0, local);
    h.fdb(1, mac(MAC_B), 0);
    h.command('FDB_DEL', { a: 1, mac: mac(MAC_A) });
    h.command('FDB_DEL', { a: 1, mac: mac(MAC_B), flags: local });
    sub.equal(h.core.exports.fdbCount(), 2);
    h.command('FDB_DEL', { a: 1, mac: mac(MAC_A), flags: local });
    h.command('FDB_DEL', { a: 1, mac: mac(MAC_B) });
    sub.equal(h.core.exports.fdbCount(), 0);
  });

  void t.test(`${build}: a network, port or peer takes its rows along, and only those`, async (sub) => {
    const h = new Harness(build);
    for (const network of [1, 2]) {
      h.network(network, network);
      h.port(network, network, 0, 10_000);
      h.peer(network, `192.0.2.${network}`);
      h.flood(network, 1);
      h.flood(network, 2);
    }
    const rows = (network: number, destination: number, flags: number, from: number): void => {
      for (let i = from; i < from + 500; i++) {
        h.fdb(network, Uint8Array.of(2, 0, 0, network, i >> 8, i & 255), destination, flags);
      }
    };
    const local = h.constant('FDB_LOCAL');
    for (const network of [1, 2]) {
      rows(network, network, local, 0);
      rows(network, 1, 0, 1000);
      rows(network, 2, 0, 2000);
    }
    h.tap(1, vnet(), arp({ senderIp: '10.0.0.1', targetIp: '10.0.0.9' }));
    sub.equal(h.core.exports.fdbCount(), 3001);
    h.command('PEER_DEL', { a: 1 });
    sub.equal(h.core.exports.fdbCount(), 2001);
    h.reset();
    h.tap(2, vnet(), plain(BROADCAST, '02:00:00:02:00:00'));
    sub.equal(h.datagrams().length, 1, 'the peer left every flood list');
    h.tunnel('192.0.2.1', vxlan(1, plain(BROADCAST)));
    sub.equal(h.drops('not-a-member'), 1);
    h.command('PORT_DEL', { a: 1 });
    sub.equal(h.core.exports.fdbCount(), 1500);
    h.command('NETWORK_DEL', { a: 2 });
    sub.equal(h.core.exports.fdbCount(), 500);
    h.tap(2, vnet(), plain(BROADCAST));
    sub.equal(h.drops('no-port'), 1, 'a port without its network takes nothing');
    sub.ok(h.network(2, 55));
    h.reset();
    h.tap(2, vnet(), plain(BROADCAST));
    sub.equal(h.drops('no-destination'), 1, 'nor has a network of the same index the old flood list');
    h.command('NETWORK_DEL', { a: 1 });
    sub.equal(h.core.exports.fdbCount(), 1, 'what the new network has learnt');
  });

  void t.test(`${build}: a port that changes its network leaves its rows behind`, async (sub) => {
    const h = new Harness(build);
    h.network(1, 1);
    h.network(2, 2);
    h.port(0, 1);
    h.port(1, 1);
    h.tap(0, vnet(), plain(BROADCAST));
    h.port(0, 2);
    sub.equal(h.core.exports.fdbCount(), 0);
    h.reset();
    h.tap(1, vnet(), plain(BROADCAST, MAC_B));
    sub.equal(h.outs().length, 0);
    h.port(1, 2);
    h.tap(1, vnet(), plain(BROADCAST, MAC_B));
    sub.same(
      h.outs().map((o) => o.port),
      [0],
    );
    sub.equal(h.imbalance(), 0);
  });

  void t.test(`${build}: a VNI can move to another network, and 1,024 networks fit`, async (sub) => {
    const h = new Harness(build);
    const most = h.constant('NETWORK_MAX');
    for (let i = 0; i < most; i++) sub.ok(h.network(i, 0xffffff - i) || sub.fail(`network ${i}`));
    h.peer(1, '192.0.2.1');
    h.port(5, most - 1);
    h.tunnel('192.0.2.1', vxlan(0xffffff - (most - 1), plain(BROADCAST)));
    sub.equal(h.outs().length, 1);
    h.command('NETWORK_DEL', { a: most - 1 });
    h.tunnel('192.0.2.1', vxlan(0xffffff - (most - 1), plain(BROADCAST)));
    sub.equal(h.drops('unknown-vni'), 1);
    sub.ok(h.network(most - 1, 3));
  });

  void t.test(`${build}: a peer can change its address, a network its VNI`, async (sub) => {
    const h = new Harness(build);
    h.network(1, 100);
    h.port(0, 1);
    h.peer(1, '192.0.2.1');
    h.peer(2, '192.0.2.2');
    h.peer(1, '192.0.2.3');
    h.network(1, 200);
    h.tunnel('192.0.2.1', vxlan(200, plain(BROADCAST)));
    sub.equal(h.drops('not-a-member'), 1);
    h.tunnel('192.0.2.3', vxlan(100, plain(BROADCAST)));
    sub.equal(h.drops('unknown-vni'), 1);
    h.tunnel('192.0.2.2', vxlan(200, plain(BROADCAST)));
    h.tunnel('192.0.2.3', vxlan(200, plain(BROADCAST)));
    sub.equal(h.counter('delivered'), 2);
  });

  void t.test(`${build}: the FDB takes a million rows and refuses what would fill it`, async (sub) => {
    const h = new Harness(build);
    h.network(0, 1);
    h.peer(0, '192.0.2.1');
    const limit = h.constant('FDB_LIMIT');
    const { view, exports } = h.core;
    const address = Uint8Array.of(2, 0, 0, 0, 0, 0);
    const put = (i: number): void => {
      new DataView(address.buffer).setUint32(2, i);
      h.queue('FDB_PUT', { a: 0, b: 0, mac: address });
      exports.runCommands(1);
    };
    for (let i = 0; i < limit; i++) put(i);
    sub.equal(exports.fdbCount(), limit);
    sub.equal(h.counter('commands-failed'), 0);
    put(limit);
    sub.equal(h.counter('commands-failed'), 1);
    let missing = 0;
    for (let i = 0; i < limit; i += 97) if (exports.fdbFind(0, 0x0200, i) === 0) missing++;
    sub.equal(missing, 0);
    const before = performance.now();
    h.command('NETWORK_DEL', { a: 0 });
    sub.equal(exports.fdbCount(), 0);
    sub.ok(performance.now() - before < 5000, 'without a hang');
    sub.equal(view.getBigUint64(h.constant('FDB_BASE'), true), 0n);
  });
}
