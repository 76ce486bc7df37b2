/**
 * Forgetting: a bounded slice of both tables at every tick, in proportion to the time passed.
 *
 * A whole walk of the largest FDB takes about half a minute, which is how late an expiry may be. A walk that removes an entry
 * looks at the same slot again, for another may have moved in.
 */
import { count } from './account';
import { NEIGHBOUR_SLOTS, STATE_FDB_CURSOR, STATE_NEIGHBOUR_CURSOR } from './layout';
import { CONFIG_AGEING_SECONDS, config, nowMs, nowSeconds, setNow } from './config';
import { COUNTER_MACS_EXPIRED } from './counters';
import { EVENT_MAC_EXPIRED, emit } from './event';
import {
  FDB_LEARNED,
  FDB_LOCAL,
  FDB_STATIC,
  entryDestination,
  entryHas,
  entryMac,
  entryNetwork,
  entrySeen,
  fdbAt,
  fdbCount,
  fdbFind,
  fdbKey,
  fdbRemove,
  fdbSlots,
} from './fdb';
import {
  neighbourAt,
  neighbourCount,
  neighbourIsLocal,
  neighbourMac,
  neighbourNetwork,
  neighbourRemove,
  neighbourUsed,
} from './neighbour';

const FDB_SLOTS_PER_MS: u32 = 64;
const NEIGHBOUR_SLOTS_PER_MS: u32 = 8;
/** However long the pause was, a tick walks no further than this many milliseconds' worth. */
const LARGEST_SLICE_MS: u32 = 256;

export function tick(ms: f64): void {
  const before = nowMs();
  setNow(ms);
  let elapsed = nowMs() - before;
  if (elapsed == 0) return;
  if (elapsed > LARGEST_SLICE_MS) elapsed = LARGEST_SLICE_MS;
  if (fdbCount()) ageFdb(elapsed * FDB_SLOTS_PER_MS);
  if (neighbourCount()) ageNeighbours(elapsed * NEIGHBOUR_SLOTS_PER_MS);
}

function isExpired(entry: usize): bool {
  if (!entryHas(entry, FDB_LEARNED) || entryHas(entry, FDB_STATIC)) return false;
  // Signed: a clock that steps back expires nothing.
  return ((nowSeconds() - entrySeen(entry)) as i32) >= (config(CONFIG_AGEING_SECONDS) as i32);
}

function ageFdb(slots: u32): void {
  let slot = load<u32>(STATE_FDB_CURSOR);
  const end = slot + min(slots, fdbSlots());
  for (; slot != end; slot++) {
    const entry = fdbAt(slot);
    while (load<u64>(entry) && isExpired(entry)) {
      if (entryHas(entry, FDB_LOCAL)) {
        count(COUNTER_MACS_EXPIRED, 1);
        emit(EVENT_MAC_EXPIRED, entryNetwork(entry), entryDestination(entry), 0, 0, entryMac(entry), 0);
      }
      fdbRemove(entry);
    }
  }
  store<u32>(STATE_FDB_CURSOR, slot & (fdbSlots() - 1));
}

/** A snooped address goes when its MAC is no longer local. */
function ageNeighbours(slots: u32): void {
  let slot = load<u32>(STATE_NEIGHBOUR_CURSOR);
  const end = slot + slots;
  for (; slot != end; slot++) {
    const entry = neighbourAt(slot);
    while (neighbourUsed(entry) && neighbourIsLocal(entry)) {
      const owner = fdbFind(fdbKey(neighbourNetwork(entry), neighbourMac(entry)));
      if (owner && entryHas(owner, FDB_LOCAL)) break;
      neighbourRemove(entry);
    }
  }
  store<u32>(STATE_NEIGHBOUR_CURSOR, slot & (NEIGHBOUR_SLOTS - 1));
}
