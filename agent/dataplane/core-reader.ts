/**
 * Reads a running core's tables from outside, while its worker goes on writing them.
 *
 * No lock: 64-bit counters are read in two halves, which the next reading mends; a row that moves during a walk may be
 * missed or seen twice, which audits repair at their next turn.
 */
import { constant, readU64 } from './core.ts';
import type { Core } from './core.ts';
import type { FdbRow } from './dataplane.ts';

const ENTRY = { keyLow: 0, keyHigh: 1, destinationAndFlags: 2, words: 4 } as const;

export interface PeerCounters {
  rxFrames: number;
  rxBytes: number;
  txFrames: number;
  txBytes: number;
}

export function readPeer({ constants, view }: Core, peer: number): PeerCounters {
  const base = constant(constants, 'PEER_BASE') + peer * constant(constants, 'PEER_SIZE');
  const at = (field: string): number => readU64(view, base + constant(constants, field));
  return {
    rxFrames: at('PEER_RX_FRAMES'),
    rxBytes: at('PEER_RX_BYTES'),
    txFrames: at('PEER_TX_FRAMES'),
    txBytes: at('PEER_TX_BYTES'),
  };
}

/** Datagrams sealed on a session, and the highest counter received. */
export function readSession({ constants, view }: Core, place: number): { sealed: number; highest: number } {
  const base = constant(constants, 'SESSION_BASE') + place * constant(constants, 'SESSION_SIZE');
  return {
    sealed: readU64(view, base + constant(constants, 'SESSION_SEALED')),
    highest: readU64(view, base + constant(constants, 'SESSION_HIGHEST')),
  };
}

/** Every row of the forwarding table. Stops as soon as it has seen as many as the core counts. */
export function readFdb({ constants, exports, memory }: Core): FdbRow[] {
  const rows: FdbRow[] = [];
  const count = exports.fdbCount() >>> 0;
  const local = constant(constants, 'FDB_LOCAL');
  const learned = constant(constants, 'FDB_LEARNED');
  const words = new Uint32Array(memory.buffer);
  let at = constant(constants, 'FDB_BASE') >>> 2;
  const end = at + constant(constants, 'FDB_SLOTS') * ENTRY.words;
  for (; at < end && rows.length < count; at += ENTRY.words) {
    const low = words[at + ENTRY.keyLow] as number;
    const high = words[at + ENTRY.keyHigh] as number;
    if (low === 0 && high === 0) continue;
    const word = words[at + ENTRY.destinationAndFlags] as number;
    const flags = word >>> 16;
    rows.push({
      network: high >>> 16,
      mac: (high & 0xffff) * 0x1_0000_0000 + low,
      local: (flags & local) !== 0,
      destination: word & 0xffff,
      learned: (flags & learned) !== 0,
    });
  }
  return rows;
}
