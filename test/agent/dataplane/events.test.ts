/** The event ring: records as the core writes them (core-exports.ts), made here by hand. */
import tap from 'tap';
import { EventRing } from '../../../agent/dataplane/events.ts';

const HEAD = 0;
const TAIL = 64;
const LOST = 128;
const RING = 256;
const SLOTS = 4;
const SIZE = 64;

function ring() {
  const memory = { buffer: new SharedArrayBuffer(RING + SLOTS * SIZE) };
  const view = new DataView(memory.buffer);
  const constants = {
    EVENT_RING: RING,
    EVENT_SLOTS: SLOTS,
    EVENT_SIZE: SIZE,
    EVENT_HEAD: HEAD,
    EVENT_TAIL: TAIL,
    EVENTS_LOST: LOST,
  };
  const events = [undefined, 'mac-learned', 'mac-expired', 'ip-learned', 'command-failed'];
  const reader = new EventRing({ memory, constants, events, ops: [undefined, 'network-put'] });
  const put = (type: number, c: number, ip: number[] = []): void => {
    const head = view.getUint32(HEAD, true);
    const at = RING + (head & (SLOTS - 1)) * SIZE;
    view.setUint32(at, type, true);
    view.setUint32(at + 4, 5, true);
    view.setUint32(at + 8, 2, true);
    view.setUint32(at + 12, c, true);
    view.setUint16(at + 16, 0x0242);
    view.setUint32(at + 18, 0xfe000001);
    ip.forEach((byte, i) => view.setUint8(at + 24 + i, byte));
    view.setUint32(HEAD, head + 1, true);
  };
  return { reader, put, view };
}

const MAC = 0x0242fe000001;

void tap.test('every kind of event', async (t) => {
  const { reader, put } = ring();
  put(1, 0);
  put(1, 8);
  put(2, 0);
  t.same(reader.drain(), [
    { type: 'mac-learned', network: 5, port: 2, mac: MAC, from: undefined },
    { type: 'mac-learned', network: 5, port: 2, mac: MAC, from: 7 },
    { type: 'mac-expired', network: 5, port: 2, mac: MAC },
  ]);
  put(3, 0, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 42, 0, 9]);
  put(3, 0, [0xfd, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
  put(4, 1);
  put(4, 99);
  t.same(reader.drain(), [
    { type: 'ip-learned', network: 5, port: 2, mac: MAC, ip: '10.42.0.9' },
    { type: 'ip-learned', network: 5, port: 2, mac: MAC, ip: 'fd42::9' },
    { type: 'command-failed', op: 'network-put' },
    { type: 'command-failed', op: 'op 99' },
  ]);
});

void tap.test('an event of a newer core is passed over', async (t) => {
  const { reader, put } = ring();
  put(77, 0);
  put(2, 0);
  t.equal(reader.drain().length, 1);
});

void tap.test('the counters wrap', async (t) => {
  const { reader, put, view } = ring();
  view.setUint32(HEAD, 0xfffffffe, true);
  view.setUint32(TAIL, 0xfffffffe, true);
  for (let i = 0; i < SLOTS; i++) put(2, 0);
  t.equal(reader.drain().length, SLOTS);
  t.equal(view.getUint32(TAIL, true), 2);
});

void tap.test('a loss is told once', async (t) => {
  const { reader, view } = ring();
  t.equal(reader.takeLost(), false);
  view.setUint32(LOST, 3, true);
  t.equal(reader.takeLost(), true);
  t.equal(reader.takeLost(), false);
});
