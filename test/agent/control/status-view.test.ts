/** What is seen of networks, and of what is not known: nothing made up (contract). */
import tap from 'tap';
import { StatusView } from '../../../agent/control/status-view.ts';
import type { StatusParts } from '../../../agent/control/status-view.ts';
import { localHost } from '../networks/local-host.ts';

void tap.test('MACs of a network that this host takes no part in are not known', async (t) => {
  const host = await localHost(t, t.testdir({}));
  host.definitions.create({ name: 'blue' });
  const view = new StatusView({
    definitions: host.definitions,
    state: host.state,
    swim: { self: { name: 'a' } },
    joined: () => host.joined.list(),
    reconciler: { view: { endpoints: () => [] } },
    dataplane: host.dataplane,
    config: { nodeName: 'a', staticPeers: [] },
  } as unknown as StatusParts);
  const [blue, configured] = view.networks();
  t.match(blue, { name: 'blue', peers: 0, macs: undefined });
  t.equal(configured?.macs, 0, 'of this one it is');
});

void tap.test('3.2: what is counted of sessions stays counted when their host has gone', async (t) => {
  const nothing = (): object => ({});
  const view = new StatusView({
    dataplane: { counters: () => ({ counters: {}, drops: {} }), fdb: () => [], takeStallSeconds: () => 0 },
    swim: { self: { name: 'a' }, members: () => [], counters: () => ({ counts: new Map() }) },
    state: { counters: nothing, records: () => [] },
    definitions: { resolution: { networks: [], apart: [] } },
    reconciler: { view: { endpoints: () => [] } },
    paths: { counters: nothing },
    addresses: { totals: () => [] },
    joined: () => [],
    sessions: () => [],
    rekeys: () => 3,
    config: { nodeName: 'a' },
  } as unknown as StatusParts);
  t.equal(view.metrics().rekeys, 3);
});
