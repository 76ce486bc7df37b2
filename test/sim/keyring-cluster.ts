/** Clusters of hosts with one key in their files, for the simulations of rotation. */
import { keyOfByte } from '../proto/keyring/keys.ts';
import { addKeyHost, keyLayerOf, primaryOf } from './keyring-layer.ts';
import type { Disk } from './keyring-layer.ts';
import type { SimNode } from './sim-node.ts';
import type { Simulation } from './simulation.ts';

export const FILE = keyOfByte(1);
export const HAND = keyOfByte(2);
export const MINUTE = 60_000;

export const disk = (more: Partial<Disk> = {}): Disk => ({
  file: [FILE],
  saved: undefined,
  mode: 'required',
  ...more,
});

export function cluster(
  sim: Simulation,
  count: number,
  intervalMs: number,
): { nodes: SimNode[]; disks: Disk[] } {
  const disks = Array.from({ length: count }, () => disk());
  return { nodes: disks.map((each) => addKeyHost(sim, each, intervalMs)), disks };
}

export function agreed(nodes: readonly SimNode[]): boolean {
  return new Set(nodes.map(primaryOf)).size === 1;
}

export const ringOf = (node: SimNode): readonly string[] => keyLayerOf(node).rotation.keyring.fingerprints;
