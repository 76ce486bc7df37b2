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
  test.equal(space.toGive([subnet]), undefined);
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
    const found = space.toGive(blocks);
    return found && blockText(found, 4);
  };
  test.equal(text([block('10.9.0.64/26')]), '10.9.0.96/27');
  test.equal(text(), '10.9.0.128/25', 'half of a subnet that is new');
  for (let i = 200; i < 210; i++) space.use(at(`10.9.0.${i}`));
  test.equal(text(), '10.9.0.0/25');
  test.equal(text([block('10.9.0.200/29')]), undefined, 'nothing free');
  test.equal(text([block('10.9.0.2/32')]), undefined, 'the last one stays');
  test.equal(space.toGiveAt([subnet], at('10.9.0.205')), undefined);
  test.same(space.toGiveAt([subnet], at('10.9.0.9')), { base: at('10.9.0.9'), bits: 0 });
  test.end();
});

void t.test('IPv6: a /64 costs no more than its used addresses', (test) => {
  const wide = parseBlock('fd00:42::/64')!.block;
  const space = new Space({ subnet: wide, family: 6, reserved: [wide.base + 1n] });
  for (let i = 0; i < 1000; i++) space.use(space.next([wide])!);
  test.equal(space.count([wide]), (1n << 64n) - 1002n);
  test.equal(blockText(space.toGive([wide])!, 6), 'fd00:42:0:0:8000::/65');
  test.end();
});
