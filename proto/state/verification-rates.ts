/**
 * How many signatures we look at for the sake of others. One costs some 0.14 ms, and nothing else runs meanwhile: without a bound any
 * member could keep a host so busy with empty signed blocks that it is held dead.
 *
 * An honest peer's snapshot has at most some 2,000 blocks a second (256 KiB, where each endpoint was learnt alone). What is over the
 * rate is dropped and comes again by anti-entropy.
 */
import { PeerRates } from './peer-rates.ts';
import { TokenBucket } from './token-bucket.ts';

const OF_PEER = { perSecond: 2_500, burst: 4_096 } as const;
const OF_ALL = { perSecond: 4_000, burst: 16_384 } as const;

export class VerificationRates {
  readonly #peers = new PeerRates(OF_PEER.perSecond, OF_PEER.burst);
  readonly #all = new TokenBucket(OF_ALL.perSecond, OF_ALL.burst);

  /** Whether so many signatures that came from this peer may be looked at now; if so, they are charged. */
  take(now: number, peer: string, count: number): boolean {
    return this.#peers.take(now, peer, count) && this.#all.take(now, count);
  }
}
