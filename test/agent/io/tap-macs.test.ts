/** Answers of RTM_GETNEIGH as `bridge fdb show dev` gets them. */
import t from 'tap';
import { macsIn } from '../../../agent/io/tap-macs.ts';

function message(type: number, index: number, mac: readonly number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(16 + 12 + 12));
  view.setUint32(0, 16 + 12 + 4 + mac.length, true);
  view.setUint16(4, type, true);
  view.setInt32(16 + 4, index, true);
  view.setUint16(28, 4 + mac.length, true);
  view.setUint16(30, 2, true);
  new Uint8Array(view.buffer).set(mac, 32);
  return new Uint8Array(view.buffer);
}

const join = (...parts: readonly Uint8Array[]): Uint8Array =>
  Uint8Array.from(parts.flatMap((part) => [...part]));
const CHILD = [2, 0x42, 10, 0, 0, 9];

void t.test('5.7 unicast MACs of this interface alone', async (test) => {
  const other = message(28, 8, CHILD);
  const group = message(28, 7, [0x33, 0x33, 0, 0, 0, 1]);
  const bytes = join(other, group, message(28, 7, CHILD));
  test.strictSame(macsIn(bytes, 7), { macs: [0x02_42_0a_00_00_09], isLast: false });
  test.strictSame(macsIn(join(bytes, message(3, 0, [])), 7).isLast, true);
  test.strictSame(macsIn(message(2, 0, []), 7), { macs: [], isLast: true }, 'an error ends it');
});

void t.test('5.7 whatever comes, the walk ends', async (test) => {
  const bytes = message(28, 7, CHILD);
  for (let length = 0; length < bytes.length; length++) macsIn(bytes.subarray(0, length), 7);
  for (const size of [0, 15, 41, 0xffff_ffff]) {
    const bad = bytes.slice();
    new DataView(bad.buffer).setUint32(0, size, true);
    test.strictSame(macsIn(bad, 7), { macs: [], isLast: true });
  }
});
