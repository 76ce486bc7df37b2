/** Addresses on this host, tied to the cluster: what it hears, whom it asks, what it knows to be in use. */
import type { StateNode } from '../../proto/state/interface.ts';
import type { RunConfig } from '../config/run-config.ts';
import type { ControlPlane } from '../control/control-plane.ts';
import type { Log } from '../log.ts';
import type { NetworkDefinitions } from '../networks/definitions.ts';
import { AddressPools } from './address-pools.ts';

export interface AddressParts {
  readonly config: RunConfig;
  readonly state: StateNode;
  readonly control: ControlPlane;
  readonly definitions: NetworkDefinitions;
  /** It is in the configuration of this host. */
  readonly isConfigured: (name: string) => boolean;
  /** Of this run. */
  readonly epoch: bigint;
  readonly log: Log;
}

export function openAddresses({
  config,
  state,
  control,
  definitions,
  isConfigured,
  epoch,
  log,
}: AddressParts): AddressPools {
  const { swim, reconciler } = control;
  const addresses = new AddressPools({
    self: config.nodeName,
    session: Number(epoch),
    leaseMs: config.rangeLeaseMs,
    stateDir: config.stateDir,
    state,
    networks: definitions,
    isConfigured: ({ name }) => isConfigured(name),
    alive: () =>
      swim.members().flatMap(({ name, state: is }) => (is === 'alive' || is === 'suspect' ? [name] : [])),
    isSettled: () => control.isSettled(),
    endpoints: (vni) => reconciler.view.endpoints(vni),
    send: (to, bytes) => control.send(to, bytes),
    wrote: () => control.touch(),
    log,
  });
  control.onRangeMessages((from, bytes) => addresses.handleMessage(from, bytes));
  return addresses;
}
