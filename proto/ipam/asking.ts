/**
 * Whom to ask for addresses, one after the other: the host with most free space as its record says, then the next. Who
 * refuses or is silent is passed over; when all have been asked there is a pause, longer each time.
 */
import type { Block } from './block.ts';
import { anyHolds } from './block.ts';
import type { Refusal } from './ask.ts';
import { isEarlier, isSameLineage } from './estate.ts';
import type { Lineage } from './estate.ts';
import type { Holding } from './holding.ts';

/** A gift takes two writes to disk and three messages. */
const ANSWER_MS = 1_500;
const PAUSE_MIN_MS = 250;
const PAUSE_MAX_MS = 10_000;
const REASONS_MAX = 64;

export interface Question {
  readonly to: string;
  readonly address: bigint | undefined;
}

export class Asking {
  readonly #holding: Holding;
  readonly #tried = new Set<string>();
  readonly #reasons = new Map<string, Refusal | 'silent'>();
  #asked: string | undefined;
  #untilMs = -Infinity;
  #pauseMs = PAUSE_MIN_MS;
  #rounds = 0;

  constructor(holding: Holding) {
    this.#holding = holding;
  }

  /** What the hosts answered that were asked last. */
  get reasons(): ReadonlyMap<string, Refusal | 'silent'> {
    return this.#reasons;
  }

  /** How often all have been asked. */
  get rounds(): number {
    return this.#rounds;
  }

  /** There is enough again. */
  reset(): void {
    this.#tried.clear();
    this.#reasons.clear();
    this.#asked = undefined;
    this.#untilMs = -Infinity;
    this.#pauseMs = PAUSE_MIN_MS;
    this.#rounds = 0;
  }

  refused(now: number, from: string, reason: Refusal): void {
    if (from !== this.#asked) return;
    this.#note(from, reason);
    this.#asked = undefined;
    this.#untilMs = now;
  }

  #note(from: string, reason: Refusal | 'silent'): void {
    this.#reasons.delete(from);
    this.#reasons.set(from, reason);
    if (this.#reasons.size > REASONS_MAX) this.#reasons.delete(this.#reasons.keys().next().value!);
  }

  /** To be sent now, if it is time. */
  poll(now: number, alive: ReadonlySet<string>, address: bigint | undefined): Question | undefined {
    if (now < this.#untilMs) return undefined;
    if (this.#asked !== undefined) this.#note(this.#asked, 'silent');
    this.#asked = undefined;
    const to = this.#donors(alive, address).find((name) => !this.#tried.has(name));
    if (to === undefined) {
      this.#rounds++;
      this.#tried.clear();
      this.#untilMs = now + this.#pauseMs;
      this.#pauseMs = Math.min(this.#pauseMs * 2, PAUSE_MAX_MS);
      return undefined;
    }
    this.#tried.add(to);
    this.#asked = to;
    this.#untilMs = now + ANSWER_MS;
    return { to, address };
  }

  nextDeadline(): number {
    return this.#untilMs;
  }

  #donors(alive: ReadonlySet<string>, address: bigint | undefined): string[] {
    const lineage = this.#holding.lineage ?? earliest(this.#holding);
    if (lineage === undefined) return [];
    const donors: { name: string; freeBits: number; own: readonly Block[] }[] = [];
    for (const [name, { estate: record }] of this.#holding.peers) {
      if (record?.lineage === undefined || !isSameLineage(record.lineage, lineage)) continue;
      if (alive.has(name) && name !== this.#holding.self)
        donors.push({ name, freeBits: record.freeBits, own: record.estate.own });
    }
    return donors
      .filter(({ own }) => address === undefined || anyHolds(own, address))
      .sort((a, b) => b.freeBits - a.freeBits || (a.name < b.name ? -1 : 1))
      .map(({ name }) => name);
  }
}

/** Of all foundings that are known. */
function earliest({ peers }: Holding): Lineage | undefined {
  let first: Lineage | undefined;
  for (const { estate } of peers.values()) {
    const lineage = estate?.lineage;
    if (lineage !== undefined && (first === undefined || isEarlier(lineage, first))) first = lineage;
  }
  return first;
}
