/**
 * Life cycle of owners as membership tells it (gossip.md 7.8).
 *
 *   alive ── dead ──► held (30 s, loses to any live claim) ──► hidden (24 h) ──► removed
 *   alive ── left ──► removed, its epoch remembered 48 h, so that late deltas cannot bring it back
 *
 * An owner of whom we have records before membership has told us of it is `unknown`: kept like hidden, not visible.
 * Membership is the one source of liveness.
 */
export type Liveness = 'alive' | 'held' | 'hidden' | 'unknown';

interface Owner {
  liveness: Liveness;
  /** Speaks the state protocol. */
  speaks: boolean;
  /** When held ends, or hidden and unknown end. */
  untilMs: number;
}

/** What follows for the records of an owner. */
export interface OwnerEvent {
  readonly owner: string;
  /** `changed`: look again at all its records; `removed`: they go. */
  readonly type: 'changed' | 'removed';
}

const KEEP_HIDDEN_MS = 24 * 3_600_000;
const REMEMBER_LEFT_MS = 48 * 3_600_000;
const LEFT_MAX = 65_536;

export class Owners {
  readonly #self: string;
  readonly #deadHoldMs: number;
  readonly #owners = new Map<string, Owner>();
  readonly #left = new Map<string, { epoch: bigint; untilMs: number }>();
  #next = Infinity;
  /** Nothing that the owner says counts (Identities.isVoidName): it is seen as hidden whatever membership says. */
  isVoid: (owner: string) => boolean = () => false;

  constructor(self: string, deadHoldMs: number) {
    this.#self = self;
    this.#deadHoldMs = deadHoldMs;
  }

  /** Owners that we know of, in whatever state; us not among them. */
  get size(): number {
    return this.#owners.size;
  }

  liveness(owner: string): Liveness {
    if (owner === this.#self) return 'alive';
    if (this.isVoid(owner)) return 'hidden';
    return this.#owners.get(owner)?.liveness ?? 'unknown';
  }

  /** Membership has told us of it, and it has not been gone for long; we are one too. */
  isMember(owner: string): boolean {
    const known = this.#owners.get(owner);
    return owner === this.#self || (known !== undefined && known.liveness !== 'unknown');
  }

  isVisible(owner: string): boolean {
    const liveness = this.liveness(owner);
    return liveness === 'alive' || liveness === 'held';
  }

  /** Alive and speaking the state protocol: we may send to it. */
  isPeer(owner: string): boolean {
    const known = this.#owners.get(owner);
    return known?.liveness === 'alive' && known.speaks && !this.isVoid(owner);
  }

  /** Live members that speak the state protocol, us not among them. */
  *peers(): Generator<string> {
    for (const [name, owner] of this.#owners)
      if (owner.liveness === 'alive' && owner.speaks && !this.isVoid(name)) yield name;
  }

  /** Whether records of this owner and epoch may come in at all. */
  accepts(owner: string, epoch: bigint): boolean {
    if (this.isVoid(owner)) return false;
    const left = this.#left.get(owner);
    return left === undefined || epoch > left.epoch || this.liveness(owner) === 'alive';
  }

  /** We have records of it: it is known from now on, if only for a day. */
  noteRecords(now: number, owner: string): void {
    if (owner !== this.#self && !this.#owners.has(owner))
      this.#set(owner, 'unknown', false, now + KEEP_HIDDEN_MS);
  }

  alive(owner: string, epoch: bigint | undefined): { event: OwnerEvent | undefined; isNew: boolean } {
    const before = this.#owners.get(owner);
    this.#left.delete(owner);
    this.#set(owner, 'alive', epoch !== undefined, Infinity);
    const isNew = before?.liveness !== 'alive' || !before.speaks;
    const event: OwnerEvent | undefined =
      before === undefined || before.liveness === 'alive' ? undefined : { owner, type: 'changed' };
    return { event, isNew };
  }

  dead(now: number, owner: string): OwnerEvent | undefined {
    const before = this.#owners.get(owner);
    if (before === undefined || before.liveness === 'held' || before.liveness === 'hidden') return undefined;
    const wasVisible = before.liveness === 'alive';
    this.#set(
      owner,
      wasVisible ? 'held' : 'hidden',
      before.speaks,
      now + (wasVisible ? this.#deadHoldMs : KEEP_HIDDEN_MS),
    );
    return wasVisible ? { owner, type: 'changed' } : undefined;
  }

  /** `epoch` is the highest we know of it. */
  left(now: number, owner: string, epoch: bigint): OwnerEvent {
    this.#owners.delete(owner);
    this.#remember(now, owner, epoch);
    return { owner, type: 'removed' };
  }

  handleDeadline(now: number, epochOf: (owner: string) => bigint): OwnerEvent[] {
    if (now < this.#next) return [];
    const events: OwnerEvent[] = [];
    for (const [name, owner] of this.#owners) {
      if (owner.untilMs > now) continue;
      if (owner.liveness === 'held') {
        this.#set(name, 'hidden', owner.speaks, now + KEEP_HIDDEN_MS);
        events.push({ owner: name, type: 'changed' });
      } else {
        events.push(this.left(now, name, epochOf(name)));
      }
    }
    for (const [name, { untilMs }] of this.#left) if (untilMs <= now) this.#left.delete(name);
    this.#next = this.#earliest();
    return events;
  }

  nextDeadline(): number {
    return this.#next;
  }

  #set(name: string, liveness: Liveness, speaks: boolean, untilMs: number): void {
    this.#owners.set(name, { liveness, speaks, untilMs });
    this.#next = Math.min(this.#next, untilMs);
  }

  #remember(now: number, owner: string, epoch: bigint): void {
    this.#left.delete(owner);
    this.#left.set(owner, { epoch, untilMs: now + REMEMBER_LEFT_MS });
    this.#next = Math.min(this.#next, now + REMEMBER_LEFT_MS);
    if (this.#left.size > LEFT_MAX) this.#left.delete(this.#left.keys().next().value!);
  }

  #earliest(): number {
    let next = Infinity;
    for (const { untilMs } of this.#owners.values()) next = Math.min(next, untilMs);
    for (const { untilMs } of this.#left.values()) next = Math.min(next, untilMs);
    return next;
  }
}
