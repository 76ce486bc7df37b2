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
