import tap from 'tap';
import { loadConfig } from '../../../agent/config/load.ts';
import { reloadableChanges } from '../../../agent/config/reload.ts';
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

void tap.test('all or nothing: one change that needs a restart refuses the others', async (t) => {
  const running = await load({});
  const wanted = await load({ join: ['a'], 'gossip-port': '1', 'data-port': '2' });
  t.throws(() => reloadableChanges(running, wanted), {
    code: 'OVL_RELOAD_NEEDS_RESTART',
    message: 'reload refused: gossip-port, data-port changed',
  });
});
