/** ARP and neighbour discovery suppression (RFC 826, RFC 4861; what to leave alone: RFC 5227, RFC 4862). */
import t from 'tap';
import { concat, ip, mac } from '../model/bytes.ts';
import { MAC_A, MAC_B, arp, ethernet, ndp, vnet } from '../model/frame.ts';
import { Harness, vxlan } from '../model/harness.ts';

const NET = 1;
const SOLICITED = { to: '33:33:ff:00:00:02', destination: 'ff02::1:ff00:2' } as const;

function bench(build: 'release' | 'debug', suppress = true): Harness {
  const h = new Harness(build);
  h.network(NET, 9, suppress);
  h.port(0, NET);
  h.peer(2, '192.0.2.2');
  h.flood(NET, 2);
  h.fdb(NET, mac(MAC_B), 2);
  h.command('NEIGHBOUR_PUT', { a: NET, ip: ip('10.42.0.2'), mac: mac(MAC_B) });
  h.command('NEIGHBOUR_PUT', { a: NET, ip: ip('fd00::2'), mac: mac(MAC_B) });
  return h;
}

for (const build of ['release', 'debug'] as const) {
  void t.test(
    `${build}: an ARP question about a known owner is answered, and flooded nowhere`,
    async (sub) => {
      const h = bench(build);
      h.tap(0, vnet(), arp({ senderIp: '10.42.0.1', targetIp: '10.42.0.2' }));
      sub.same(
        h.outs().map((o) => [o.port, o.frame, o.vnet]),
        [
          [
            0,
            arp({
              to: MAC_A,
              from: MAC_B,
              operation: 2,
              senderIp: '10.42.0.2',
              targetMac: MAC_A,
              targetIp: '10.42.0.1',
            }),
            vnet(),
          ],
        ],
      );
      sub.equal(h.messages().length, 0);
      sub.equal(h.counter('answered'), 1);
      h.core.exports.outFailed(0, h.constant('REASON_WRITE_FAILED'));
      sub.equal(h.counter('answered'), 0);
      sub.equal(h.imbalance(), 0);
    },
  );

  void t.test(`${build}: a solicitation about a known owner is answered`, async (sub) => {
    const h = bench(build);
    h.tap(0, vnet(), ndp({ ...SOLICITED, source: 'fd00::1', type: 135, target: 'fd00::2', option: MAC_A }));
    const expected = ndp({
      to: MAC_A,
      from: MAC_B,
      source: 'fd00::2',
      destination: 'fd00::1',
      type: 136,
      flags: 0x60000000,
      target: 'fd00::2',
      option: MAC_B,
    });
    sub.same(
      h.outs().map((o) => o.frame),
      [expected],
    );
    sub.equal(h.messages().length, 0);
    sub.equal(h.imbalance(), 0);
  });

  void t.test(`${build}: what must reach the owner is forwarded as it is`, async (sub) => {
    const h = bench(build);
    const asis: [string, Uint8Array][] = [
      ['a probe', arp({ senderIp: '0.0.0.0', targetIp: '10.42.0.2' })],
      ['an announcement', arp({ senderIp: '10.42.0.2', targetIp: '10.42.0.2' })],
      ['a unicast question', arp({ to: MAC_B, senderIp: '10.42.0.1', targetIp: '10.42.0.2' })],
      ['an unknown address', arp({ senderIp: '10.42.0.1', targetIp: '10.42.0.3' })],
      ['a reply', arp({ operation: 2, senderIp: '10.42.0.1', targetIp: '10.42.0.2' })],
      ['duplicate address detection', ndp({ ...SOLICITED, source: '::', type: 135, target: 'fd00::2' })],
      [
        'a unicast solicitation',
        ndp({
          to: MAC_B,
          source: 'fd00::1',
          destination: 'fd00::2',
          type: 135,
          target: 'fd00::2',
          option: MAC_A,
        }),
      ],
      [
        'a solicitation that states another MAC',
        ndp({ ...SOLICITED, source: 'fd00::1', type: 135, target: 'fd00::2', option: MAC_B }),
      ],
    ];
    for (const [what, frame] of asis) {
      h.reset();
      h.tap(0, vnet(), frame);
      sub.equal(h.outs().length, 0, what);
      sub.same(h.datagrams()[0]?.bytes.subarray(8), frame, what);
    }
    sub.equal(h.counter('answered'), 0);
    sub.equal(h.imbalance(), 0);
  });

  void t.test(
    `${build}: never about the asker itself, never for an owner behind the same port`,
    async (sub) => {
      const h = bench(build);
      h.tap(0, vnet(), arp({ from: MAC_B, senderIp: '10.42.0.9', targetIp: '10.42.0.2' }));
      sub.equal(h.outs().length, 0, 'the asker owns it');
      h.tap(0, vnet(), arp({ from: '02:00:00:00:00:0c', senderIp: '10.42.0.10', targetIp: '10.42.0.2' }));
      sub.equal(h.outs().length, 0, 'the owner hears the broadcast on the same side');
      sub.equal(h.datagrams().length, 2);
    },
  );

  void t.test(`${build}: answers for a local owner behind another port`, async (sub) => {
    const h = bench(build);
    h.port(1, NET);
    h.tap(1, vnet(), arp({ from: '02:00:00:00:00:0c', senderIp: '10.42.0.50', targetIp: '10.42.0.77' }));
    h.reset();
    h.tap(0, vnet(), arp({ senderIp: '10.42.0.1', targetIp: '10.42.0.50' }));
    sub.same(
      h.outs().map((o) => [o.port, o.frame.subarray(6, 12)]),
      [[0, mac('02:00:00:00:00:0c')]],
    );
  });

  void t.test(
    `${build}: silent where the network does not suppress, or the owner stands in no row`,
    async (sub) => {
      const open = bench(build, false);
      open.tap(0, vnet(), arp({ senderIp: '10.42.0.1', targetIp: '10.42.0.2' }));
      sub.equal(open.outs().length, 0);
      const stale = bench(build);
      stale.command('FDB_DEL', { a: NET, mac: mac(MAC_B) });
      stale.tap(0, vnet(), arp({ senderIp: '10.42.0.1', targetIp: '10.42.0.2' }));
      sub.equal(stale.outs().length, 0);
      sub.equal(stale.datagrams().length, 1);
      stale.command('FDB_PUT', { a: NET, b: 2, mac: mac(MAC_B) });
      stale.command('NEIGHBOUR_DEL', { a: NET, ip: ip('10.42.0.2'), mac: mac(MAC_A) });
      stale.tap(0, vnet(), arp({ senderIp: '10.42.0.1', targetIp: '10.42.0.2' }));
      sub.equal(stale.outs().length, 1, 'deleting another owner deletes nothing');
      stale.command('NEIGHBOUR_DEL', { a: NET, ip: ip('10.42.0.2'), mac: mac(MAC_B) });
      stale.reset();
      stale.tap(0, vnet(), arp({ senderIp: '10.42.0.1', targetIp: '10.42.0.2' }));
      sub.equal(stale.outs().length, 0);
    },
  );

  void t.test(`${build}: never for a router, whose advertisements carry a flag of their own`, async (sub) => {
    const advertisement = ethernet(
      '33:33:00:00:00:01',
      MAC_B,
      0x86dd,
      concat(
        Uint8Array.of(0x60, 0, 0, 0, 0, 16, 58, 255),
        ip('fd00::2'),
        ip('ff02::1'),
        Uint8Array.of(134, 0, 0, 0),
        new Uint8Array(12),
      ),
    );
    const question = ndp({ ...SOLICITED, source: 'fd00::1', type: 135, target: 'fd00::2', option: MAC_A });
    const h = bench(build);
    h.tap(0, vnet(), question);
    sub.equal(h.counter('answered'), 1, 'until it says that it is one');
    h.tunnel('192.0.2.2', vxlan(9, advertisement));
    h.command('NEIGHBOUR_PUT', { a: NET, ip: ip('fd00::2'), mac: mac(MAC_B) });
    h.tap(0, vnet(), question);
    sub.equal(h.counter('answered'), 1);
    sub.same(h.datagrams()[0]?.bytes.subarray(8), question);
    h.command('NEIGHBOUR_PUT', { a: NET, ip: ip('fd00::2'), mac: mac('02:00:00:00:00:0f') });
    h.fdb(NET, mac('02:00:00:00:00:0f'), 2);
    h.tap(0, vnet(), question);
    sub.equal(h.counter('answered'), 2, 'another owner of the address starts anew');
    sub.equal(h.imbalance(), 0);
  });

  void t.test(`${build}: a question in a tagged frame is another broadcast domain's`, async (sub) => {
    const h = bench(build);
    const question = arp({ senderIp: '10.42.0.1', targetIp: '10.42.0.2' });
    const tagged = new Uint8Array(question.length + 4);
    tagged.set(question.subarray(0, 12));
    tagged.set([0x81, 0, 0, 5], 12);
    tagged.set(question.subarray(12), 16);
    h.tap(0, vnet(), tagged);
    sub.equal(h.outs().length, 0);
    sub.same(h.datagrams()[0]?.bytes.subarray(8), tagged);
  });
}
