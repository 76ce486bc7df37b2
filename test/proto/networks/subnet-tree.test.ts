import t from 'tap';
import { cidrsOverlap } from '../../../proto/networks/cidr.ts';
import { SubnetTree } from '../../../proto/networks/subnet-tree.ts';
import { SeededRng, below } from '../../../proto/rng.ts';

void t.test('the first that overlaps, as comparing it with each would find', (test) => {
  const rng = new SeededRng(7);
  const random = (): string => {
    if (below(rng, 4) === 0) return `fd00:${below(rng, 4)}::${below(rng, 3)}/${below(rng, 129)}`;
    return `10.${below(rng, 4)}.${below(rng, 256)}.${below(rng, 256)}/${8 + below(rng, 25)}`;
  };
  for (let round = 0; round < 50; round++) {
    const tree = new SubnetTree<string>();
    const added: string[] = [];
    for (let i = 0; i < 40; i++) {
      const subnet = random();
      const expected = added.find((other) => cidrsOverlap(other, subnet));
      const found = tree.firstOverlapping(subnet);
      if (found !== expected) test.fail(`${subnet}: ${found}, not ${expected}`);
      if (expected !== undefined && below(rng, 3) > 0) continue;
      tree.add(subnet, subnet);
      added.push(subnet);
    }
  }
  test.pass('2,000 questions');
  test.end();
});

void t.test('what is no subnet overlaps with nothing; all overlaps with everything of its family', (test) => {
  const tree = new SubnetTree<string>();
  for (const text of ['', 'nonsense', '10.0.0.0/33']) tree.add(text, text);
  test.equal(tree.firstOverlapping('0.0.0.0/0'), undefined);
  tree.add('10.0.0.0/8', 'ten');
  test.equal(tree.firstOverlapping('0.0.0.0/0'), 'ten');
  test.equal(tree.firstOverlapping('::/0'), undefined);
  test.equal(tree.firstOverlapping(''), undefined);
  test.end();
});
