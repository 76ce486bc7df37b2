/** 5.7: networks that come into the configuration and leave it while the daemon runs. */
import t from 'tap';
import type { Test } from 'tap';
import type { NetworkConfig } from '../../../agent/config/run-config.ts';
import { OverlaydError } from '../../../agent/errors.ts';
import { CONFIGURED, localHost } from './local-host.ts';
import type { LocalHost } from './local-host.ts';

const FIRST: NetworkConfig = CONFIGURED;
const blue: NetworkConfig = { ...FIRST, name: 'blue', vni: 5_000, subnet: '10.50.0.0/16', tap: 'blue9x' };
const red: NetworkConfig = { ...FIRST, name: 'red', vni: 5_001, subnet: '10.51.0.0/16', tap: 'red9x' };

/** All that a reload may have changed. */
function pictureOf(host: LocalHost): unknown {
  const { dataplane, definitions, joined } = host;
  return {
    taps: [...dataplane.open.values()].map(({ name }) => name),
    networks: [...dataplane.networks.values()].sort((a, b) => a - b),
    interests: host.interests(),
    joined: joined.list().map(({ name, gateway, ipRange }) => ({ name, gateway, ipRange })),
    defined: definitions.list().map(({ name, gateway }) => ({ name, gateway })),
  };
}

async function settled(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 80)); // definitions follow in crowds
}

const newHost = (test: Test): Promise<LocalHost> => localHost(test, test.testdir());

void t.test(
  '5.7 one is added: joined, defined and on its TAP; then it goes again, and its TAP',
  async (test) => {
    const here = await newHost(test);
    const before = pictureOf(here);
    await here.configured.prepare([FIRST, blue]).commit();
    await settled();
    test.strictSame(here.interests(), [4_096, 5_000]);
    test.match(here.definitions.find('blue'), { vni: 5_000, subnet: '10.50.0.0/16' });
    test.match(here.configured.tapOf('blue'), { name: 'blue9x', mtu: 1_450, existed: false });
    const [spec] = here.dataplane.open.values();
    test.match(spec, { name: 'blue9x', reflect: true, persist: true, isNeeded: true });
    await here.configured.prepare([FIRST]).commit();
    await settled();
    test.strictSame(pictureOf(here), before);
    test.strictSame(here.dataplane.removed, ['blue9x']);
  },
);

void t.test('5.7 a TAP that was there before stays', async (test) => {
  const here = await newHost(test);
  here.dataplane.existing.add('blue9x');
  await here.configured.prepare([FIRST, blue]).commit();
  await here.configured.prepare([FIRST]).commit();
  test.strictSame([[...here.dataplane.open], here.dataplane.removed], [[], []]);
  test.match(here.lines.at(-1)?.message, /was there before overlayd started and stays/);
});

void t.test('5.7 the second cannot be had: the first is undone', async (test) => {
  const here = await newHost(test);
  const before = pictureOf(here);
  here.dataplane.failWith = new OverlaydError('OVL_TAP_BUSY', 'busy');
  here.dataplane.failFor = 'red9x';
  test.throws(() => here.configured.prepare([FIRST, blue, red]), { code: 'OVL_TAP_BUSY' });
  await settled();
  test.strictSame(pictureOf(here), before);
  test.strictSame(here.dataplane.removed, ['blue9x']);
  here.dataplane.failWith = undefined;
  await here.configured.prepare([FIRST, red]).commit();
  test.strictSame(here.interests(), [4_096, 5_001], 'and later it can');
});

void t.test('5.7 one with an endpoint does not go, and nothing of the rest changes', async (test) => {
  const here = await newHost(test);
  await here.configured.prepare([FIRST, blue]).commit();
  await settled();
  const spec = { id: 'e1', network: 'blue', ifName: 'ep9x', mac: '02:42:0a:32:00:02', ips: ['10.50.0.2'] };
  await here.networks.addEndpoint({ ...spec, name: 'web' });
  const before = pictureOf(here);
  test.throws(() => here.configured.prepare([{ ...FIRST, gateway: '10.42.0.1' }, red]), {
    code: 'OVL_NETWORK_IN_USE',
    message: /"blue" is not in the configuration any more, and containers are on blue9x, such as web/,
  });
  test.strictSame(pictureOf(here), before);
  await here.networks.removeEndpoint('e1');
  await here.configured.prepare([{ ...FIRST, gateway: '10.42.0.1', ipRange: '10.42.7.0/24' }, red]).commit();
  await settled();
  test.strictSame(here.interests(), [4_096, 5_001]);
  test.equal(here.definitions.find('overlay')?.gateway, '10.42.0.1');
  test.match(here.joined.list()[0], { gateway: '10.42.0.1', ipRange: '10.42.7.0/24' });
});

void t.test('5.7 what is here already is not added: its TAP, its name', async (test) => {
  const here = await newHost(test);
  const made = await here.networks.create({ name: 'blue', vni: 5_000, subnet: '10.50.0.0/16' });
  await here.networks.attach('blue', 'ov9x');
  const before = pictureOf(here);
  test.throws(() => here.configured.prepare([FIRST, blue]), { code: 'OVL_NETWORK_ATTACHED' });
  test.throws(() => here.configured.prepare([FIRST, { ...red, tap: 'ov9x' }]), { code: 'OVL_TAP_BUSY' });
  test.throws(() => here.configured.prepare([FIRST, { ...red, vni: made.vni }]), { code: 'OVL_VNI_TAKEN' });
  test.throws(() => here.configured.prepare([FIRST, { ...red, encrypted: true }]), {
    code: 'OVL_KEYRING_MISSING',
  });
  test.strictSame(pictureOf(here), before);
});
