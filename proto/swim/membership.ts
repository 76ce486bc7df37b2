import type { Address } from '../env.ts';
import { bytesToIp } from '../memberlist/address.ts';
import { encodeMessage } from '../memberlist/messages.ts';
import type { Accusation, Alive, PushPullNode } from '../memberlist/messages.ts';
import type { Banned } from './bans.ts';
import type { Awareness } from './awareness.ts';
import type { BroadcastQueue } from './broadcast-queue.ts';
import type { SwimContext } from './context.ts';
import type { Doubt } from './doubts.ts';
import type { Member, SwimEvent } from './interface.ts';
import type { MemberTable } from './member-table.ts';
import { incarnationOrder, nextIncarnation } from './incarnation.ts';
import { isUp } from './peer.ts';
import type { OwnPeer, Peer } from './peer.ts';
import { Suspicions } from './suspicions.ts';
import { delegateVersionBeside, normalVersions, speaksOurs } from './versions.ts';
import type { VersionHolder } from './versions.ts';

/**
 * Who is what: the rules for alive, suspect and dead messages, refutation and suspicion (gossip.md 2.2 to 2.6).
 *
 * Incarnations order what is said of a node; only the node itself raises its own. A suspect that is not refuted in time
 * is dead. Every change is broadcast and told to the layer above. The numbered steps are those of gossip.md 2.2.
 *
 * Any holder of the gossip key can say anything of anybody, so two things differ from memberlist. What is far from the
 * incarnation that we know counts only when the node itself says it, in a push/pull from its own address; else it is asked
 * (doubts.ts). And a name that has left moves to another address only after a time in which it could have refuted that.
 */
const NO_BYTES = new Uint8Array(0);
/** Whoever is there refutes that he has left within milliseconds; gossip that is lost comes again within seconds. */
const LEFT_MOVES_AFTER_MS = 10_000;
/** A conflict is told at most so often for each name. */
const CONFLICT_EVERY_MS = 60_000;

type MemberEvent = Extract<SwimEvent, { readonly member: Member }>;

interface MembershipParts {
  readonly table: MemberTable;
  readonly queue: BroadcastQueue;
  readonly awareness: Awareness;
  readonly self: OwnPeer;
  /** Hears of every change of another member, at once. */
  readonly onChange: (event: MemberEvent) => void;
  /** What was said of this node may be false or true: it is to be asked itself. */
  readonly onDoubt: (now: number, doubt: Doubt) => void;
}

export class Membership {
  readonly self: OwnPeer;
  readonly #context: SwimContext;
  readonly #table: MemberTable;
  readonly #queue: BroadcastQueue;
  readonly #awareness: Awareness;
  readonly #onChange: (event: MemberEvent) => void;
  readonly #onDoubt: (now: number, doubt: Doubt) => void;
  readonly #suspicions: Suspicions;
  #hasLeft = false;

