/**
 * Gateways that nobody asked for: Docker wants to name one for each subnet, so its address is kept off, but it leads nowhere,
 * and a default route to it would take the place of one that leads somewhere. Said to all hosts by a label of the network.
 */
import type { NetworkDefinition } from '../../networks/interface.ts';
import type { NetworkRecord } from './book.ts';
import { gatewayOf } from './subnets.ts';

const LABEL = 'overlayd.idle-gateway';
const BOTH = 'true';

/** Value of the label: `true` for all families, `4` or `6` for one; empty: none is idle. */
export type Idle = string;

export function idleLabels(idle: Idle): Readonly<Record<string, string>> {
  return idle === '' ? {} : { [LABEL]: idle };
}

export function idleOf({ labels }: Pick<NetworkDefinition, 'labels'>): Idle {
  return labels[LABEL] ?? '';
}

/** As Docker was asked for it on this host. */
export function plannedIdle({ plan4, plan6 }: Pick<NetworkRecord, 'plan4' | 'plan6'>): Idle {
  const isIdle4 = plan4?.isGatewayGiven !== true;
  const isIdle6 = plan6?.isGatewayGiven !== true;
  if (isIdle4 && isIdle6) return BOTH;
  if (isIdle4) return '4';
  return isIdle6 && plan6 !== undefined ? '6' : '';
}

/** The gateway that leads somewhere. */
export function liveGateway(
  network: Pick<NetworkDefinition, 'labels' | 'gateway' | 'gateway6'>,
  family: 4 | 6,
): string | undefined {
  if ([BOTH, String(family)].includes(idleOf(network))) return undefined;
  return gatewayOf(network, family);
}
