/** 5.6: of a flood, bound ports get what may concern them; announcements and everything else reach all. */
import t from 'tap';
import { concat, ip, mac, u16, u32 } from '../model/bytes.ts';
import { BROADCAST, arp, ethernet, ndp, pattern, vnet } from '../model/frame.ts';
import { Harness, vxlan } from '../model/harness.ts';

const NET = 1;
const VNI = 9;
/** Ports 0 and 4 are not bound. */
const BOUND = [1, 2, 3];
const macOf = (port: number): string => `02:00:00:00:00:0${port}`;

function bench(build: 'release' | 'debug'): Harness {
  const h = new Harness(build);
  h.network(NET, VNI, false);
  h.peer(1, '192.0.2.1');
  for (let port = 0; port < 5; port++) h.port(port, NET);
  for (const port of BOUND) {
    h.command('BINDING_IP', { a: port, b: 0, ip: ip(`10.42.0.${port}`) });
    h.command('BINDING_IP', { a: port, b: 1, ip: ip(`fd00::${port}`) });
    h.command('BINDING_PUT', { a: port, b: 2, mac: mac(macOf(port)) });
  }
  return h;
}

function icmpv6(type: number): Uint8Array {
  const body = concat(Uint8Array.of(type, 0, 0, 0), new Uint8Array(20));
  const ends = concat(ip('fd00::77'), ip('ff02::16'));
  const header = concat(u32(0x60000000), u16(body.length), Uint8Array.of(58, 255), ends);
  return ethernet('33:33:00:00:00:16', macOf(0), 0x86dd, concat(header, body));
}

function igmp(type: number): Uint8Array {
  const ends = concat(ip('10.42.0.77').subarray(12), ip('224.0.0.22').subarray(12));
  const header = concat(Uint8Array.of(0x45, 0), u16(28), u32(0), Uint8Array.of(1, 2, 0, 0), ends);
  const body = concat(Uint8Array.of(type, 0, 0, 0), new Uint8Array(4));
  return ethernet('01:00:5e:00:00:16', macOf(0), 0x0800, concat(header, body));
}

const solicit = (target: string): Uint8Array =>
  ndp({
    to: '33:33:ff:00:00:02',
    from: macOf(0),
    source: 'fd00::77',
    destination: 'ff02::1:ff00:2',
    type: 135,
    target,
  });
const ask = (senderIp: string, targetIp: string): Uint8Array => arp({ from: macOf(0), senderIp, targetIp });

const CASES: readonly (readonly [string, readonly number[], Uint8Array])[] = [
  ['any broadcast', [1, 2, 3, 4], ethernet(BROADCAST, macOf(0), 0x88b5, pattern(46))],
  ['a question about one address', [2, 4], ask('10.42.0.77', '10.42.0.2')],
  ['a question about an unknown one', [4], ask('10.42.0.77', '10.42.0.99')],
  ['a probe', [3, 4], ask('0.0.0.0', '10.42.0.3')],
  ['a gratuitous ARP', [1, 2, 3, 4], ask('10.42.0.77', '10.42.0.77')],
  ['a solicitation', [1, 4], solicit('fd00::1')],
  ['one for the link-local address of a MAC', [3, 4], solicit('fe80::ff:fe00:3')],
  [
    'an unsolicited advertisement',
    [1, 2, 3, 4],
    ndp({
      to: '33:33:00:00:00:01',
      from: macOf(0),
      source: 'fd00::77',
      destination: 'ff02::1',
      type: 136,
      target: 'fd00::77',
      option: macOf(0),
    }),
  ],
  ['a router solicitation', [4], icmpv6(133)],
  ['an MLD report', [4], icmpv6(143)],
  ['an MLD query', [1, 2, 3, 4], icmpv6(130)],
  ['an IGMP report', [4], igmp(0x22)],
  ['an IGMP query', [1, 2, 3, 4], igmp(0x11)],
  ['a MAC that no table has', [2, 4], ethernet(macOf(2), macOf(0), 0x88b5, pattern(46))],
];

const reached = (h: Harness): number[] =>
  h
    .outs()
    .map(({ port }) => port)
    .sort((a, b) => a - b);

for (const build of ['release', 'debug'] as const) {
  void t.test(`${build}: floods that concern few, from a TAP and from the tunnel`, async (sub) => {
    const h = bench(build);
    for (const [what, expected, frame] of CASES) {
      h.reset();
      h.tap(0, vnet(), frame);
      sub.strictSame(reached(h), expected, what);
      h.reset();
      h.tunnel('192.0.2.1', vxlan(VNI, frame));
      sub.strictSame(reached(h), [0, ...expected], `${what}, from the tunnel`);
    }
    sub.equal(h.imbalance(), 0);
  });

  void t.test(`${build}: what concerns nobody here still has a verdict`, async (sub) => {
    const h = bench(build);
    for (const port of [0, 4]) h.command('PORT_DEL', { a: port });
    h.tunnel('192.0.2.1', vxlan(VNI, icmpv6(143)));
    sub.equal(h.drops('no-destination'), 1);
    h.tap(1, vnet(), arp({ from: macOf(1), senderIp: '10.42.0.1', targetIp: '10.42.0.99' }));
    sub.equal(h.drops('no-destination'), 2);
    sub.equal(h.imbalance(), 0);
  });
}
