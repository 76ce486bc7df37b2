import type { Rng } from '../env.ts';
import type { Counters } from '../state/counters.ts';
import type { TokenBucket } from '../state/token-bucket.ts';
import type { VersionRange } from '../versions.ts';
import type { TimerHeap } from '../swim/timer-heap.ts';
import type { KeyPair, TunnelCrypto } from './crypto.ts';
import type { IndexTable } from './index-table.ts';
import type { SessionEvent, TunnelTransmit } from './interface.ts';
import type { TunnelTiming } from './options.ts';
import type { PeerTunnel } from './peer-tunnel.ts';
import type { TunnelPsk } from './psk.ts';

/** What the tunnels of one host have in common. */
export interface TunnelContext {
  readonly crypto: TunnelCrypto;
  readonly rng: Rng;
  readonly staticKeys: KeyPair;
  readonly versions: VersionRange;
  readonly timing: TunnelTiming;
  readonly timers: TimerHeap;
  readonly counters: Counters;
  readonly indexes: IndexTable<PeerTunnel>;
  /** Initiations of our own: all peers at once would stall everything else. */
  readonly initiations: TokenBucket;
  /** Newest first. */
  readonly psks: () => readonly TunnelPsk[];
  /** The timestamp of an initiation: greater than all before. */
  nextTimestamp(now: number): number;
  emit(event: SessionEvent): void;
  transmit(message: TunnelTransmit): void;
}

/** `value`, up to a fifth more or less. */
export function jittered(rng: Rng, value: number): number {
  return value * (0.8 + 0.4 * rng.float());
}
