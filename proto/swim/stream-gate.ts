import { FloodGuard } from './flood-guard.ts';

/**
 * Who may open a stream, so that nobody can take them all: an open connection costs its maker nothing, and us a place for
 * ten seconds.
 *
 * An IP of no living member has a few, all such IPs together have three quarters; the rest is for members. One IP of members has half:
 * several may be behind it, and containers of a host come from there as well. Whose streams fail, or end in silence, is not heard for a while.
 */
export interface StreamTicket {
  readonly ip: string;
  readonly isStranger: boolean;
}

/** `busy`: all places are taken; `crowded`: those for its kind. */
export type StreamRefusal = 'muted' | 'busy' | 'crowded';

/** A stream that ends in silence held a place as long as many that fail. */
const SILENCE_COST = 5;

export class StreamGate {
  readonly #maxStreams: number;
  readonly #isMember: (ip: string) => boolean;
  readonly #guard = new FloodGuard();
  readonly #byIp = new Map<string, number>();
  #total = 0;
  #strangers = 0;

  constructor(maxStreams: number, isMember: (ip: string) => boolean) {
    this.#maxStreams = maxStreams;
    this.#isMember = isMember;
  }

  /** A ticket is to be given back by `leave`. */
  enter(now: number, ip: string): StreamTicket | StreamRefusal {
    if (this.#guard.isMuted(now, ip)) return 'muted';
    if (this.#total >= this.#maxStreams) return 'busy';
    const isStranger = !this.#isMember(ip);
    const ofThisIp = this.#byIp.get(ip) ?? 0;
    if (ofThisIp >= this.#share(isStranger ? 16 : 2)) return 'crowded';
    if (isStranger && this.#strangers >= this.#maxStreams - this.#share(4)) return 'crowded';
    this.#byIp.set(ip, ofThisIp + 1);
    this.#total += 1;
    if (isStranger) this.#strangers += 1;
    return { ip, isStranger };
  }

  leave({ ip, isStranger }: StreamTicket): void {
    const left = (this.#byIp.get(ip) ?? 0) - 1;
    if (left > 0) this.#byIp.set(ip, left);
    else this.#byIp.delete(ip);
    this.#total -= 1;
    if (isStranger) this.#strangers -= 1;
  }

  /** What came by it no key of ours opened. */
  failed(now: number, ip: string): void {
    this.#guard.failed(now, ip);
  }

  /** It ended by our deadline. Members' streams do where the network is bad. */
  silent(now: number, { ip, isStranger }: StreamTicket): void {
    if (isStranger) this.#guard.failed(now, ip, SILENCE_COST);
  }

  #share(part: number): number {
    return Math.ceil(this.#maxStreams / part);
  }
}
