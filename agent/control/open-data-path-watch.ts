import type { Keyring } from '../../proto/keyring/keyring.ts';
import { CAPABILITY, decodeMeta } from '../../proto/swim/meta.ts';
import type { EchoPeer } from '../../proto/tunnel/echo.ts';
import type { RunConfig } from '../config/run-config.ts';
import type { Dataplane } from '../dataplane/dataplane.ts';
import type { Log } from '../log.ts';
import type { ControlPlane } from './control-plane.ts';
import { DataPathWatch } from './data-path-watch.ts';
import { psksOf } from './open-tunnels.ts';

export interface WatchParts {
  readonly config: RunConfig;
  readonly control: Pick<ControlPlane, 'swim' | 'reconciler'>;
  readonly dataplane: Dataplane;
  /** Undefined: gossip goes in clear. */
  readonly keyring: Keyring | undefined;
  readonly log: Log;
}

/** Watches the data ports of all live hosts that say they answer; older ones are let be. */
export function openDataPathWatch({ config, control, dataplane, keyring, log }: WatchParts): DataPathWatch {
  return new DataPathWatch({
    dataplane,
    dataPathAddr: config.dataPathAddr,
    dataPort: config.dataPort,
    peers: () => {
      const peers = new Map<string, EchoPeer>();
      for (const { name, state, meta: bytes } of control.swim.members()) {
        if (name === config.nodeName || state !== 'alive') continue;
        const meta = decodeMeta(bytes);
        const addr = control.reconciler.view.vtep(name);
        if (addr === undefined || ((meta?.capabilities ?? 0) & CAPABILITY.echo) === 0) continue;
        peers.set(name, { addr: { ip: addr.ip, port: addr.port }, keyed: (meta?.keys?.length ?? 0) > 0 });
      }
      return peers;
    },
    psks: () => (keyring === undefined ? [] : psksOf(keyring)),
    keyVersion: () => keyring?.version ?? 0,
    takesClear: config.gossipEncryption !== 'required',
    log,
  });
}
