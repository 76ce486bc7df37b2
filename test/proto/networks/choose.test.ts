import t from 'tap';
import { cidrsOverlap, parsePrefix } from '../../../proto/networks/cidr.ts';
import { POOL_COUNT, chooseSubnet, chooseVni } from '../../../proto/networks/choose.ts';

void t.test('5.1 a VNI follows from the name, and passes over those that are taken', async (test) => {
  const free = (): boolean => false;
  const first = chooseVni('blue', free)!;
  test.equal(chooseVni('blue', free), first, 'the same on every host');
  test.not(chooseVni('red', free), first);
  test.ok(first >= 4_097 && first < 2 ** 24);
  test.equal(
    chooseVni('blue', (vni) => vni === first),
    first === 2 ** 24 - 1 ? 4_097 : first + 1,
  );
  for (let i = 0; i < 1_000; i++) {
    const vni = chooseVni(`n${i}`, free)!;
    if (vni < 4_097 || vni >= 2 ** 24) test.fail(`${vni} is out of range`);
  }
});

void t.test('5.1 subnets are of the pool, and overlap nothing', async (test) => {
  const taken: string[] = [];
  for (let i = 0; i < POOL_COUNT; i++) taken.push(chooseSubnet(`n${i}`, taken)!);
  test.equal(new Set(taken).size, POOL_COUNT, 'every one of the pool, once');
  test.equal(chooseSubnet('late', taken), undefined, 'and then there is none');
  const outside = taken.filter(
    (subnet) => !/^10\.(4[3-9]|[5-9]\d|1[01]\d|12[0-7])\.\d+\.0\/20$/.test(subnet),
  );
  test.same(outside, []);
  const busy = ['10.43.0.0/16', '10.44.0.0/14', '10.48.0.0/12', '10.64.0.0/10', 'fd00::/8', 'nonsense'];
  test.equal(chooseSubnet('blue', busy), undefined, 'routes of this host count');
  test.equal(
    chooseSubnet('blue', [
      ...busy.slice(1),
      '10.43.16.0/20',
      '10.43.32.0/19',
      '10.43.64.0/18',
      '10.43.128.0/17',
    ]),
    '10.43.0.0/20',
  );
});

void t.test('overlaps', async (test) => {
  const cases: [string, string, boolean][] = [
    ['10.0.0.0/8', '10.42.0.0/16', true],
    ['10.42.0.0/16', '10.43.0.0/16', false],
    ['10.42.0.0/15', '10.43.0.0/16', true],
    ['10.42.16.0/20', '10.42.31.255/32', true],
    ['10.42.16.0/20', '10.42.32.0/32', false],
    ['0.0.0.0/0', '10.0.0.0/8', true],
    ['fd00::/64', 'fd00:0:0:1::/64', false],
    ['fd00::/63', 'fd00:0:0:1::/64', true],
    ['fd00::/64', '10.0.0.0/8', false],
    ['x', '10.0.0.0/8', false],
  ];
  for (const [a, b, expected] of cases) {
    test.equal(cidrsOverlap(a, b), expected, `${a} ${b}`);
    test.equal(cidrsOverlap(b, a), expected, `${b} ${a}`);
  }
  for (const bad of ['', '10.0.0.0', '10.0.0.0/33', '10.0.0.0/8/8', '10.0.0/8', 'fd00::/129', '10.0.0.0/x'])
    test.equal(parsePrefix(bad), undefined, bad);
});
