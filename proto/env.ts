/** What protocol code takes from outside: time as an argument (monotonic ms), randomness, addresses. */

/** A source of randomness; seeded in tests and simulation. */
export interface Rng {
  /** Uniform in 0 .. 2^32-1. */
  u32(): number;
  /** Uniform in [0, 1). */
  float(): number;
  fill(bytes: Uint8Array): void;
}

/** An underlay transport address. `ip` is canonical text: dotted IPv4, or compressed lower-case IPv6. */
export interface Address {
  readonly ip: string;
  readonly port: number;
}

/**
 * Places where something rare but possible happens when the answer is true. Only a simulation ever answers so, to walk the
 * ways that nobody walks otherwise; production passes no such function.
 */
export type FaultPoint =
  'sync.busy' | 'snapshot.cut' | 'outbox.full' | 'stream.busy' | 'relay.busy' | 'broadcast.lost';
export type FaultInjector = (point: FaultPoint) => boolean;
