import t from 'tap';
import { meaningsBy } from '../../../proto/networks/meaning.ts';
import { configuredId, resolveNetworks } from '../../../proto/networks/resolve.ts';
import { encodeInterest } from '../../../proto/state/values/interest.ts';
import type { MadeNetwork, NetworkValue } from '../../../proto/state/values/network.ts';

const BLUE: NetworkValue = { name: 'blue', vni: 7, subnet: '', gateway: '', mtu: 1_450, encrypted: false };
const RED = 'cc'.repeat(16);
const made: MadeNetwork = {
  ...BLUE,
  name: 'red',
  made: {
    id: RED,
    creator: 'a',
    hlc: 9n,
    revision: 0,
    subnet6: '',
    gateway6: '',
    internal: false,
    labels: {},
    chosen: { vni: false, subnet: false, mtu: true },
  },
};
const says = (id: string | undefined): Uint8Array =>
  id === undefined ? new Uint8Array(0) : encodeInterest({ id, isAttached: false, endpoints: 1, names: [] });

void t.test('5.1 which network a host means by a VNI', async (test) => {
  const configured = [
    { owner: 'b', hlc: 1n, value: BLUE },
    { owner: 'c', hlc: 2n, value: { ...BLUE, name: 'navy' } },
    { owner: 'd', hlc: 3n, value: { ...BLUE, mtu: 1_400 } },
  ];
  const meaning = meaningsBy(resolveNetworks({ made: [made], configured, uses: [] }));
  test.equal(meaning(7, 'b', says(undefined)), meaning(7, 'c', says(undefined)), 'configurations go by VNI');
  test.equal(
    meaning(7, 'd', says(undefined)),
    undefined,
    'one whose definition does not stand means the VNI',
  );
  test.equal(
    meaning(7, 'x', says(configuredId(BLUE))),
    meaning(7, 'b', says(undefined)),
    'an endpoint elsewhere',
  );
  test.equal(meaning(7, 'a', says(RED)), RED);
  test.not(meaning(7, 'a', says(RED)), meaning(7, 'b', says(undefined)), 'a made one is another');
  test.equal(meaning(7, 'z', says('ee'.repeat(16))), 'ee'.repeat(16), 'not heard of yet: nobody else');
  test.equal(meaning(7, 'z', says(undefined)), undefined);
  test.equal(meaning(7, 'z', Uint8Array.of(1, 2)), undefined, 'what does not decode says nothing');
});

void t.test('5.1 made and configured alike: one network', async (test) => {
  const value = { ...BLUE, name: 'red' };
  const meaning = meaningsBy(
    resolveNetworks({ made: [made], configured: [{ owner: 'b', hlc: 1n, value }], uses: [] }),
  );
  test.equal(meaning(7, 'b', says(undefined)), meaning(7, 'a', says(RED)));
  test.equal(meaning(7, 'x', says(configuredId(value))), RED);
});
