import { ipFamily } from '../config/address.ts';
import type { RunConfig } from '../config/run-config.ts';
import { SEAL_BYTES, vxlanOverhead } from '../config/underlay.ts';
import type { Dataplane } from '../dataplane/dataplane.ts';
import type { Log } from '../log.ts';
import { PathKeeper } from './path-keeper.ts';
import type { Reconciler } from './reconciler.ts';
import { TapMtus } from './tap-mtus.ts';
import type { TunnelKeeper } from './tunnel-keeper.ts';

/** MTUs of the TAPs, by what earlier runs found out. */
export function openTapMtus({ networks, dataPathAddr, stateDir }: RunConfig, log: Log): TapMtus {
  const outside = vxlanOverhead(ipFamily(dataPathAddr));
  const overhead = (encrypted: boolean): number => outside + (encrypted ? SEAL_BYTES : 0);
  return new TapMtus({ networks, overhead, stateDir, log });
}

export interface PathParts {
  readonly config: RunConfig;
  readonly reconciler: Reconciler;
  readonly dataplane: Dataplane;
  readonly tunnels: () => TunnelKeeper | undefined;
  readonly tapMtus: TapMtus;
  readonly log: Log;
}

/** Paths to every other host that takes part in a network of ours. */
export function openPaths({ config, reconciler, dataplane, tunnels, tapMtus, log }: PathParts): PathKeeper {
  const { dataPathAddr, underlayMtu } = config;
  return new PathKeeper({
    view: reconciler.view,
    setMaxPayload: (peer, maxPayload) => reconciler.setMaxPayload(peer, maxPayload),
    dataplane,
    dataPathAddr,
    underlayMtu,
    seal: () => tunnels()?.seal,
    tapMtus,
    log,
  });
}
