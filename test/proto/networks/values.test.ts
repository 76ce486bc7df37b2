import t from 'tap';
import { WireError, ByteReader } from '../../../proto/state/bytes.ts';
import { decodeInterest, encodeInterest } from '../../../proto/state/values/interest.ts';
import { VALUE_MAX_BYTES } from '../../../proto/state/record.ts';
import { LABEL_BYTES_MAX, decodeNetwork, encodeNetwork } from '../../../proto/state/values/network.ts';
import type { MadeNetwork } from '../../../proto/state/values/network.ts';
import { decodeGone, encodeGone } from '../../../proto/state/values/network-gone.ts';

const LARGEST: MadeNetwork = {
  name: 'n'.repeat(63),
  vni: 2 ** 24 - 1,
  subnet: '255.255.255.255/32',
  gateway: '255.255.255.255',
  mtu: 65_485,
  encrypted: true,
  made: {
    id: 'ab'.repeat(16),
    creator: 'h'.repeat(255),
    hlc: 2n ** 64n - 1n,
    revision: 0xffff_ffff,
    subnet6: 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128',
    gateway6: 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
    internal: true,
    labels: { ['k'.repeat(LABEL_BYTES_MAX / 2)]: 'v'.repeat(LABEL_BYTES_MAX / 2) },
    chosen: { vni: true, subnet: false, mtu: true },
  },
};

void t.test('5.1 the largest definition fits a record, and comes back as it was', async (test) => {
  const bytes = encodeNetwork(LARGEST);
  test.ok(bytes.length <= VALUE_MAX_BYTES, `${bytes.length} bytes`);
  test.same(decodeNetwork(bytes), LARGEST);
  test.same(decodeNetwork(Uint8Array.of(...bytes, 1, 2, 3)), LARGEST, 'with what later versions add');
  for (let length = 0; length < bytes.length; length++)
    test.throws(() => decodeNetwork(bytes.subarray(0, length)), WireError, `cut at ${length}`);
});

void t.test('earlier versions read a made network as any other', async (test) => {
  // As they do it: they know one flag, and stop after the name.
  const r = new ByteReader(encodeNetwork(LARGEST));
  const [vni, mtu, flags] = [r.varint(), r.varint(), r.u8()];
  test.same([vni, mtu, flags & 1], [LARGEST.vni, LARGEST.mtu, 1]);
  test.same([r.text(64), r.text(64), r.text(64)], [LARGEST.subnet, LARGEST.gateway, LARGEST.name]);
  const { made: _, ...plain } = LARGEST;
  test.same(decodeNetwork(encodeNetwork(plain)), plain, 'and theirs have no origin');
});

void t.test('what does not fit is refused at writing', async (test) => {
  const made = (more: object): MadeNetwork => ({ ...LARGEST, made: { ...LARGEST.made, ...more } });
  test.throws(() => encodeNetwork(made({ labels: { a: 'v'.repeat(LABEL_BYTES_MAX) } })), RangeError);
  test.throws(() => encodeNetwork(made({ id: 'ab' })), RangeError);
  const many = Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, '']));
  test.throws(() => encodeNetwork(made({ labels: many })), RangeError);
  const own = Object.fromEntries([['__proto__', 'x']]);
  test.same(Object.keys(decodeNetwork(encodeNetwork(made({ labels: own }))).made!.labels), ['__proto__']);
});

void t.test('interest: nothing, as earlier versions say it, or who uses what', async (test) => {
  test.same([...encodeInterest()], []);
  test.same(decodeInterest(new Uint8Array(0)), { id: undefined, isAttached: false, endpoints: 0, names: [] });
  const value = { id: 'cd'.repeat(16), isAttached: true, endpoints: 2_000, names: ['a', 'b', 'c', 'd'] };
  test.same(decodeInterest(encodeInterest({ ...value, names: [...value.names, 'e'] })), value, 'four names');
  test.throws(() => decodeInterest(encodeInterest(value).subarray(0, 10)), WireError);
  test.throws(() => decodeInterest(Uint8Array.of(0, ...new Uint8Array(16), 0, 200)), WireError);
});

void t.test('removals', async (test) => {
  const gone = { atMs: 1_700_000_000_000, name: 'blue', by: 'host-a' };
  test.same(decodeGone(encodeGone(gone)), gone);
  test.throws(() => decodeGone(Uint8Array.of(1, 9)), WireError);
});
