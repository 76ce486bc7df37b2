import type { Rng } from '../env.ts';
import type { VersionRange } from '../versions.ts';
import type { KeyPair, TunnelCrypto } from './crypto.ts';

/** What a host's tunnels go by. Times in ms. */
export interface TunnelTiming {
  /** A session is replaced when it is this old, a little earlier by chance. */
  readonly rekeyIntervalMs: number;
  /** ... or when its counter of one direction is here. */
  readonly rekeyAfterMessages: number;
  /** A session ends when its counter is here, whether there is another or not. */
  readonly rejectAfterMessages: number;
  /** First repetition of an initiation; then twice as long each time, up to retryMaxMs, for ever. */
  readonly retryFirstMs: number;
  readonly retryMaxMs: number;
  /** How long a replaced session still receives, after both sides were heard on the new one. */
  readonly graceMs: number;
  /** A session that is silent for so long is asked whether it still stands. */
  readonly probeAfterMs: number;
  readonly macsPerSecond: number;
  readonly dhPerSecond: number;
  readonly cookiesPerSecond: number;
}

/**
 * Counts: AES-GCM with counted nonces bears far more than 2^36 messages of 9 kB under one key (NIST SP 800-38D §8; at 2^36
 * the advantage of a distinguisher is below 2^-37), and 2^36 is far below the end of a 64-bit counter.
 */
export const DEFAULT_TIMING: TunnelTiming = {
  rekeyIntervalMs: 12 * 3_600_000,
  rekeyAfterMessages: 2 ** 32,
  rejectAfterMessages: 2 ** 36,
  retryFirstMs: 500,
  retryMaxMs: 30_000,
  graceMs: 10_000,
  probeAfterMs: 15_000,
  macsPerSecond: 20_000,
  dhPerSecond: 400,
  cookiesPerSecond: 500,
};

export interface TunnelsOptions {
  readonly crypto: TunnelCrypto;
  /** Ephemeral secrets come from it: outside of tests, the operating system's. */
  readonly rng: Rng;
  readonly staticKeys: KeyPair;
  /** Monotonic ms now, and ms since 1970 at the same moment: the start of our timestamps. */
  readonly nowMs: number;
  readonly wallMs: number;
  readonly timing?: Partial<TunnelTiming>;
  /** Spoken here; all that are known, by default. */
  readonly versions?: VersionRange;
}

/** A session may get older than its interval when the other side is away or flooded; never older than this. */
export const rejectAfterMs = ({ rekeyIntervalMs }: TunnelTiming): number => 2 * rekeyIntervalMs + 600_000;
