/** Endpoints over ports that only remember: what is in use elsewhere is not forgotten. */
import tap from 'tap';
import type { LocalEndpointOptions } from '../../../agent/networks/local-endpoints.ts';
import { LocalEndpoints } from '../../../agent/networks/local-endpoints.ts';

const SPEC = {
  id: 'e1',
  network: 'n1',
  ifName: 'ovl1',
  mac: '02:42:0a:37:00:02',
  ips: ['10.55.0.2'],
  netns: '/run/netns/c1',
};

void tap.test(
  '5.3: an endpoint whose TAP somebody else has stays until that can be taken away',
  async (t) => {
    const written = new Set<string>([SPEC.id]);
    let isBusy = true;
    const fail = (): never => {
      throw new Error('it is in use');
    };
    const network = { id: 'n1', index: 1, vni: 7, name: 'blue' };
    const endpoints = new LocalEndpoints({
      joined: { byIndex: () => network } as unknown as LocalEndpointOptions['joined'],
      files: { writeEndpoint: ({ id }) => written.add(id), removeEndpoint: (id) => written.delete(id) },
      ports: { open: fail, close: fail, isHeld: () => false, sweep: () => Promise.resolve(!isBusy) },
      nameOf: () => undefined,
      reconciler: { say: fail, takeBack: () => undefined },
    });
    t.throws(() => endpoints.retake(network as never, SPEC), { message: 'it is in use' });
    await t.rejects(endpoints.remove(SPEC.id), { code: 'OVL_TAP_BUSY', hint: /Stop the process/ });
    t.match(endpoints.specs(), [{ id: SPEC.id }]);
    t.ok(written.has(SPEC.id));
    isBusy = false;
    await endpoints.remove(SPEC.id);
    t.strictSame([endpoints.specs().length, written.size], [0, 0]);

    endpoints.waiting = [SPEC];
    written.add(SPEC.id);
    isBusy = true;
    await t.rejects(endpoints.remove(SPEC.id), { code: 'OVL_TAP_BUSY' }, 'its network may be unknown yet');
    t.equal(endpoints.waiting.length, 1);
    isBusy = false;
    await endpoints.remove(SPEC.id);
    t.strictSame([endpoints.specs().length, written.size], [0, 0]);
  },
);
