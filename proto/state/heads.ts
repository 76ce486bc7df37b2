/**
 * HEADS: tells how far logs reach that changed lately, so that a receiver notices a lost *last* update (gossip.md 7.5).
 *
 * The owner tells for its own logs; where news spreads by epidemic everybody tells. Three times in the first second,
 * then once a second for 10 s. A peer that is new to us, or to a scope, is greeted with our own heads: it may have missed our first
 * words, spoken when we did not know it.
 */
import type { Head } from './messages.ts';
import { encodeHeads } from './messages.ts';
import type { Outbox } from './outbox.ts';
import { URGENCY } from './outbox.ts';
import type { OwnerLog } from './owner-log.ts';
import type { Targets } from './targets.ts';

/** After a change: soon (a MAC that moves must be followed within a second, whatever is lost), then once a second. */
const SOON_MS = [80, 250, 500] as const;
const INTERVAL_MS = 1_000;
const FOR_MS = 10_000;
const FANOUT = 3;
const GREET_MS = 20;
/** Entries in one packet: name, epoch, scope and head are about 40 bytes. */
const PER_PACKET = 24;
const CHANGED_MAX = 4_096;

/** A log that changed at `sinceMs` and is to be told of next at `atMs`. */
interface Changed {
  readonly sinceMs: number;
  readonly isOwn: boolean;
  atMs: number;
}

export class Heads {
  readonly #targets: Targets;
  readonly #outbox: Outbox;
  readonly #changed = new Map<OwnerLog, Changed>();
  readonly #greetings = new Map<string, Set<OwnerLog>>();
  #nextMs = Infinity;
  #greetMs = Infinity;

  constructor(targets: Targets, outbox: Outbox) {
    this.#targets = targets;
    this.#outbox = outbox;
  }

  /** A log grew: ours, or (where news spreads by epidemic) another's. */
  changed(now: number, log: OwnerLog, isOwn: boolean): void {
    const known = this.#changed.get(log);
    if (this.#changed.size >= CHANGED_MAX && known === undefined) return;
    const atMs = Math.min(isOwn ? now + SOON_MS[0] : nextTurn(now), known?.atMs ?? Infinity);
    this.#changed.set(log, { sinceMs: now, isOwn, atMs });
    this.#nextMs = Math.min(this.#nextMs, atMs);
  }

  greet(now: number, peer: string, log: OwnerLog | undefined): void {
    if (log === undefined || log.have === 0) return;
    const logs = this.#greetings.get(peer);
    if (logs === undefined) this.#greetings.set(peer, new Set([log]));
    else logs.add(log);
    this.#greetMs = Math.min(this.#greetMs, now + GREET_MS);
  }

  handleDeadline(now: number): void {
    if (now >= this.#greetMs) {
      this.#greetMs = Infinity;
      for (const [peer, logs] of this.#greetings) this.#tell([peer], [...logs]);
      this.#greetings.clear();
    }
    if (now < this.#nextMs) return;
    for (const [scope, logs] of this.#takeDue(now)) {
      const direct = this.#targets.direct(scope);
      if (direct !== undefined) this.#tell(direct, logs);
      // Among many, many tell: one packet each with some of what changed is enough.
      else
        this.#tell(
          this.#targets.sample(this.#targets.peers(scope), FANOUT),
          this.#targets.sample(logs, PER_PACKET),
        );
    }
  }

  /** Logs that are due, by scope; each is put on its next turn or dropped after its last. */
  #takeDue(now: number): Map<number, OwnerLog[]> {
    const due = new Map<number, OwnerLog[]>();
    this.#nextMs = Infinity;
    for (const [log, changed] of this.#changed) {
      if (changed.atMs <= now) {
        const logs = due.get(log.scope);
        if (logs === undefined) due.set(log.scope, [log]);
        else logs.push(log);
        const soon = changed.isOwn ? SOON_MS.find((ms) => changed.sinceMs + ms > now) : undefined;
        changed.atMs = soon === undefined ? nextTurn(now) : changed.sinceMs + soon;
      }
      if (changed.sinceMs + FOR_MS <= now) this.#changed.delete(log);
      else this.#nextMs = Math.min(this.#nextMs, changed.atMs);
    }
    return due;
  }

  nextDeadline(): number {
    return Math.min(this.#nextMs, this.#greetMs);
  }

  #tell(peers: readonly string[], logs: readonly OwnerLog[]): void {
    for (let i = 0; i < logs.length; i += PER_PACKET) {
      const heads: Head[] = logs
        .slice(i, i + PER_PACKET)
        .map(({ scope, owner, epoch, said }) => ({ scope, owner, epoch, head: said }));
      const bytes = encodeHeads(heads);
      for (const peer of peers) this.#outbox.send(URGENCY.control, peer, bytes, false);
    }
  }
}

/** Turns are shared by all logs of a host, so that one packet tells of many. */
const nextTurn = (now: number): number => (Math.floor(now / INTERVAL_MS) + 1) * INTERVAL_MS;
