/**
 * Whether an estate fits the records in which it is said: its host's own, and those of its guardians, which are longer. A host
 * and whoever gives it something come to the same answer, for all that it goes by is in the host's record.
 */
import type { Block, Family } from './block.ts';
import { merge } from './block.ts';
import type { Estate, EstateRecord, Gift } from './estate.ts';
import { encodeWardRecord } from './records.ts';

/** What a record may take; the rest to 1,024 is for guardians that are named later, and later versions. */
export const RECORD_MAX_BYTES = 900;
/** As long as the name of a node can be. */
const LONG_NAME = 'x'.repeat(128);
const LIST_MAX = 200;

/** Bytes of the longest record in which this is said of that host; Infinity: none can say it. */
export function bytesOf(
  host: string,
  { session, life, lineage, beat, estate }: Omit<EstateRecord, 'ledger' | 'noted' | 'freeBits'>,
  family: Family,
): number {
  const lists = [estate.own, estate.gifts, estate.taken, estate.closed];
  if (lineage === undefined || lists.some((list) => list.length >= LIST_MAX)) return Infinity;
  const guardian = { name: LONG_NAME, life, ledger: 0 };
  const told = { ward: host, status: 'restore', isWanted: false, rev: estate.rev } as const;
  return encodeWardRecord({ ...told, session, life, lineage, guardian, beat, estate }, family).length;
}

/** What changes for the receiver of a gift; `life` and `rev` of its donor, whose record offers it. */
export function withGift(
  { own, taken }: Pick<Estate, 'own' | 'taken'>,
  { id, block }: Pick<Gift, 'id' | 'block'>,
  donor: { readonly name: string; readonly life: number; readonly rev: number },
): { readonly own: readonly Block[]; readonly taken: Estate['taken'] } {
  const entry = { id, donor: donor.name, donorLife: donor.life, donorRev: donor.rev };
  return { own: merge([...own, block]), taken: [...taken, entry] };
}
