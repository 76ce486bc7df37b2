import { isIPv6 } from 'node:net';
import t from 'tap';
import { bytesToIp, ipToBytes } from '../../../proto/memberlist/address.ts';
import { fromHex, toHex } from '../../golden/memberlist-vectors.ts';

void t.test('text and bytes', (test) => {
  const pairs: [string, string][] = [
    ['10.1.2.255', '0a0102ff'],
    ['::', '00000000000000000000000000000000'],
    ['::1', '00000000000000000000000000000001'],
    ['2001:db8::1:0:0:1', '20010db8000000000001000000000001'],
    ['fe80::abcd', 'fe80000000000000000000000000abcd'],
    ['1:0:2:3:4:5:6:7', '00010000000200030004000500060007'],
    ['1::', '00010000000000000000000000000000'],
  ];
  for (const [text, hex] of pairs) {
    test.equal(toHex(ipToBytes(text) as Uint8Array), hex, text);
    test.equal(bytesToIp(fromHex(hex)), text);
  }
  test.equal(bytesToIp(fromHex('00000000000000000000ffff0a000001')), '10.0.0.1', 'mapped is IPv4');
  test.equal(toHex(ipToBytes('::ffff:10.0.0.1') as Uint8Array), '00000000000000000000ffff0a000001');
  test.equal(toHex(ipToBytes('2001:0DB8:0:0:0:0:0:1') as Uint8Array), '20010db8000000000000000000000001');
  test.end();
});

void t.test('what is no address', (test) => {
  const wrong = [
    '',
    '1.2.3',
    '1.2.3.256',
    '01.2.3.4',
    '1.2.3.4.5',
    'a',
    ':',
    ':::',
    '1:2',
    '::1::',
    'fe80::1%eth0',
  ];
  for (const text of [...wrong, '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7::8', '1.2.3.4::', '12345::', '::1.2.3']) {
    test.equal(ipToBytes(text), undefined, text);
    test.notOk(isIPv6(text.split('%')[0] as string) && !text.includes('%'));
  }
  for (const length of [0, 3, 5, 15, 17]) test.equal(bytesToIp(new Uint8Array(length)), undefined);
  test.end();
});
