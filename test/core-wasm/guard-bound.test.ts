/** Checklist 4, "ARP/ND spoof, rogue RA/DHCP" and "MAC spoof": a bound port says nothing in another's name. */
import t from 'tap';
import { concat, ip, mac, onesSum, read16, u16, u32, write16 } from '../model/bytes.ts';
import { BROADCAST, MAC_A, MAC_B, arp, ethernet, ndp, pattern, tcp, udp, vnet } from '../model/frame.ts';
import type { FlowSpec } from '../model/frame.ts';
import { Harness } from '../model/harness.ts';
import { isSound } from '../model/segment.ts';

const NET = 1;
const PORT = 4095; // the last one
const LINK_LOCAL = 'fe80::ff:fe00:a'; // of MAC_A
const FOREIGN_LINK_LOCAL = 'fe80::1';
const OWN = ['10.42.0.1', 'fd00::1'] as const;
const PASSED = 'passed';

function bench(build: 'release' | 'debug'): Harness {
  const h = new Harness(build);
  bind(h, MAC_A, OWN);
  h.network(NET, 9, false);
  h.port(PORT, NET);
  h.port(1, NET);
  return h;
}

function bind(h: Harness, address: string, ips: readonly string[]): boolean {
  ips.forEach((text, place) => h.command('BINDING_IP', { a: PORT, b: place, ip: ip(text) }));
  return h.command('BINDING_PUT', { a: PORT, b: ips.length, mac: mac(address) });
}

/** What became of a frame of the bound port. */
function verdict(h: Harness, frame: Uint8Array, port = PORT): string {
  const reasons = ['guard-mac', 'guard-ip', 'guard-ra', 'guard-dhcp', 'truncated', 'arp-mismatch'];
  const before = reasons.map((reason) => h.drops(reason));
  const delivered = h.counter('delivered');
  h.reset();
  h.tap(port, vnet(), frame);
  if (h.imbalance() !== 0) return 'no verdict';
  if (h.counter('delivered') > delivered) return PASSED;
  return reasons.find((reason, i) => h.drops(reason) > (before[i] ?? 0)) ?? 'another reason';
}

function ipv4(source: string, protocol: number, body: Uint8Array, fragment = 0): Uint8Array {
  const header = concat(
    Uint8Array.of(0x45, 0),
    u16(20 + body.length),
    u16(7),
    u16(fragment),
    Uint8Array.of(64, protocol, 0, 0),
    ip(source).subarray(12),
    ip('10.42.0.2').subarray(12),
  );
  return ethernet(BROADCAST, MAC_A, 0x0800, concat(header, body));
}

function ipv6(source: string, next: number, body: Uint8Array): Uint8Array {
  const header = concat(
    u32(0x60000000),
    u16(body.length),
    Uint8Array.of(next, 255),
    ip(source),
    ip('ff02::1'),
  );
  return ethernet('33:33:00:00:00:01', MAC_A, 0x86dd, concat(header, body));
}

/** An extension header of eight bytes. */
const options = (next: number): Uint8Array => Uint8Array.of(next, 0, 1, 4, 0, 0, 0, 0);
const fragment = (next: number, offset: number): Uint8Array =>
  concat(Uint8Array.of(next, 0), u16(offset | 1), u32(99));
const icmp = (type: number, length = 24): Uint8Array =>
  concat(Uint8Array.of(type, 0, 0, 0), new Uint8Array(length - 4));
const ports = (source: number, destination: number): Uint8Array =>
  concat(u16(source), u16(destination), u16(16), u16(0), pattern(8));

const flow = (version: 4 | 6, spec: Partial<FlowSpec>): Uint8Array =>
  udp({ version, to: BROADCAST, payload: pattern(40), sourcePort: 5000, destinationPort: 6000, ...spec })
    .frame;
const solicit = (source: string, target: string, option?: string): Uint8Array =>
  ndp({
    to: '33:33:ff:00:00:02',
    source,
    destination: 'ff02::1:ff00:2',
    type: 135,
    target,
    ...(option !== undefined && { option }),
  });
const advertise = (source: string, target: string, option = MAC_A): Uint8Array =>
  ndp({ to: '33:33:00:00:00:01', source, destination: 'ff02::1', type: 136, target, option });