  constructor(context: SwimContext, { table, queue, awareness, self, onChange, onDoubt }: MembershipParts) {
    this.#context = context;
    this.#table = table;
    this.#queue = queue;
    this.#awareness = awareness;
    this.#onChange = onChange;
    this.#onDoubt = onDoubt;
    this.self = self;
    const before = table.get(self.name);
    // The image tells of us too: then this is no new life, and nothing to announce.
    if (before !== undefined) self.incarnation = before.incarnation;
    table.add(self);
    this.#suspicions = new Suspicions(context, table, (now, name) => {
      const incarnation = table.get(name)?.incarnation ?? 0;
      this.dead(now, { node: name, from: self.name, incarnation });
    });
  }

  get hasLeft(): boolean {
    return this.#hasLeft;
  }

  /** What others hear first; they know us already when the member image has us. */
  start(now: number): void {
    this.self.stateChangeMs = now;
    if (this.self.incarnation === 0) this.announce(now);
  }

  /** Our first word: alive at incarnation 1, or a higher one when we come back after leaving. */
  announce(now: number): void {
    this.#hasLeft = false;
    this.self.incarnation = nextIncarnation(this.self.incarnation);
    this.#table.setState(now, this.self, 'alive');
    this.#broadcastSelf();
  }

  /** Our meta changed: others look only at a higher incarnation. */
  setMeta(meta: Uint8Array): void {
    this.self.meta = meta;
    this.self.incarnation = nextIncarnation(this.self.incarnation);
    if (!this.#hasLeft) this.#broadcastSelf();
  }

  /** Speaks the cluster's delegate version from now on, if these nodes want another. True when it changed. */
  adoptVersions(others: Iterable<VersionHolder>): boolean {
    if (this.#context.settings.isDelegateVersionPinned) return false;
    const current = this.self.vsn[5] as number;
    const wanted = delegateVersionBeside(current, others);
    if (wanted === current) return false;
    this.self.vsn = this.self.vsn.with(5, wanted);
    this.self.incarnation = nextIncarnation(this.self.incarnation);
    this.#broadcastSelf();
    return true;
  }

  /** `isItself`: it comes from the node's own address, by a stream. */
  alive(now: number, alive: Alive, isItself = false): void {
    const isSelf = alive.node === this.self.name;
    if (isSelf && this.#hasLeft) return; // 1
    const { bans } = this.#context;
    if (!isSelf && bans.hasName(alive.node)) return this.#context.counts.drop('banned');
    // Most of gossip is old news: this is steps 5 and 6 for it, without a look at the address as text.
    const known = this.#table.get(alive.node);
    if (known !== undefined && !isSelf && isOldNews(known, alive)) return;
    if (!speaksOurs(alive.vsn)) return this.#context.counts.drop('alive-versions'); // 2, 3
    const ip = bytesToIp(alive.addr ?? NO_BYTES);
    if (ip === undefined || alive.port === 0) return this.#context.counts.drop('alive-address');
    if (!isSelf && bans.at({ ip, port: alive.port }) !== undefined)
      return this.#context.counts.drop('banned');
    const peer = known ?? this.#create(now, alive, { ip, port: alive.port }); // 4
    if (peer === undefined) return;
    const hasMoved = peer.addr.ip !== ip || peer.addr.port !== alive.port; // 5
    if (hasMoved && !this.#mayMove(now, peer)) {
      this.#conflict(now, peer, { ip, port: alive.port });
      return;
    }
    const order = incarnationOrder(alive.incarnation, peer.incarnation);
    if (order === 'far' && !hasMoved && !isItself) return this.#doubt(now, peer);
    if ((order === 'older' || (order === 'same' && !isSelf)) && !hasMoved) return; // 6, 7
    this.#suspicions.cancel(peer.suspicion); // 8
    if (isSelf) {
      if (alive.incarnation !== peer.incarnation || !this.#isEchoOfSelf(alive))
        this.#refute(alive.incarnation); // 9, 10
      return;
    }
    this.#accept(now, peer, alive, hasMoved ? { ip, port: alive.port } : undefined); // 11, 12
  }

  suspect(now: number, accusation: Accusation): void {
    const known = this.#accused(now, accusation);
    if (known === undefined) return;
    if (known.suspicion !== undefined) {
      // Known already; a new voice may shorten the wait, and then others should hear it too.
      if (this.#suspicions.confirm(now, known.suspicion, accusation.from))
        this.#broadcastAccusation('suspect', accusation);
      return;
    }
    if (known.state !== 'alive') return;
    if (known === this.self) {
      this.#refute(accusation.incarnation);
      return;
    }
    const peer = this.#table.edit(known);
    // Broadcast as it came: the accuser's name is what makes confirmations independent.
    this.#broadcastAccusation('suspect', accusation);
    peer.incarnation = accusation.incarnation;
    this.#table.setState(now, peer, 'suspect');
    this.#suspicions.start(now, peer, accusation.from);
    this.#tell('suspect', peer);
  }

  dead(now: number, accusation: Accusation, isItself = false): void {
    const known = this.#accused(now, accusation, isItself);
    if (known === undefined) return;
    if (known === this.self) {
      // Our own leave comes here too, by leave(); anything else is untrue.
      if (!this.#hasLeft) this.#refute(accusation.incarnation);
      return;
    }
    this.#suspicions.cancel(known.suspicion);
    // Only a node itself says that it leaves.
    const isLeave = accusation.node === accusation.from;
    if (!isUp(known)) return;
    const peer = this.#table.edit(known);
    this.#broadcastAccusation('dead', accusation);
    peer.incarnation = accusation.incarnation;
    this.#table.setState(now, peer, isLeave ? 'left' : 'dead');
    this.#tell(isLeave ? 'left' : 'dead', peer);
  }

  /** These are members no more, and cannot become any; nothing is said of it, for others judge by themselves. */
  shutOut(now: number, banned: readonly Banned[]): void {
    const { bans } = this.#context;
    bans.set(banned, ({ name, addr }) => {
      const where = this.#table.get(name)?.addr ?? addr;
      const there = where && this.#table.atExactly(where);
      // Another host has its address by now.
      return there !== undefined && there.name !== name && isUp(there) ? undefined : where;
    });
    for (const { name } of banned) {
      const peer = this.#table.get(name);
      if (peer === undefined || peer === this.self) continue;
      this.#suspicions.cancel(peer.suspicion);
      const wasUp = isUp(peer);
      this.#table.setState(now, this.#table.edit(peer), 'left');
      if (wasUp) this.#tell('left', this.#table.get(name)!);
    }
    this.#table.startRound(({ name }) => name !== this.self.name && bans.hasName(name));
  }

  /** Says that we go. `onSaid` when the message has been sent as often as it is going to be. */
  leave(now: number, onSaid: () => void): void {
    const { name, incarnation } = this.self;
    this.#hasLeft = true;
    this.#table.setState(now, this.self, 'left');
    const bytes = encodeMessage({ type: 'dead', node: name, from: name, incarnation });
    this.#queue.add(name, bytes, onSaid);
  }

  /**
   * One node of a peer's push/pull; `isItself` for the peer's own entry. Dead is hearsay there: only a suspicion here
   * (gossip.md 2.10).
   */
  mergeNode(now: number, node: PushPullNode, isItself = false): void {
    const { name, incarnation, addr, meta, port, vsn } = node;
    const accusation = { node: name, incarnation };
    const known = this.#table.get(name);
    if (node.state === NODE_STATE.alive) {
      // Most of it, in a cluster that has converged.
      if (known !== undefined && known !== this.self && isOldNews(known, node)) return;
      this.alive(now, { node: name, incarnation, addr, meta, port, vsn }, isItself);
    } else if (node.state === NODE_STATE.left) this.dead(now, { ...accusation, from: name }, isItself);
    else this.suspect(now, { ...accusation, from: this.self.name });
  }

  /** See Suspicions. */
  postponeSuspicions(now: number, stallMs: number): void {
    this.#suspicions.postponeAll(now, stallMs);
  }

  #create(now: number, alive: Alive, addr: Address): OwnPeer | undefined {
    // Incarnation 0 is what an unknown node has: such a message could never make it alive.
    if (alive.incarnation === 0 || alive.node === '') {
      this.#context.counts.drop('alive-incarnation');
      return undefined;
    }
    if (this.#table.size >= this.#context.settings.maxMembers) {
      this.#context.counts.drop('members-full');
      return undefined;
    }
    const peer: OwnPeer = {
      name: alive.node,
      addr,
      addrBytes: NO_BYTES,
      meta: null,
      vsn: normalVersions(null),
      incarnation: 0,
      state: 'dead',
      stateChangeMs: now,
      suspicion: undefined,
      conflictAtMs: -Infinity,
      place: 0,
    };
    this.#table.add(peer);
    return peer;
  }

  /** Whom this is said of, if it may be true of what we know of him. */
  #accused(now: number, { node, incarnation }: Accusation, isItself = false): Peer | undefined {
    const known = this.#table.get(node);
    if (known === undefined) return undefined;
    const order = incarnationOrder(incarnation, known.incarnation);
    if (order !== 'far' || isItself) return order === 'older' ? undefined : known;
    this.#doubt(now, known);
    return undefined;
  }

  /** Of ourselves we know better. */
  #doubt(now: number, peer: Peer): void {
    this.#context.counts.drop('incarnation-far');
    if (peer !== this.self) this.#onDoubt(now, peer);
  }

  /** Else whoever takes a living node's name would take its traffic. */
  #mayMove(now: number, peer: Peer): boolean {
    if (peer === this.self) return false;
    const goneMs = now - peer.stateChangeMs;
    if (peer.state === 'left') return goneMs > LEFT_MOVES_AFTER_MS;
    const { reclaimMs } = this.#context.settings;
    return peer.state === 'dead' && reclaimMs > 0 && goneMs > reclaimMs;
  }

  /** Two hosts have one name: for an operator to sort out. The first keeps it. */
  #conflict(now: number, peer: Peer, other: Address): void {
    this.#context.counts.drop('name-conflict');
    if (peer.state === 'left') {
      const { name, addr, stateChangeMs } = peer;
      this.#onDoubt(now, { name, addr });
      this.#onDoubt(now, { name, addr: other, waitMs: stateChangeMs + LEFT_MOVES_AFTER_MS - now });
    }
    if (now - peer.conflictAtMs < CONFLICT_EVERY_MS) return;
    this.#table.edit(peer).conflictAtMs = now;
    this.#context.events.push({ type: 'conflict', existing: this.#table.memberOf(peer), other });
  }

  /** Takes over all that a node says of itself. */
  #accept(now: number, known: Peer, alive: Alive, movedTo: Address | undefined): void {
    const peer = this.#table.edit(known);
    const { state } = peer;
    const isNews = movedTo !== undefined || !sameBytes(peer.meta, alive.meta);
    // The views point into a packet; what stays is copied.
    const addrBytes = (alive.addr ?? NO_BYTES).slice();
    if (movedTo !== undefined) this.#table.move(peer, movedTo, addrBytes);
    peer.addrBytes = addrBytes;
    peer.meta = alive.meta && alive.meta.slice();
    peer.vsn = normalVersions(alive.vsn);
    peer.incarnation = alive.incarnation;
    this.#queue.add(peer.name, encodeMessage({ type: 'alive', ...alive }));
    this.#table.setState(now, peer, 'alive');
    if (state !== 'alive' && state !== 'suspect') this.#tell('join', peer);
    else if (isNews) this.#tell('update', peer);
    if (state === 'suspect') this.#tell('alive', peer);
    // It may have come by gossip, from a cluster that speaks another delegate version.
    this.adoptVersions([{ name: peer.name, isAlive: true, vsn: peer.vsn }]);
  }

  #isEchoOfSelf(alive: Alive): boolean {
    return sameBytes(alive.meta, this.self.meta) && sameBytes(alive.vsn, this.self.vsn);
  }

  /** Outbids what is said of us (gossip.md 2.5). */
  #refute(accused: number): void {
    this.#context.counts.add('refute');
    // It is none of the older ones.
    this.self.incarnation = nextIncarnation(accused);
    this.#awareness.apply(1);
    this.#broadcastSelf();
  }

  #broadcastSelf(): void {
    const { name, addr, addrBytes, incarnation, meta, vsn } = this.self;
    const alive = { node: name, addr: addrBytes, port: addr.port, incarnation, meta, vsn };
    this.#queue.add(name, encodeMessage({ type: 'alive', ...alive }));
  }

  #broadcastAccusation(type: 'suspect' | 'dead', accusation: Accusation): void {
    this.#queue.add(accusation.node, encodeMessage({ type, ...accusation }));
  }

  #tell(type: MemberEvent['type'], peer: Peer): void {
    const event: MemberEvent = { type, member: this.#table.memberOf(peer) };
    this.#context.events.push(event);
    this.#onChange(event);
  }
}

/** The State field of a push/pull node. */
export const NODE_STATE = { alive: 0, suspect: 1, dead: 2, left: 3 } as const;

function isOldNews(known: Peer, { addr, port, incarnation }: Alive | PushPullNode): boolean {
  const order = incarnationOrder(incarnation, known.incarnation);
  return (
    (order === 'same' || order === 'older') && port === known.addr.port && sameBytes(addr, known.addrBytes)
  );
}

/** nil and empty are equal, or a node would refute its own echo (gossip.md 1.2). */
function sameBytes(a: Uint8Array | null, b: Uint8Array | null): boolean {
  if (a === b) return true;
  const left = a ?? NO_BYTES;
  const right = b ?? NO_BYTES;
  if (left.length !== right.length) return false;
  for (let i = 0; i < left.length; i++) if (left[i] !== right[i]) return false;
  return true;
}
