import t from 'tap';
import { blockText, parseAddress, parseBlock } from '../../../proto/ipam/block.ts';
import { Space } from '../../../proto/ipam/space.ts';

const subnet = parseBlock('10.9.0.0/24')!.block;
const at = (text: string): bigint => parseAddress(text, 4)!;
const block = (text: string) => parseBlock(text)!.block;

void t.test('network, broadcast and reserved addresses are for no endpoint (1.11)', (test) => {
  const space = new Space({ subnet, family: 4, reserved: [at('10.9.0.1')] });
  const given = new Set<bigint>();
  for (let next = space.next([subnet]); next !== undefined; next = space.next([subnet])) {
    space.use(next);
    given.add(next);
  }
  test.equal(given.size, 253);
  for (const text of ['10.9.0.0', '10.9.0.1', '10.9.0.255']) test.notOk(given.has(at(text)), text);
  test.equal(space.count([subnet]), 0n);
  test.strictSame(space.toGive([subnet]), []);
  test.end();
});

void t.test('what was released rests, what others are seen to use is passed over', (test) => {
  const space = new Space({ subnet, family: 4, reserved: [] });
  space.setSeen(new Set([at('10.9.0.3')]));
  const take = (): bigint => {
    const next = space.next([subnet])!;
    space.use(next);
    return next;
  };
  test.equal(take(), at('10.9.0.1'));
  test.equal(take(), at('10.9.0.2'));
  test.equal(space.release(at('10.9.0.1')), true);
  test.equal(space.release(at('10.9.0.1')), false, 'twice');
  test.equal(take(), at('10.9.0.4'));
  test.end();
});

void t.test('half of what lies together is given, or the largest part', (test) => {
  const space = new Space({ subnet, family: 4, reserved: [] });
  const text = (blocks = [subnet]): string | undefined => {
    const [found] = space.toGive(blocks);
    return found && blockText(found, 4);
  };
  test.equal(text([block('10.9.0.64/26')]), '10.9.0.96/27');
  test.equal(text(), '10.9.0.128/25', 'half of a subnet that is new');
  for (let i = 200; i < 210; i++) space.use(at(`10.9.0.${i}`));
  test.equal(text(), '10.9.0.0/25');
  test.equal(text([block('10.9.0.200/29')]), undefined, 'nothing free');
  test.equal(text([block('10.9.0.2/32')]), undefined, 'the last one stays');
  test.end();
});

void t.test('around a certain address an eighth of what lies together is given, or more', (test) => {
  const space = new Space({ subnet, family: 4, reserved: [] });
  const texts = (address: string, blocks = [subnet]): string[] =>
    space.toGiveAt(blocks, at(address)).map((each) => blockText(each, 4));
  test.strictSame(texts('10.9.0.9'), ['10.9.0.0/27', '10.9.0.0/26', '10.9.0.0/25']);
  test.strictSame(texts('10.9.0.9', [block('10.9.0.8/29')]), ['10.9.0.9/32', '10.9.0.8/31', '10.9.0.8/30']);
  for (let i = 200; i < 210; i++) space.use(at(`10.9.0.${i}`));
  test.strictSame(texts('10.9.0.199'), ['10.9.0.192/29'], 'nothing that is in use');
  test.strictSame(texts('10.9.0.205'), []);
  test.strictSame(texts('10.9.0.255'), []);
  test.strictSame(texts('10.9.0.9', [block('10.9.0.128/25')]), [], 'not ours');
  test.strictSame(texts('10.9.0.211', [block('10.9.0.211/32')]), ['10.9.0.211/32'], 'the last one too');
  test.end();
});

void t.test('IPv6: a /64 costs no more than its used addresses', (test) => {
  const wide = parseBlock('fd00:42::/64')!.block;
  const space = new Space({ subnet: wide, family: 6, reserved: [wide.base + 1n] });
  for (let i = 0; i < 1000; i++) space.use(space.next([wide])!);
  test.equal(space.count([wide]), (1n << 64n) - 1002n);
  test.equal(blockText(space.toGive([wide])[0]!, 6), 'fd00:42:0:0:8000::/65');
  test.end();
});