const CASES: readonly (readonly [string, string, Uint8Array])[] = [
  ['IPv4 from its own address', PASSED, flow(4, {})],
  ['IPv6 from its own address', PASSED, flow(6, {})],
  ['IPv6 from the link-local address of its MAC', PASSED, flow(6, { source: LINK_LOCAL })],
  ['a protocol without addresses', PASSED, ethernet(BROADCAST, MAC_A, 0x88b5, pattern(46))],
  ['a tagged frame of its own', PASSED, flow(4, { tags: [5] })],
  ['another MAC', 'guard-mac', ethernet(BROADCAST, MAC_B, 0x88b5, pattern(46))],
  ['another IPv4 address', 'guard-ip', flow(4, { source: '10.42.0.9' })],
  ['another IPv4 address behind a tag', 'guard-ip', flow(4, { source: '10.42.0.9', tags: [0] })],
  ['another IPv4 address behind two tags', 'guard-ip', flow(4, { source: '10.42.0.9', tags: [0, 0] })],
  ['more tags than are looked through', 'guard-ip', flow(4, { tags: [0, 0, 0] })],
  ['IP in SNAP', 'guard-ip', ethernet(BROADCAST, MAC_A, 40, Uint8Array.of(0xaa, 0xaa, 3, 0, 0, 0, 8, 0))],
  ['another IPv6 address', 'guard-ip', flow(6, { source: 'fd00::9' })],
  ['another link-local address', 'guard-ip', flow(6, { source: FOREIGN_LINK_LOCAL })],
  ['a later fragment from another address', 'guard-ip', ipv4('10.42.0.9', 17, pattern(16), 5)],
  ['a later fragment of its own', PASSED, ipv4(OWN[0], 17, pattern(16), 5)],

  ['ARP for its own address', PASSED, arp({ senderIp: OWN[0], targetIp: '10.42.0.2' })],
  ['an ARP probe for its own address', PASSED, arp({ senderIp: '0.0.0.0', targetIp: OWN[0] })],
  ['an ARP probe for another', 'guard-ip', arp({ senderIp: '0.0.0.0', targetIp: '10.42.0.2' })],
  ['an ARP claim on the gateway', 'guard-ip', arp({ senderIp: '10.42.0.254', targetIp: '10.42.0.254' })],
  [
    'an ARP reply for another',
    'guard-ip',
    arp({ operation: 2, senderIp: '10.42.0.9', targetIp: '10.42.0.2' }),
  ],
  [
    'ARP with another hardware address',
    'arp-mismatch',
    arp({ senderIp: OWN[0], senderMac: MAC_B, targetIp: OWN[0] }),
  ],
  ['ARP of another hardware type', 'guard-ip', oddArp()],

  ['its own solicitation', PASSED, solicit(OWN[1], 'fd00::2', MAC_A)],
  ['duplicate address detection', PASSED, solicit('::', OWN[1])],
  ['the same for its link-local address', PASSED, solicit('::', LINK_LOCAL)],
  ['detection of another address', 'guard-ip', solicit('::', 'fd00::2')],
  ['a solicitation with another MAC', 'guard-mac', solicit(OWN[1], 'fd00::2', MAC_B)],
  ['its own advertisement', PASSED, advertise(OWN[1], OWN[1])],
  ['an advertisement for another', 'guard-ip', advertise(OWN[1], 'fd00::2')],
  ['an advertisement with another MAC', 'guard-mac', advertise(OWN[1], OWN[1], MAC_B)],
  ['an advertisement cut short', 'truncated', ipv6(LINK_LOCAL, 58, icmp(136, 20))],

  ['a router advertisement', 'guard-ra', ipv6(LINK_LOCAL, 58, icmp(134))],
  ['the same behind an extension header', 'guard-ra', ipv6(LINK_LOCAL, 0, concat(options(58), icmp(134)))],
  [
    'the same behind five',
    'guard-ra',
    ipv6(LINK_LOCAL, 0, concat(options(60), options(60), options(60), options(60), options(58), icmp(134))),
  ],
  ['the same in a fragment', 'guard-ra', ipv6(LINK_LOCAL, 44, concat(fragment(58, 0), icmp(134)))],
  [
    'a fragment that begins with options',
    'guard-ra',
    ipv6(LINK_LOCAL, 44, concat(fragment(60, 0), options(58))),
  ],
  ['neighbour discovery in a fragment', 'guard-ra', ipv6(LINK_LOCAL, 44, concat(fragment(58, 0), icmp(136)))],
  ['a redirect', 'guard-ra', ipv6(LINK_LOCAL, 58, icmp(137, 40))],
  ['a router solicitation', PASSED, ipv6(LINK_LOCAL, 58, icmp(133, 8))],
  ['the same without an address', PASSED, ipv6('::', 58, icmp(133, 8))],
  ['an MLD report without an address', PASSED, ipv6('::', 0, concat(options(58), icmp(143)))],
  ['an echo request in fragments', PASSED, ipv6(OWN[1], 44, concat(fragment(58, 0), icmp(128)))],
  ['a chain that ends too soon', 'truncated', ipv6(LINK_LOCAL, 0, Uint8Array.of(58, 9, 0, 0, 0, 0, 0, 0))],
  ['UDP without an address', 'guard-ip', ipv6('::', 17, ports(1000, 2000))],

  ['a DHCP client', PASSED, ipv4('0.0.0.0', 17, ports(68, 67))],
  ['IGMP without an address', PASSED, ipv4('0.0.0.0', 2, pattern(8))],
  ['TCP without an address', 'guard-ip', ipv4('0.0.0.0', 6, ports(68, 67))],
  ['a DHCP server', 'guard-dhcp', ipv4(OWN[0], 17, ports(67, 68))],
  ['the same from another port', 'guard-dhcp', ipv4(OWN[0], 17, ports(1067, 68))],
  ['the same in fragments', 'guard-dhcp', ipv4(OWN[0], 17, ports(67, 68), 0x2000)],
  ['a DHCPv6 client', PASSED, ipv6(LINK_LOCAL, 17, ports(546, 547))],
  ['a DHCPv6 server', 'guard-dhcp', ipv6(LINK_LOCAL, 17, ports(547, 546))],
  ['the same in fragments', 'guard-dhcp', ipv6(LINK_LOCAL, 44, concat(fragment(17, 0), ports(547, 546)))],
];

