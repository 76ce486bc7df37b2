import type { Keyring } from '../../proto/keyring/keyring.ts';
import { fromHex } from '../../proto/state/bytes.ts';
import type { State } from '../../proto/state/state.ts';
import type { KeyPair } from '../../proto/tunnel/crypto.ts';
import { tunnelPsk } from '../../proto/tunnel/psk.ts';
import type { TunnelPsk } from '../../proto/tunnel/psk.ts';
import { Tunnels } from '../../proto/tunnel/tunnels.ts';
import { TUNNEL_VERSIONS } from '../../proto/versions.ts';
import type { ForwardingView } from '../../proto/view/forwarding.ts';
import { monotonicMs, wallMs } from '../clock.ts';
import type { RunConfig } from '../config/run-config.ts';
import { tunnelCrypto, tunnelKeyOfIdentity } from '../crypto/tunnel-crypto.ts';
import type { Dataplane } from '../dataplane/dataplane.ts';
import { systemRng } from '../entropy.ts';
import type { Log } from '../log.ts';
import { TunnelKeeper } from './tunnel-keeper.ts';

export interface TunnelParts {
  readonly config: RunConfig;
  /** Age at which sessions are replaced, ms: as it is when they are opened, perhaps after reloads. */
  readonly rekeyMs: () => number;
  readonly state: Pick<State, 'interested' | 'identities'>;
  readonly view: Pick<ForwardingView, 'vtep'>;
  readonly dataplane: Dataplane;
  readonly keyring: Keyring;
  /** X25519, of this host's identity. */
  readonly staticKeys: KeyPair;
  /** Of the encrypted networks that this host takes part in now. */
  readonly sealedVnis: () => Iterable<number>;
  readonly log: Log;
}

/** Sessions with every live host that takes part in an encrypted network of ours. */
export function openTunnels(parts: TunnelParts): TunnelKeeper {
  const { config, state, view, dataplane, keyring, staticKeys, log } = parts;
  const timing = { rekeyIntervalMs: parts.rekeyMs() };
  const tunnels = new Tunnels({
    crypto: tunnelCrypto,
    rng: systemRng(),
    staticKeys,
    nowMs: monotonicMs(),
    wallMs: wallMs(),
    timing,
    versions: { min: TUNNEL_VERSIONS.min, max: config.wireVersion },
  });
  return new TunnelKeeper({
    tunnels,
    peers: {
      *wanted() {
        for (const vni of parts.sealedVnis())
          for (const name of state.interested(vni)) if (name !== config.nodeName) yield name;
      },
      vtep: (name) => view.vtep(name),
      identity: (name) => state.identities.usableKeyOf(name),
      staticKey: (identity) => tunnelKeyOfIdentity(fromHex(identity)),
    },
    dataplane,
    dataPathAddr: config.dataPathAddr,
    psks: () => psksOf(keyring),
    keyVersion: () => keyring.version,
    log,
  });
}

/** The base key first: it is the one that changes least, and that every host has. */
export function psksOf({ base, keys }: Keyring): TunnelPsk[] {
  return [base, ...keys.filter((key) => key !== base)].map((key) => tunnelPsk(tunnelCrypto, key.reveal()));
}
