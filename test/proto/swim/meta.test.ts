import t from 'tap';
import { decodeMeta, encodeMeta, isOverlaydMeta } from '../../../proto/swim/meta.ts';
import { toHex } from '../../golden/memberlist-vectors.ts';

void t.test('what a node says of itself, there and back', (test) => {
  const meta = {
    stateProtocolMin: 1,
    stateProtocolMax: 3,
    epoch: 0x0102_0304_0506_0708n,
    vtep: { ip: '10.0.0.1', port: 4789 },
    zone: 'rack-7',
    capabilities: 0x8000_0001,
  };
  const bytes = encodeMeta(meta);
  test.equal(toHex(bytes), '4f56010103010203040506070801040a000001020212b503067261636b2d37040480000001');
  test.same(decodeMeta(bytes), meta);
  test.ok(bytes.length <= 512);
  const least = { stateProtocolMin: 1, stateProtocolMax: 1, epoch: 0n };
  test.same(decodeMeta(encodeMeta(least)), least);
  test.same(decodeMeta(encodeMeta({ ...least, vtep: { ip: 'fd00::1', port: 1 } }))?.vtep, {
    ip: 'fd00::1',
    port: 1,
  });
  test.end();
});

void t.test('unknown items are passed over; foreign and broken meta is none', (test) => {
  const bytes = encodeMeta({ stateProtocolMin: 1, stateProtocolMax: 1, epoch: 9n });
  test.equal(decodeMeta(Uint8Array.of(...bytes, 99, 2, 1, 1))?.epoch, 9n);
  test.equal(decodeMeta(Uint8Array.of(...bytes, 1, 5, 1)), undefined, 'cut short');
  test.equal(decodeMeta(Uint8Array.of(...bytes, 1)), undefined);
  test.same(decodeMeta(Uint8Array.of(...bytes, 1, 3, 1, 2, 3))?.vtep, undefined, 'no address');
  for (const foreign of [[], [0xff, 0x80], [0x4f, 0x56, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]) {
    test.notOk(isOverlaydMeta(Uint8Array.from(foreign)));
    test.equal(decodeMeta(Uint8Array.from(foreign)), undefined);
  }
  test.throws(
    () => encodeMeta({ stateProtocolMin: 1, stateProtocolMax: 1, epoch: 0n, zone: 'ö' }),
    RangeError,
  );
  test.throws(
    () => encodeMeta({ stateProtocolMin: 1, stateProtocolMax: 1, epoch: 0n, zone: 'x'.repeat(256) }),
    RangeError,
  );
  test.throws(
    () => encodeMeta({ stateProtocolMin: 1, stateProtocolMax: 1, epoch: 0n, vtep: { ip: 'x', port: 1 } }),
    RangeError,
  );
  test.end();
});
