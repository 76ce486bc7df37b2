/**
 * Who says what all know: a definition or a removal lives as long as the cluster, whoever dies, and is yet said by few.
 *
 * Each of them is said by its author, while that host lives, and by the first living hosts by name, so that two do. Where
 * fewer do, the others step in, each after a time that grows with its place in the order, and withdraw when those whose
 * turn it is have taken over. A host that was away so brings back what only it knows.
 */
const COPIES = 2;
/** After a start: those who say it may not have been met yet. */
const QUIET_START_MS = 10_000;
const STEP_MS = 500;
const STEPS_MAX = 60;
/** How long the others have to be seen saying it before one of more than enough stops. */
const OVERLAP_MS = 30_000;

export interface Item {
  /** Of the one record that says it. */
  readonly key: string;
  readonly author: string;
}

export interface Sayers {
  readonly self: string;
  /** Living hosts that speak the state protocol, us among them. */
  readonly live: readonly string[];
  /** Who says it, us included, by key. */
  readonly saying: ReadonlyMap<string, ReadonlySet<string>>;
}

export interface Plan {
  readonly say: readonly string[];
  readonly stop: readonly string[];
  /** When to look again, if nothing happens before. */
  readonly nextMs: number;
}

interface Waiting {
  readonly what: 'say' | 'stop';
  readonly sinceMs: number;
}

const NOBODY: ReadonlySet<string> = new Set();

export class Announcing {
  readonly #startMs: number;
  readonly #waiting = new Map<string, Waiting>();

  constructor(now: number) {
    this.#startMs = now;
  }

  plan(now: number, items: Iterable<Item>, { self, live, saying }: Sayers): Plan {
    const alive = new Set(live);
    const order = [...alive].sort();
    const place = Math.min(order.indexOf(self), STEPS_MAX);
    const plan = { say: [] as string[], stop: [] as string[], nextMs: Infinity };
    const before = new Map(this.#waiting);
    this.#waiting.clear();
    for (const { key, author } of items) {
      const sayers = saying.get(key) ?? NOBODY;
      const turn = whoseTurn(author, alive, order);
      const want = wanted(self, author, turn, sayers, alive);
      if (want === undefined) continue;
      const known = before.get(key);
      const waiting = known?.what === want ? known : { what: want, sinceMs: now };
      const dueMs = this.#dueMs(waiting, author === self, turn.includes(self) ? 0 : place);
      if (now >= dueMs) plan[want].push(key);
      else {
        this.#waiting.set(key, waiting);
        plan.nextMs = Math.min(plan.nextMs, dueMs);
      }
    }
    return plan;
  }

  #dueMs({ what, sinceMs }: Waiting, isOurs: boolean, place: number): number {
    if (what === 'stop') return sinceMs + OVERLAP_MS;
    return isOurs ? sinceMs : Math.max(sinceMs, this.#startMs + QUIET_START_MS) + place * STEP_MS;
  }
}

function whoseTurn(author: string, alive: ReadonlySet<string>, order: readonly string[]): readonly string[] {
  if (!alive.has(author)) return order.slice(0, COPIES);
  const others = order.slice(0, COPIES).filter((name) => name !== author);
  return [author, ...others.slice(0, COPIES - 1)];
}

function wanted(
  self: string,
  author: string,
  turn: readonly string[],
  sayers: ReadonlySet<string>,
  alive: ReadonlySet<string>,
): Waiting['what'] | undefined {
  if (sayers.has(self)) {
    const isOneTooMany = self !== author && !turn.includes(self) && turn.every((name) => sayers.has(name));
    return isOneTooMany ? 'stop' : undefined;
  }
  if (turn.includes(self)) return 'say';
  let others = 0;
  for (const name of sayers) if (alive.has(name)) others++;
  return others < COPIES ? 'say' : undefined;
}
