/**
 * How much of what one source sends in vain is still looked at: a token bucket for each source address, in a bounded
 * table. Who is over it is not read any more until the bucket has filled a little.
 */
const BURST = 20;
const PER_SECOND = 2;
const MAX_SOURCES = 1024;

interface Bucket {
  tokens: number;
  filledMs: number;
}

export class FloodGuard {
  /** The one that was heard of longest ago comes first. */
  readonly #buckets = new Map<string, Bucket>();

  get size(): number {
    return this.#buckets.size;
  }

  isMuted(now: number, source: string): boolean {
    const bucket = this.#buckets.get(source);
    return bucket !== undefined && level(now, bucket) < 1;
  }

  /** Something of this source was of no use. */
  failed(now: number, source: string, cost = 1): void {
    const known = this.#buckets.get(source);
    const tokens = known === undefined ? BURST : level(now, known);
    this.#buckets.delete(source);
    this.#buckets.set(source, { tokens: Math.max(0, tokens - cost), filledMs: now });
    if (this.#buckets.size <= MAX_SOURCES) return;
    const [oldest] = this.#buckets.keys();
    if (oldest !== undefined) this.#buckets.delete(oldest);
  }
}

function level(now: number, { tokens, filledMs }: Bucket): number {
  return Math.min(BURST, tokens + ((now - filledMs) * PER_SECOND) / 1000);
}
