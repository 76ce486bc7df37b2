/** What each peer may have us do: a token bucket each, in a bounded table; who has been quiet for longest is forgotten first. */
import { TokenBucket } from './token-bucket.ts';

const PEERS_MAX = 4_096;

export class PeerRates {
  readonly #perSecond: number;
  readonly #burst: number;
  /** The one that was heard of longest ago comes first. */
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
  }

  /** Whether the peer may have so much done now; if so, it is charged. */
  take(now: number, peer: string, amount: number): boolean {
    const bucket = this.#buckets.get(peer) ?? new TokenBucket(this.#perSecond, this.#burst);
    this.#buckets.delete(peer);
    this.#buckets.set(peer, bucket);
    if (this.#buckets.size > PEERS_MAX) this.#buckets.delete(this.#buckets.keys().next().value!);
    return bucket.take(now, amount);
  }
}
