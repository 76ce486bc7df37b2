import t from 'tap';
import { newLinkRequest } from '../../../agent/io/rtnetlink.ts';
import { childrenIn } from '../../../agent/io/tap-children.ts';

const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_GSO_MAX_SEGS = 40;

/** RTM_NEWLINK of interface `index` with u32 attributes, put together from the requests that we send ourselves. */
function newLink(index: number, ...attributes: readonly [type: number, value: number][]): Uint8Array {
  const parts = attributes.map(([type, value]) => newLinkRequest(index, type, value));
  const bytes = [...(parts[0] as Uint8Array), ...parts.slice(1).flatMap((part) => [...part.subarray(32)])];
  const message = Uint8Array.from(bytes);
  new DataView(message.buffer).setUint32(0, message.length, true);
  return message;
}

void t.test('T4 interfaces that stand on another are found, with their limit', (t) => {
  const messages = [
    ...newLink(7, [IFLA_MTU, 1450], [IFLA_LINK, 3], [IFLA_GSO_MAX_SEGS, 65_535]),
    ...newLink(8, [IFLA_MTU, 1450]),
    ...newLink(9, [IFLA_LINK, 3]),
  ];
  t.strictSame(childrenIn(Uint8Array.from(messages)), [
    { index: 7, parent: 3, gsoMaxSegs: 65_535 },
    { index: 9, parent: 3, gsoMaxSegs: undefined },
  ]);
  t.end();
});

void t.test('what is cut short or lies about its length ends the walk', (t) => {
  const message = newLink(7, [IFLA_LINK, 3]);
  for (let length = 0; length < message.length; length++) {
    t.strictSame(childrenIn(message.subarray(0, length)), [], `${length} bytes`);
  }
  for (const lie of [0, 1, 15, 10_000, 0xffff_ffff]) {
    const bytes = message.slice();
    new DataView(bytes.buffer).setUint32(0, lie, true);
    t.strictSame(childrenIn(bytes), [], `length ${lie}`);
  }
  for (const lie of [0, 1, 3, 5, 9, 0xffff]) {
    const bytes = message.slice();
    new DataView(bytes.buffer).setUint16(32, lie, true);
    t.strictSame(childrenIn(bytes), [], `attribute of ${lie} bytes`);
  }
  t.end();
});
