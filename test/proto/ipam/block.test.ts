import * as fc from 'fast-check';
import t from 'tap';
import type { Block } from '../../../proto/ipam/block.ts';
import {
  addressText,
  anyHolds,
  blockText,
  intersect,
  merge,
  parseAddress,
  parseBlock,
  subtract,
  total,
} from '../../../proto/ipam/block.ts';

/** Blocks within 64 addresses. */
const blocks = fc.array(
  fc.tuple(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 0, max: 63 })).map(([bits, at]): Block => {
    return { base: (BigInt(at) >> BigInt(bits)) << BigInt(bits), bits };
  }),
  { maxLength: 12 },
);

const members = (list: readonly Block[]): number[] =>
  Array.from({ length: 64 }, (_, i) => i).filter((i) => anyHolds(list, BigInt(i)));

void t.test('5.2: lists of blocks are sets of addresses', (test) => {
  fc.assert(
    fc.property(blocks, blocks, (a, b) => {
      const [x, y] = [merge(a), merge(b)];
      test.strictSame(members(x), members(a));
      test.equal(total(x), BigInt(members(a).length), 'disjoint');
      test.strictSame(
        members(intersect(x, y)),
        members(a).filter((i) => members(b).includes(i)),
      );
      const gone = y[0];
      if (gone === undefined) return;
      test.strictSame(
        members(subtract(x, gone)),
        members(a).filter((i) => !members([gone]).includes(i)),
      );
      test.strictSame(merge([...subtract(x, gone), ...intersect(x, [gone])]), x, 'one form only');
    }),
    { numRuns: 300 },
  );
  test.end();
});

void t.test('texts, both families', (test) => {
  for (const text of ['10.42.0.0/16', '0.0.0.0/0', '10.1.2.3/32', 'fd00:42::/64', '::/0', 'fd00::1/128']) {
    const read = parseBlock(text);
    test.equal(read && blockText(read.block, read.family), text);
  }
  for (const text of [
    '10.42.0.1/16',
    '10.42.0.0',
    '10.42.0.0/33',
    'fd00::1/64',
    '10.42.0.0/16/1',
    'x/8',
    '/8',
  ])
    test.equal(parseBlock(text), undefined, text);
  test.equal(addressText(parseAddress('fd00:42::ffff:1', 6)!, 6), 'fd00:42::ffff:1');
  test.equal(parseAddress('10.0.0.1', 6), undefined);
  test.end();
});
