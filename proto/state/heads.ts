/**
 * HEADS: tells how far logs reach that changed lately, so that a receiver notices a lost *last* update (gossip.md 7.5).
 *
 * Where news goes straight to all, a receiver answers with HEADS of what it now has: an acknowledgement. Who has not
 * acknowledged gets the last update once more, five times in the first second, then heads once a second for 10 s. Where
 * news spreads by epidemic everybody tells heads, to a few. A peer that is new to us, or to a scope, is greeted with our own heads:
 * it may have missed our first words, spoken when we did not know it.
 */
import { packHeads } from './messages.ts';
import type { Outbox } from './outbox.ts';
import { URGENCY } from './outbox.ts';
import type { OwnerLog } from './owner-log.ts';
import type { Targets } from './targets.ts';

/** After a change: soon (a MAC that moves must be followed within a second, whatever is lost), then once a second. */
const SOON_MS = [80, 180, 320, 500, 740] as const;
/** What comes in a burst is acknowledged together. */
const ACK_MS = 10;
const INTERVAL_MS = 1_000;
const FOR_MS = 10_000;
const FANOUT = 3;
const GREET_MS = 20;
/** Of many logs that changed, as many as fit a packet where names are not long. */
const SAMPLE = 24;
const CHANGED_MAX = 4_096;

/** A log that changed at `sinceMs` and is to be told of next at `atMs`. */
interface Changed {
  readonly sinceMs: number;
  readonly isOwn: boolean;
  atMs: number;
  /** Of ours where news goes straight to all: the last update. */
  readonly update: Uint8Array | undefined;
  /** Who has said that it has all up to there. */
  readonly acknowledged: Set<string>;
}

export class Heads {
  readonly #targets: Targets;
  readonly #outbox: Outbox;
  /** Largest message that goes by UDP. */
  readonly #packetBytes: number;
  readonly #changed = new Map<OwnerLog, Changed>();
  readonly #greetings = new Map<string, Set<OwnerLog>>();
  /** Logs whose owners are to hear how far we have come. */
  readonly #acks = new Set<OwnerLog>();
  #nextMs = Infinity;
  #ackMs = Infinity;
  #greetMs = Infinity;

  constructor(targets: Targets, outbox: Outbox, packetBytes: number) {
    this.#targets = targets;
    this.#outbox = outbox;
    this.#packetBytes = packetBytes;
  }

  /** A log grew: ours, or (where news spreads by epidemic) another's. `update` went straight to all. */
  changed(now: number, log: OwnerLog, isOwn: boolean, update?: Uint8Array): void {
    const known = this.#changed.get(log);
    if (this.#changed.size >= CHANGED_MAX && known === undefined) return;
    const dueMs = isOwn ? now + SOON_MS[0] : nextTurn(now);
    // More updates that go straight to all show by themselves that an earlier one is missing.
    const atMs = update === undefined ? Math.min(dueMs, known?.atMs ?? Infinity) : dueMs;
    this.#changed.set(log, { sinceMs: now, isOwn, atMs, update, acknowledged: new Set() });
    this.#nextMs = Math.min(this.#nextMs, atMs);
  }

  /** The owner itself sent us a piece of its log: it waits to hear that we have it. */
  received(now: number, log: OwnerLog): void {
    if (this.#acks.size >= CHANGED_MAX) return;
    this.#acks.add(log);
    this.#ackMs = Math.min(this.#ackMs, now + ACK_MS);
  }

  /** A peer says how far it has our log. */
  acknowledged(peer: string, log: OwnerLog, head: number): void {
    if (head >= log.said) this.#changed.get(log)?.acknowledged.add(peer);
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
    if (now >= this.#ackMs) this.#acknowledge();
    if (now < this.#nextMs) return;
    for (const [scope, due] of this.#takeDue(now)) {
      const direct = this.#targets.direct(scope);
      if (direct !== undefined) this.#remind(now, direct, due);
      // Among many, many tell: one packet each with some of what changed is enough.
      else
        this.#tell(
          this.#targets.sample(this.#targets.peers(scope), FANOUT),
          this.#targets.sample([...due.keys()], SAMPLE),
        );
    }
  }

  /** Logs that are due, by scope; each is put on its next turn or dropped after its last. */
  #takeDue(now: number): Map<number, Map<OwnerLog, Changed>> {
    const due = new Map<number, Map<OwnerLog, Changed>>();
    this.#nextMs = Infinity;
    for (const [log, changed] of this.#changed) {
      if (changed.atMs <= now) {
        const logs = due.get(log.scope);
        if (logs === undefined) due.set(log.scope, new Map([[log, changed]]));
        else logs.set(log, changed);
        const soon = changed.isOwn ? SOON_MS.find((ms) => changed.sinceMs + ms > now) : undefined;
        changed.atMs = soon === undefined ? nextTurn(now) : changed.sinceMs + soon;
      }
      if (changed.sinceMs + FOR_MS <= now) this.#changed.delete(log);
      else this.#nextMs = Math.min(this.#nextMs, changed.atMs);
    }
    return due;
  }

  nextDeadline(): number {
    return Math.min(this.#nextMs, this.#greetMs, this.#ackMs);
  }

  /** Those who have not acknowledged: the update itself soon after it, later no more than its number. */
  #remind(now: number, direct: readonly string[], due: ReadonlyMap<OwnerLog, Changed>): void {
    const headsFor = new Map<string, OwnerLog[]>();
    for (const [log, { sinceMs, update, acknowledged }] of due) {
      const isSoon = now - sinceMs < INTERVAL_MS;
      for (const peer of direct) {
        if (acknowledged.has(peer)) continue;
        if (isSoon && update !== undefined) this.#outbox.send(URGENCY.own, peer, update, false);
        else addTo(headsFor, peer, log);
      }
    }
    for (const [peer, behind] of headsFor) this.#tell([peer], behind);
  }

  #acknowledge(): void {
    this.#ackMs = Infinity;
    const byOwner = new Map<string, OwnerLog[]>();
    for (const log of this.#acks) addTo(byOwner, log.owner, log);
    this.#acks.clear();
    for (const [owner, logs] of byOwner) this.#tell([owner], logs);
  }

  #tell(peers: readonly string[], logs: readonly OwnerLog[]): void {
    const heads = logs.map(({ scope, owner, epoch, said }) => ({ scope, owner, epoch, head: said }));
    for (const bytes of packHeads(heads, this.#packetBytes)) {
      for (const peer of peers) this.#outbox.send(URGENCY.control, peer, bytes, false);
    }
  }
}

function addTo(lists: Map<string, OwnerLog[]>, key: string, log: OwnerLog): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [log]);
  else list.push(log);
}

/** Turns are shared by all logs of a host, so that one packet tells of many. */
const nextTurn = (now: number): number => (Math.floor(now / INTERVAL_MS) + 1) * INTERVAL_MS;
