import { TABLE, type StateNode } from '../../proto/state/interface.ts';
import { encodeInterest, interestKey } from '../../proto/state/values/interest.ts';
import { encodeNetwork, networkKey } from '../../proto/state/values/network.ts';
import { encodeVtep, vtepKey } from '../../proto/state/values/vtep.ts';
import type { NetworkConfig, RunConfig } from '../config/run-config.ts';
import type { OpenedTap } from '../dataplane/dataplane.ts';

/** Writes what this host says of itself: where it takes frames, which networks it has, how it defines them. */
export function announceHost(
  now: number,
  config: RunConfig,
  taps: ReadonlyMap<number, OpenedTap>,
  state: StateNode,
): void {
  const vtep = encodeVtep({ ip: config.dataPathAddr, port: config.dataPort });
  state.put(now, 0, TABLE.vtep, vtepKey(config.nodeName), vtep);
  config.networks.forEach((network, index) => {
    announceConfigured(now, network, taps.get(index)?.mtu ?? network.mtu, state);
  });
}

/** A network of our configuration: that we take part in it, and how we define it. */
export function announceConfigured(
  now: number,
  { name, vni, subnet = '', gateway = '', encrypted }: NetworkConfig,
  mtu: number,
  state: Pick<StateNode, 'put'>,
): void {
  state.put(now, 0, TABLE.interest, interestKey(vni), encodeInterest());
  const definition = encodeNetwork({ name, vni, subnet, gateway, mtu, encrypted });
  state.put(now, 0, TABLE.network, networkKey(name), definition);
}

export function withdrawConfigured(
  now: number,
  { name, vni }: Pick<NetworkConfig, 'name' | 'vni'>,
  state: Pick<StateNode, 'delete'>,
): void {
  state.delete(now, 0, TABLE.interest, interestKey(vni));
  state.delete(now, 0, TABLE.network, networkKey(name));
}
