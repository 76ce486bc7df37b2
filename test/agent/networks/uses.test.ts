import t from 'tap';
import { AwayHosts, describeUse } from '../../../agent/networks/uses.ts';
import type { HostUse } from '../../../proto/networks/resolve.ts';

const use = (owner: string, endpoints: number): HostUse => {
  return { owner, vni: 7, id: 'ab'.repeat(16), isAttached: false, endpoints, names: [] };
};

void t.test('5.1 what a dead host said last counts until it is back, left, or long gone', async (test) => {
  const away = new Set<string>();
  const hosts = new AwayHosts((host) => away.has(host));
  hosts.note([use('b', 2), use('c', 1)], 0);
  test.same(hosts.uses(), [], 'they are here');
  away.add('b');
  hosts.note([use('c', 1)], 1_000);
  test.same(hosts.uses(), [use('b', 2)], 'b died');
  hosts.note([], 2_000);
  test.same(hosts.uses(), [use('b', 2)], 'c has left, which is its word that it is done');
  away.delete('b');
  hosts.note([use('b', 3)], 3_000);
  test.same(hosts.uses(), [], 'b is back');
  away.add('b');
  hosts.note([], 4_000);
  test.same(hosts.uses(), [use('b', 3)]);
  hosts.note([], 25 * 3_600_000);
  test.same(hosts.uses(), [], 'after a day nobody waits for it');
});

void t.test('uses in words', async (test) => {
  const base = { host: 'b', names: [], attached: false, away: false };
  test.equal(describeUse(base), 'b: takes part');
  test.equal(describeUse({ ...base, attached: true, away: true }), 'b: attached, not reachable now');
  test.equal(
    describeUse({ ...base, endpoints: 3, names: ['web 10.43.0.2', 'db'] }),
    'b: 3 endpoints (web 10.43.0.2, db, …)',
  );
  test.equal(describeUse({ ...base, endpoints: 1, names: ['web'] }), 'b: 1 endpoint (web)');
});
