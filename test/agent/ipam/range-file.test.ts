import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import tap from 'tap';
import { RangeFile } from '../../../agent/ipam/range-file.ts';
import { createLog } from '../../../agent/log.ts';
import { parseBlock } from '../../../proto/ipam/block.ts';
import { RangeCluster } from '../../sim/range-cluster.ts';

const subnet = parseBlock('10.42.0.0/16')!.block;
const log = createLog({ level: 'error', format: 'json' }, { write: () => undefined });

void tap.test('what a host holds comes back as it was; a damaged file is put aside', (t) => {
  const made = new RangeCluster(1, 2, { subnet, leaseMs: 86_400_000 });
  for (const host of made.hosts) made.start(host);
  for (const host of made.hosts) made.tellAlive(host);
  const [a, b] = made.hosts;
  a!.pool!.found(0);
  for (let i = 0; i < 100 && !made.take(b!); i++) {
    made.tellAlive(a!);
    made.run(50);
  }
  const folder = t.testdir();
  const pool = { id: '0'.repeat(32), family: 4, subnet } as const;
  const file = new RangeFile(folder, pool, log);
  t.equal(file.read(), undefined, 'none yet');
  const { saved: holding, used } = a!.disk!;
  t.ok(holding.wards.size > 0, 'with a copy of the other');
  const addresses = [...used, subnet.base + 9n, subnet.base + 10n, subnet.base + 77n];
  file.write({ holding, used: addresses, reclaimed: [subnet.base + 5n] });
  const read = file.read()!;
  t.strictSame(read.holding, holding);
  t.strictSame([...read.used], addresses);
  t.strictSame([...read.reclaimed], [subnet.base + 5n]);
  const path = join(folder, 'ranges', `${pool.id}-4.json`);
  t.equal(statSync(path).mode & 0o777, 0o600);
  const other = parseBlock('10.43.0.0/16')!.block;
  t.equal(new RangeFile(folder, { ...pool, subnet: other }, log).read(), undefined, 'of another subnet');
  for (const text of ['', '{', '{"version":1}', '[]']) {
    writeFileSync(path, text);
    t.equal(file.read(), undefined, text);
    t.notOk(existsSync(path));
  }
  t.strictSame(readdirSync(join(folder, 'ranges')), [`${pool.id}-4.json.damaged`]);
  t.end();
});
