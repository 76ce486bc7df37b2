/** Whether a full packet of a container fits what the underlay carries (checklist 1.9, 3.16, T6). */
import { ipFamily } from '../config/address.ts';
import { SEAL_BYTES, defaultTapMtu } from '../config/underlay.ts';
import type { Peer } from '../status.ts';
import type { Finding } from './finding.ts';

export interface MtuFacts {
  readonly dataPathAddr: string;
  /** Of the interface that has this address, now. */
  readonly underlayMtu: number | undefined;
  readonly taps: readonly {
    readonly network: string;
    readonly tap: string;
    readonly encrypted: boolean;
    /** Now; undefined where there is no such interface. */
    readonly mtu: number | undefined;
  }[];
}

export function checkMtu({ dataPathAddr, underlayMtu, taps }: MtuFacts): Finding[] {
  if (underlayMtu === undefined) return [];
  return taps.flatMap(({ network, tap, encrypted, mtu }): Finding[] => {
    if (mtu === undefined) {
      return [
        {
          check: 'tap',
          severity: 'error',
          what: `${tap}, the TAP of network "${network}", is not there`,
          cure: 'Start overlayd; then restart the containers that were on it, and dockerd if its networks on it are gone.',
        },
      ];
    }
    const most = defaultTapMtu(underlayMtu, ipFamily(dataPathAddr), encrypted);
    const around = `${encrypted ? `sealed (${SEAL_BYTES} more bytes), ` : ''}over IPv${ipFamily(dataPathAddr)}`;
    if (mtu > most) {
      return [
        {
          check: 'tap-mtu',
          severity: 'error',
          what: `${tap} has MTU ${mtu}; ${around} an underlay of ${underlayMtu} carries ${most}: large packets are lost, small ones pass`,
          cure: `Restart overlayd (it lowers ${tap} and the containers on it to ${most}), or raise the underlay's MTU.`,
        },
      ];
    }
    if (mtu < most && mtu < most - MTU_WASTE_BYTES) {
      return [
        {
          check: 'tap-mtu',
          severity: 'info',
          what: `${tap} has MTU ${mtu}; ${around} an underlay of ${underlayMtu} would carry ${most}`,
          cure: 'If all hosts have such an underlay, give no mtu= for this network, or a larger one, and restart the containers.',
        },
      ];
    }
    return [];
  });
}

/** Hosts whose path takes less than our interface: overlayd makes up for it, at a price. */
export function checkPathMtus(
  peers: readonly Pick<Peer, 'name' | 'state' | 'pathMtu'>[],
  underlayMtu: number,
): Finding[] {
  return peers.flatMap(({ name, state, pathMtu }): Finding[] => {
    if (state !== 'alive' || pathMtu === undefined || pathMtu >= underlayMtu) return [];
    return [
      {
        check: 'path-mtu',
        severity: 'info',
        what: `the path to ${name} takes packets of ${pathMtu} bytes, the underlay interface here sends ${underlayMtu}`,
        cure: 'Traffic goes on: TCP is cut smaller, other senders are told. Give the interface that MTU, or mend what drops larger packets between the hosts.',
      },
    ];
  });
}

/** A network for sealed and clear hosts, or for IPv4 and IPv6 underlays, wants the smaller of both. */
const MTU_WASTE_BYTES = 100;