function oddArp(): Uint8Array {
  const frame = arp({ senderIp: '10.42.0.9', targetIp: '10.42.0.2' });
  write16(frame, 14, 6); // IEEE 802, which Linux takes for Ethernet
  return frame;
}

/** An honest frame with room for two bytes at its end, and a checksum to be finished that shall say `want` where it is stored. */
interface Forgery {
  readonly what: string;
  readonly frame: Uint8Array;
  readonly start: number;
  readonly offset: number;
  readonly want: number;
  readonly reason: string;
}

const honestArp = concat(arp({ senderIp: OWN[0], targetIp: '10.42.0.2' }), new Uint8Array(18));
const honestIpv4 = flow(4, { sourcePort: 68 });
const honestIpv6 = flow(6, {});
const FORGERIES: readonly Forgery[] = [
  { what: 'ARP for another', frame: honestArp, start: 20, offset: 10, want: 0x00fe, reason: 'guard-ip' },
  { what: "another's MAC in ARP", frame: honestArp, start: 20, offset: 6, want: 9, reason: 'arp-mismatch' },
  { what: 'another protocol', frame: honestArp, start: 14, offset: 0, want: 6, reason: 'guard-ip' },
  { what: 'another IPv4', frame: honestIpv4, start: 20, offset: 8, want: 0x00fe, reason: 'guard-ip' },
  { what: "a DHCP server's port", frame: honestIpv4, start: 34, offset: 0, want: 67, reason: 'guard-dhcp' },
  ...[2, 4, 6, 8, 10, 12, 14, 16].map((offset) => ({
    what: `another IPv6, bytes ${offset - 2} and on`,
    frame: honestIpv6,
    start: 20,
    offset,
    want: 0xbeef,
    reason: 'guard-ip',
  })),
  {
    what: 'a router advertisement',
    frame: ipv6(LINK_LOCAL, 58, icmp(128, 32)),
    start: 54,
    offset: 0,
    want: 0x8600,
    reason: 'guard-ra',
  },
  {
    what: 'a header that hides it',
    frame: ipv6(LINK_LOCAL, 17, concat(Uint8Array.of(58, 0, 1, 4, 0, 0, 0, 0), icmp(134))),
    start: 20,
    offset: 0,
    want: 0x3cff, // next header 60, hop limit 255
    reason: 'guard-ra',
  },
];

/** Chooses the last two bytes so that the finished checksum is what the forger wants. */
function forged({ frame, start, offset, want }: Forgery): { header: Uint8Array; frame: Uint8Array } {
  const copy = frame.slice();
  write16(copy, copy.length - 2, 0);
  const rest = 0xffff - want - onesSum(copy.subarray(start));
  write16(copy, copy.length - 2, rest < 0 ? rest + 0xffff : rest);
  return { header: vnet({ flags: 1, csumStart: start, csumOffset: offset }), frame: copy };
}

/** A bound port whose frames leave by the tunnel. */
function tunnelBench(build: 'release' | 'debug'): Harness {
  const h = new Harness(build);
  bind(h, MAC_A, OWN);
  h.network(NET, 9, false);
  h.port(PORT, NET);
  h.peer(1, '192.0.2.1');
  h.flood(NET, 1);
  return h;
}

