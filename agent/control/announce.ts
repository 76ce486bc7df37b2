import { TABLE, type StateNode } from '../../proto/state/interface.ts';
import { encodeInterest, interestKey } from '../../proto/state/values/interest.ts';
import { encodeNetwork, networkKey } from '../../proto/state/values/network.ts';
import { encodeVtep, vtepKey } from '../../proto/state/values/vtep.ts';
import { resolveNetworks } from '../../proto/view/networks.ts';
import type { RunConfig } from '../config/run-config.ts';
import type { OpenedTap } from '../dataplane/dataplane.ts';
import type { Log } from '../log.ts';

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
    const { name, vni, subnet = '', gateway = '', encrypted } = network;
    const mtu = taps.get(index)?.mtu ?? network.mtu;
    state.put(now, 0, TABLE.interest, interestKey(vni), encodeInterest());
    const definition = encodeNetwork({ name, vni, subnet, gateway, mtu, encrypted });
    state.put(now, 0, TABLE.network, networkKey(name), definition);
  });
}

/** Tells once of each pair of hosts that define one network differently; traffic goes by VNI all the same, if it can. */
export class ConflictReporter {
  readonly #state: StateNode;
  readonly #log: Log;
  #told = new Set<string>();

  constructor(state: StateNode, log: Log) {
    this.#state = state;
    this.#log = log;
  }

  check(): void {
    const seen = new Set<string>();
    for (const { owner, rejected, standing, reason } of resolveNetworks(this.#state).conflicts) {
      const key = JSON.stringify([owner, rejected, standing.definers[0]]);
      seen.add(key);
      if (this.#told.has(key)) continue;
      if (rejected.vni === standing.vni && rejected.encrypted !== standing.encrypted) {
        this.#sayEncryption(rejected.name, rejected.encrypted ? owner : standing.definers[0]);
        continue;
      }
      this.#log.warn(
        {
          peer: owner,
          network: rejected.name,
          vni: rejected.vni,
          standing: standing.name,
          standingVni: standing.vni,
          reason,
        },
        'hosts define a network differently; make name, VNI, subnet, gateway and MTU equal on all of them',
      );
    }
    this.#told = seen;
  }

  /** The worst of differences: neither side takes what the other sends. */
  #sayEncryption(network: string, peer = 'one'): void {
    this.#log.error(
      { peer, network },
      `network "${network}" is encrypted on some hosts, ${peer} among them, and in clear on others: no traffic passes between these; make it the same on all of them`,
    );
  }
}
