import { parseMac } from '../proto/state/values/mac.ts';
import type { StaticPeer } from '../proto/view/rows.ts';
import type { RunConfig } from './config/run-config.ts';

/** Static peers as the forwarding view wants them. */
export function staticPeersOf(config: RunConfig): StaticPeer[] {
  return config.staticPeers.flatMap(({ ip, network, macs }) => {
    const vni = config.networks.find(({ name }) => name === network)?.vni;
    return vni === undefined ? [] : [{ addr: ip, port: config.dataPort, vni, macs: macs.map(parseMac) }];
  });
}