for (const build of ['release', 'debug'] as const) {
  void t.test(`${build}: an unfinished checksum writes nothing that the port may not say`, async (sub) => {
    for (const forgery of FORGERIES) {
      const h = tunnelBench(build);
      h.port(1, NET);
      const { header, frame } = forged(forgery);
      h.tap(PORT, header, frame);
      const left = h.datagrams().map(({ bytes }) => read16(bytes, 8 + forgery.start + forgery.offset));
      sub.same(left, [], `${forgery.what} does not leave`);
      sub.same(h.outs(), []);
      sub.equal(h.drops(forgery.reason), 1, forgery.what);
      sub.equal(h.imbalance(), 0);

      const open = tunnelBench(build);
      open.port(2, NET);
      open.tap(2, header, frame);
      const said = open.datagrams().map(({ bytes }) => read16(bytes, 8 + forgery.start + forgery.offset));
      const isChecked = forgery.reason === 'arp-mismatch';
      sub.same(said, isChecked ? [] : [forgery.want], `${forgery.what}: the test is what it claims to be`);
    }
  });

  void t.test(`${build}: checksums of its own and within its tunnels are finished`, async (sub) => {
    for (const version of [4, 6] as const) {
      for (const make of [tcp, udp]) {
        const spec = { to: BROADCAST, version, payload: pattern(99) };
        const partial = make(spec, 'partial');
        const h = tunnelBench(build);
        h.tap(
          PORT,
          vnet({ flags: 1, csumStart: partial.l4, csumOffset: make === tcp ? 16 : 6 }),
          partial.frame,
        );
        sub.same(
          h.datagrams().map(({ bytes }) => bytes.subarray(8)),
          [make(spec).frame],
        );
      }
      const inner = tcp({ version, payload: pattern(99) }, 'partial');
      const outer = udp({ to: BROADCAST, version, payload: concat(new Uint8Array(8), inner.frame) });
      const before = outer.headers + 8;
      const h = tunnelBench(build);
      h.tap(PORT, vnet({ flags: 1, csumStart: before + inner.l4, csumOffset: 16 }), outer.frame);
      const [sent] = h.datagrams();
      sub.ok(isSound(sent?.bytes.slice(8 + before) ?? new Uint8Array()), 'an inner checksum is finished');
      sub.equal(h.imbalance(), 0);
    }
  });

  void t.test(`${build}: what a bound port may say`, async (sub) => {
    const h = bench(build);
    for (const [what, expected, frame] of CASES) sub.equal(verdict(h, frame), expected, what);
    sub.equal(h.imbalance(), 0);
  });

  void t.test(`${build}: a port that is not bound may say all of it`, async (sub) => {
    const h = bench(build);
    h.port(2, NET);
    for (const [what, expected, frame] of CASES) {
      if (expected === 'arp-mismatch') continue;
      sub.equal(verdict(h, frame, 2), PASSED, what);
    }
  });

  void t.test(`${build}: bindings are replaced as a whole, bounded, and go with their port`, async (sub) => {
    const h = bench(build);
    const from = (source: string): string => verdict(h, flow(4, { source }));
    const eight = Array.from({ length: 8 }, (_, i) => `10.42.1.${i}`);
    eight.forEach((text, place) => h.command('BINDING_IP', { a: PORT, b: place, ip: ip(text) }));
    sub.equal(from(OWN[0]), PASSED, 'what is laid ready does not count yet');
    sub.equal(from('10.42.1.7'), 'guard-ip');
    h.command('BINDING_PUT', { a: PORT, b: 8, mac: mac(MAC_A) });
    sub.equal(from(OWN[0]), 'guard-ip');
    sub.strictSame([...new Set(eight.map(from))], [PASSED]);
    h.command('BINDING_PUT', { a: PORT, b: 1, mac: mac(MAC_A) });
    sub.equal(from('10.42.1.0'), PASSED);
    sub.equal(from('10.42.1.1'), 'guard-ip', 'fewer than before');

    sub.notOk(h.command('BINDING_PUT', { a: PORT, b: 9, mac: mac(MAC_A) }));
    sub.notOk(h.command('BINDING_PUT', { a: PORT, b: 1, mac: mac(BROADCAST) }));
    sub.notOk(h.command('BINDING_PUT', { a: PORT + 1, b: 1, mac: mac(MAC_A) }));
    sub.notOk(h.command('BINDING_IP', { a: PORT, b: 8, ip: ip(OWN[0]) }));
    sub.notOk(h.command('BINDING_IP', { a: PORT + 1, b: 0, ip: ip(OWN[0]) }));
    sub.notOk(h.command('BINDING_DEL', { a: PORT + 1 }));
    sub.equal(from('10.42.1.0'), PASSED, 'a refused command changed nothing');

    h.port(PORT, NET, 0, 5);
    sub.equal(from('10.42.1.1'), 'guard-ip', 'a port put again keeps its binding');
    h.command('BINDING_DEL', { a: PORT });
    sub.equal(from('10.42.1.1'), PASSED);
    bind(h, MAC_A, OWN);
    h.command('PORT_DEL', { a: PORT });
    h.port(PORT, NET);
    sub.equal(verdict(h, ethernet(BROADCAST, MAC_B, 0x88b5, pattern(46))), PASSED, 'a new port is not bound');
  });
}
