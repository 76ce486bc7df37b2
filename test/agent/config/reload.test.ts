import tap from 'tap';
import { loadConfig } from '../../../agent/config/load.ts';
import type { Sources } from '../../../agent/config/load.ts';
import { reloadableChanges, withRunningMtus } from '../../../agent/config/reload.ts';
import type { RunConfig } from '../../../agent/config/run-config.ts';
import { machine } from './machine.ts';

async function load(flags: Record<string, string | string[]>): Promise<RunConfig> {
  return (await loadConfig({ flags, environment: {}, configFile: undefined }, machine())).config;
}

void tap.test('3.2: intervals of keys and the list of identities are taken over', async (t) => {
  const running = await load({});
  const wanted = await load({
    'gossip-rekey-interval': '1h',
    'rekey-interval': '1h',
    identities: '/etc/overlayd/identities',
  });
  t.strictSame(reloadableChanges(running, wanted), ['gossip-rekey-interval', 'rekey-interval', 'identities']);
});

void tap.test('seeds and log level are taken over', async (t) => {
  const running = await load({});
  t.strictSame(reloadableChanges(running, await load({})), []);
  t.strictSame(reloadableChanges(running, await load({ join: ['a'], 'log-level': 'debug' })), [
    'join',
    'log-level',
  ]);
});

void tap.test('5.7 what may change while it runs', async (t) => {
  const running = await load({});
  const wanted = {
    join: ['a'],
    'gossip-rekey-interval': '1h',
    'rekey-interval': '1h',
    'static-peers': ['192.0.2.9,network=overlay'],
    'metrics-addr': 'none',
    'log-level': 'debug',
    'log-format': 'text',
  };
  t.strictSame(reloadableChanges(running, await load(wanted)), Object.keys(wanted));
});

void tap.test('5.7 an MTU that nobody gave is no change when the underlay has another by now', async (t) => {
  const sources = (flags: Record<string, string | string[]>): Sources => ({
    flags,
    environment: {},
    configFile: undefined,
  });
  const { config: running } = await loadConfig(sources({}), machine());
  const larger = machine({ mtu: () => Promise.resolve(9_000) });
  const { config } = await loadConfig(sources({ join: ['a'] }), larger);
  const wanted = withRunningMtus(running, config);
  t.strictSame(reloadableChanges(running, wanted), ['join']);
  t.equal(wanted.networks[0]?.mtu, 1_450);
  const given = (
    await loadConfig(
      sources({ networks: ['name=overlay,vni=4096,subnet=10.42.0.0/16,tap=tap0,mtu=1400'] }),
      larger,
    )
  ).config;
  t.throws(
    () => reloadableChanges(running, withRunningMtus(running, given)),
    /mtu changed from 1450 to 1400/,
  );
  const more = await loadConfig(sources({ networks: ['name=x,vni=1'] }), larger);
  t.equal(
    withRunningMtus(running, more.config).networks[0]?.mtu,
    8_950,
    'a new one is made for what is there',
  );
});

void tap.test('all or nothing: one change that needs a restart refuses the others', async (t) => {
  const running = await load({});
  const wanted = await load({ join: ['a'], 'gossip-port': '1', 'data-port': '2' });
  t.throws(() => reloadableChanges(running, wanted), {
    code: 'OVL_RELOAD_NEEDS_RESTART',
    message: 'reload refused: gossip-port, data-port changed',
  });
});
