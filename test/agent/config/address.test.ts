import * as fc from 'fast-check';
import tap from 'tap';
import {
  canonicalIp,
  canonicalMac,
  cidrContains,
  cidrWithin,
  formatHostPort,
  isReservedIn,
  parseCidr,
  parseHostPort,
} from '../../../agent/config/address.ts';

void tap.test('addresses have one spelling', async (t) => {
  t.equal(canonicalIp('2001:DB8:0:0::0001'), '2001:db8::1');
  t.equal(canonicalIp('192.0.2.1'), '192.0.2.1');
  for (const text of ['', '10.1', '010.0.0.1', '0x7f000001', 'fe80::1%eth0', '1.2.3.4 ', 'host']) {
    t.equal(canonicalIp(text), undefined, text);
  }
});

void tap.test('subnets', async (t) => {
  t.strictSame(parseCidr('10.42.0.0/16')?.cidr, { text: '10.42.0.0/16', family: 4, prefixLength: 16 });
  t.strictSame(parseCidr('10.42.3.4/16'), {
    cidr: { text: '10.42.0.0/16', family: 4, prefixLength: 16 },
    hostBitsSet: true,
  });
  t.equal(parseCidr('FD00::/64')?.cidr.text, 'fd00::/64');
  for (const text of ['10.42.0.0', '10.42.0.0/33', 'fd00::/129', '10.42.0.0/-1', '10.0.0.0/8/8', '/8']) {
    t.equal(parseCidr(text), undefined, text);
  }
  t.ok(cidrContains('10.42.0.0/16', '10.42.255.255'));
  t.notOk(cidrContains('10.42.0.0/16', '10.43.0.0'));
  t.notOk(cidrContains('10.42.0.0/16', 'fd00::1'), 'of another family');
  t.ok(cidrWithin('10.42.7.0/24', '10.42.0.0/16'));
  t.ok(cidrWithin('10.42.0.0/16', '10.42.0.0/16'), 'itself');
  t.notOk(cidrWithin('10.42.0.0/15', '10.42.0.0/16'), 'more than it');
  t.notOk(cidrWithin('10.43.0.0/24', '10.42.0.0/16'));
  t.notOk(cidrWithin('fd00::/24', '10.42.0.0/16'), 'of another family');
  t.ok(isReservedIn('10.42.0.0/16', '10.42.0.0'));
  t.ok(isReservedIn('10.42.0.0/16', '10.42.255.255'));
  t.notOk(isReservedIn('10.42.0.0/31', '10.42.0.0'), 'RFC 3021');
  t.ok(isReservedIn('fd00::/64', 'fd00::'), 'the subnet-router anycast address');
});

void tap.test('MACs', async (t) => {
  t.equal(canonicalMac('02-42-0A-2A-00-02'), '02:42:0a:2a:00:02');
  for (const text of ['01:00:5e:00:00:01', 'ff:ff:ff:ff:ff:ff', '00:00:00:00:00:00', '2:0:0:0:0:1', '']) {
    t.equal(canonicalMac(text), undefined, text);
  }
});

void tap.test('HOST[:PORT]', async (t) => {
  t.strictSame(parseHostPort('a', 7946), { host: 'a', port: 7946 });
  t.strictSame(parseHostPort('a:1', 7946), { host: 'a', port: 1 });
  t.strictSame(parseHostPort('2001:db8::1', 7946), { host: '2001:db8::1', port: 7946 });
  t.strictSame(parseHostPort('[2001:db8::1]:5', 7946), { host: '2001:db8::1', port: 5 });
  for (const text of ['', ':1', 'a:', 'a:0', 'a:65536', '[a]:1', '[::1', 'a b', 'http://a', '1::2::3']) {
    t.equal(parseHostPort(text, 7946), undefined, text);
  }
  fc.assert(
    fc.property(
      fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6()),
      fc.integer({ min: 1, max: 65535 }),
      (host, port) => {
        t.strictSame(parseHostPort(formatHostPort(host, port), 9), { host, port });
      },
    ),
    { numRuns: 100 },
  );
});
