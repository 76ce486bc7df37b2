/**
 * Messages waiting to ride on packets (gossip.md 2.9). Each goes out in a limited number of packets; those that went
 * out least come first, among them the longer and then the newer. A new message about a subject replaces the old one.
 */
interface Broadcast {
  readonly subject: string;
  readonly bytes: Uint8Array;
  readonly id: number;
  transmits: number;
  /** Called when the message has gone out as often as it will, or was replaced. */
  readonly onDone: (() => void) | undefined;
}

export class BroadcastQueue {
  readonly #bySubject = new Map<string, Broadcast>();
  /** Index = transmits so far; each tier sorted by (longer, newer) first. */
  readonly #tiers: Broadcast[][] = [];
  #nextId = 0;

  get size(): number {
    return this.#bySubject.size;
  }

  add(subject: string, bytes: Uint8Array, onDone?: () => void): void {
    const replaced = this.#bySubject.get(subject);
    if (replaced !== undefined) {
      this.#remove(replaced);
      replaced.onDone?.();
    }
    const broadcast = { subject, bytes, id: this.#nextId++, transmits: 0, onDone };
    this.#bySubject.set(subject, broadcast);
    this.#insert(broadcast);
  }

  /**
   * Messages for one packet, `budget` bytes in all, each counted with `overhead`; every one given out counts as sent.
   * `limit` is the number of packets after which a message is dropped.
   */
  take(overhead: number, budget: number, limit: number, maxMessages = 255): Uint8Array[] {
    const taken: Broadcast[] = [];
    let left = budget - overhead;
    for (const tier of this.#tiers) {
      for (let i = firstNotLonger(tier, left); i < tier.length && taken.length < maxMessages;) {
        const broadcast = tier[i] as Broadcast;
        tier.splice(i, 1);
        taken.push(broadcast);
        left -= broadcast.bytes.length + overhead;
        i = Math.max(i, firstNotLonger(tier, left));
      }
    }
    for (const broadcast of taken) {
      broadcast.transmits += 1;
      if (broadcast.transmits < limit) {
        this.#insert(broadcast);
      } else {
        this.#bySubject.delete(broadcast.subject);
        broadcast.onDone?.();
      }
    }
    return taken.map(({ bytes }) => bytes);
  }

  #insert(broadcast: Broadcast): void {
    while (this.#tiers.length <= broadcast.transmits) this.#tiers.push([]);
    const tier = this.#tiers[broadcast.transmits] as Broadcast[];
    let low = 0;
    let high = tier.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isBefore(tier[middle] as Broadcast, broadcast)) low = middle + 1;
      else high = middle;
    }
    tier.splice(low, 0, broadcast);
  }

  #remove(broadcast: Broadcast): void {
    const tier = this.#tiers[broadcast.transmits] as Broadcast[];
    const at = tier.indexOf(broadcast);
    if (at >= 0) tier.splice(at, 1);
    this.#bySubject.delete(broadcast.subject);
  }
}

function isBefore(a: Broadcast, b: Broadcast): boolean {
  return a.bytes.length > b.bytes.length || (a.bytes.length === b.bytes.length && a.id > b.id);
}

/** Index of the first message of the tier that has at most `bytes`. */
function firstNotLonger(tier: readonly Broadcast[], bytes: number): number {
  let low = 0;
  let high = tier.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((tier[middle] as Broadcast).bytes.length > bytes) low = middle + 1;
    else high = middle;
  }
  return low;
}
