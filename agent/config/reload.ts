/** SIGHUP: what may change while the daemon runs, and a clear refusal of the rest. All or nothing. */
import { isDeepStrictEqual } from 'node:util';
import { OverlaydError } from '../errors.ts';
import { networkChanges } from './network-changes.ts';
import { OPTIONS } from './options.ts';
import type { RunConfig } from './run-config.ts';

/** Keys of RunConfig by the option that sets them. */
const FIELDS: Readonly<Record<string, keyof RunConfig>> = {
  'node-name': 'nodeName',
  'advertise-addr': 'advertiseAddr',
  'data-path-addr': 'dataPathAddr',
  'gossip-port': 'gossipPort',
  'data-port': 'dataPort',
  join: 'join',
  networks: 'networks',
  'join-all': 'joinAll',
  'static-peers': 'staticPeers',
  keyring: 'keyringFile',
  'gossip-encryption': 'gossipEncryption',
  'gossip-rekey-interval': 'gossipRekeyMs',
  'rekey-interval': 'rekeyMs',
  'range-lease': 'rangeLeaseMs',
  'wire-version': 'wireVersion',
  identities: 'identitiesFile',
  workers: 'workers',
  io: 'io',
  socket: 'socket',
  'state-dir': 'stateDir',
  'metrics-addr': 'metricsAddr',
  'docker-socket': 'dockerSocket',
  'docker-plugin': 'dockerPlugin',
  'docker-scope': 'dockerScope',
  'log-level': 'logLevel',
  'log-format': 'logFormat',
  'remove-taps-on-exit': 'removeTapsOnExit',
};

/**
 * What a reload read, with the MTUs that run where it gives none: that the underlay has another one since the start is no
 * change of the configuration. TAPs follow the underlay by themselves (control/tap-mtus.ts).
 */
export function withRunningMtus(running: RunConfig, wanted: RunConfig): RunConfig {
  const before = new Map(running.networks.map((network) => [network.name, network]));
  const networks = wanted.networks.map((network) => {
    const was = before.get(network.name);
    const stays = was !== undefined && network.isMtuFitted === true && was.encrypted === network.encrypted;
    return stays ? { ...network, mtu: was.mtu } : network;
  });
  return { ...wanted, networks };
}

/** Options whose value differs; throws OverlaydError when one of them needs a restart. */
export function reloadableChanges(running: RunConfig, wanted: RunConfig): string[] {
  const changed = OPTIONS.filter(({ key }) => {
    const field = FIELDS[key];
    return field !== undefined && !isDeepStrictEqual(running[field], wanted[field]);
  });
  const fixed = changed.filter(({ reloadable }) => reloadable !== true).map(({ key }) => key);
  if (fixed.length > 0) {
    throw new OverlaydError('OVL_RELOAD_NEEDS_RESTART', `reload refused: ${fixed.join(', ')} changed`, {
      hint: 'Nothing was taken over. Restart overlayd (containers keep their interfaces), or undo the change.',
      details: { needRestart: fixed },
    });
  }
  networkChanges(running.networks, wanted.networks);
  return changed.map(({ key }) => key);
}
