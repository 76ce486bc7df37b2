/**
 * The order of incarnations (gossip.md 2.2 to 2.5), as a circle: after the highest comes 1, so that no word about a node
 * can be the last one. memberlist has a line: who says 2^32-1 of somebody there has made him dumb for good.
 *
 * What is more than `MAX_STEP` away in either direction is `far`: no life that we know a part of gets there, as each
 * refutation raises by one what was said. Only the node itself may say that (membership.ts).
 */
export const MAX_STEP = 2 ** 16;
const MAX_INCARNATION = 0xffff_ffff;

export type IncarnationOrder = 'newer' | 'same' | 'older' | 'far';

/** How `said` stands to `known`. 0 is what nobody has: everything is newer than that. */
export function incarnationOrder(said: number, known: number): IncarnationOrder {
  if (said === known) return 'same';
  if (known === 0) return 'newer';
  if (said === 0) return 'older';
  const ahead = (said - known) >>> 0;
  if (ahead <= MAX_STEP) return 'newer';
  return 2 ** 32 - ahead <= MAX_STEP ? 'older' : 'far';
}

export function nextIncarnation(incarnation: number): number {
  return incarnation >= MAX_INCARNATION ? 1 : incarnation + 1;
}
