import type { Address, FaultInjector, Rng } from '../env.ts';
import { ipToBytes } from '../memberlist/address.ts';
import { decodeMessage } from '../memberlist/messages.ts';
import type { Message } from '../memberlist/messages.ts';
import { openPacket } from '../memberlist/packet.ts';
import { WireError } from '../memberlist/wire-error.ts';
import { Awareness } from './awareness.ts';
import { Bans } from './bans.ts';
import type { Banned } from './bans.ts';
import { BroadcastQueue } from './broadcast-queue.ts';
import { Counts, Fifo, IN_KEY, dropBanned } from './context.ts';
import type { SwimContext } from './context.ts';
import { Doubts } from './doubts.ts';
import { Exchange } from './exchange.ts';
import type {
  Member,
  StreamAction,
  SwimCounters,
  SwimDelegate,
  SwimEvent,
  SwimNode,
  Transmit,
} from './interface.ts';
import { MemberTable } from './member-table.ts';
import { Membership } from './membership.ts';
import { checkMeta, settingsOf } from './options.ts';
import type { SwimOptions, SwimSettings } from './options.ts';
import { PacketSender } from './packet-sender.ts';
import type { OwnPeer } from './peer.ts';
import { Prober } from './prober.ts';
import { Rejoin } from './rejoin.ts';
import { Sealing } from './sealing.ts';
import type { SealingDeps } from './sealing.ts';
import { Strangers } from './strangers.ts';
import { TimerHeap } from './timer-heap.ts';
import { ownVersions } from './versions.ts';
import { Wheels } from './wheels.ts';

/**
 * A memberlist member (protocol 1 to 5, speaking 2) as a pure object; the contract is in interface.ts. This file puts
 * the parts together and hands out what comes; the rules are in membership.ts, prober.ts, exchange.ts, rejoin.ts.
 *
 * Deterministic: the same options, seed and calls give the same packets. Starts with the first handle or command.
 * With `sealing` among the deps packets and streams are sealed (sealing.ts).
 */
export interface SwimDeps {
  readonly rng: Rng;
  readonly delegate: SwimDelegate;
  readonly sealing?: SealingDeps | undefined;
  /** In simulations only. */
  readonly fault?: FaultInjector | undefined;
}

export class Swim implements SwimNode {
  readonly #settings: SwimSettings;
  readonly #context: SwimContext;
  readonly #timers = new TimerHeap();
  readonly #transmits = new Fifo<Transmit>();
  readonly #streamActions = new Fifo<StreamAction>();
  readonly #events = new Fifo<SwimEvent>();
  readonly #counts = new Counts();
  readonly #queue = new BroadcastQueue();
  readonly #awareness: Awareness;
  readonly #table: MemberTable;
  readonly #membership: Membership;
  readonly #sender: PacketSender;
  readonly #exchange: Exchange;
  readonly #prober: Prober;
  readonly #rejoin: Rejoin;
  readonly #doubts: Doubts;
  readonly #strangers: Strangers;
  readonly #wheels: Wheels;
  #isStarted = false;
  /** Since the deadlines were last seen to. */
  #isStallNoted = false;

  /** Throws RangeError for options that no cluster would accept. */
  constructor(options: SwimOptions, { rng, delegate, sealing, fault }: SwimDeps) {
    const settings = settingsOf(options);
    this.#settings = settings;
    this.#table = new MemberTable(rng, options.image);
    this.#context = {
      settings,
      rng,
      delegate,
      timers: this.#timers,
      transmits: this.#transmits,
      streamActions: this.#streamActions,
      events: this.#events,
      counts: this.#counts,
      sealing: sealing && this.#sealing(sealing, rng),
      known: this.#table,
      fault,
      bans: new Bans(),
    };
    this.#awareness = new Awareness(settings.awarenessMax);
    this.#membership = new Membership(this.#context, {
      table: this.#table,
      queue: this.#queue,
      awareness: this.#awareness,
      self: selfOf(settings),
      onChange: ({ member }) => this.#rejoin.memberChanged(member),
      onDoubt: (now, doubt) => this.#doubts.ask(now, doubt),
    });
    this.#sender = new PacketSender(this.#context, this.#queue, this.#table);
    this.#exchange = new Exchange(this.#context, this.#table, this.#membership);
    this.#doubts = new Doubts(this.#context, this.#membership, this.#exchange);
    this.#strangers = new Strangers(this.#context, {
      table: this.#table,
      membership: this.#membership,
      exchange: this.#exchange,
    });
    this.#prober = new Prober(this.#context, {
      table: this.#table,
      membership: this.#membership,
      sender: this.#sender,
      exchange: this.#exchange,
      awareness: this.#awareness,
      onStranger: (now, addr) => this.#strangers.spoke(now, addr),
    });
    this.#wheels = new Wheels(this.#context, {
      table: this.#table,
      membership: this.#membership,
      sender: this.#sender,
      exchange: this.#exchange,
      prober: this.#prober,
      awareness: this.#awareness,
    });
    this.#rejoin = new Rejoin(this.#context, {
      table: this.#table,
      membership: this.#membership,
      exchange: this.#exchange,
      prober: this.#prober,
    });
  }

  get self(): Member {
    return this.#table.memberOf(this.#membership.self);
  }

  get userPacketBytes(): number {
    return this.#sender.userBytes;
  }

  /** Alive or suspect, ourselves included. */
  get upCount(): number {
    return this.#table.upCount;
  }

  members(): readonly Member[] {
    return Array.from(this.#table.all(), (peer) => this.#table.memberOf(peer));
  }

  member(name: string): Member | undefined {
    const peer = this.#table.get(name);
    return peer && this.#table.memberOf(peer);
  }

  counters(): SwimCounters {
    return { counts: this.#counts.map, healthScore: this.#awareness.score };
  }

  /** Anything may come in here: what cannot be read is counted under `drop:packet-…` or `drop:message-…`. */
  handleDatagram(now: number, bytes: Uint8Array, from: Address): void {
    this.#enter(now);
    // Nothing can be answered there, and no honest host sends from there.
    if (from.port === 0) return this.#counts.drop('source-port');
    const banned = this.#context.bans.at(from);
    if (banned !== undefined) return dropBanned(this.#context, now, banned);
    try {
      const open = this.#context.sealing?.packetOpener(now, from);
      const { parts, missingParts } = openPacket(bytes, this.#settings.label, open);
      if (missingParts > 0) this.#counts.add('drop:compound-truncated', missingParts);
      for (const part of parts) this.#handlePart(now, part, from);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#counts.drop(`packet-${error.reason}`);
    }
  }

  handleStreamOpen(now: number, id: number, from: Address): void {
    this.#enter(now);
    const banned = this.#context.bans.atIp(from.ip);
    if (banned === undefined || this.#table.isAnyUpAt(from.ip)) {
      this.#exchange.streams.handleOpen(now, id, from);
      return;
    }
    dropBanned(this.#context, now, banned);
    this.#streamActions.push({ type: 'close', id });
  }

  handleStreamConnect(now: number, id: number): void {
    this.#enter(now);
    this.#exchange.streams.handleConnect(id);
  }

  handleStreamData(now: number, id: number, bytes: Uint8Array): void {
    this.#enter(now);
    this.#exchange.streams.handleData(now, id, bytes);
  }

  handleStreamEnd(now: number, id: number, error: string | undefined): void {
    this.#enter(now);
    this.#exchange.streams.handleEnd(now, id, error);
  }

  handleDeadline(now: number): void {
    this.#enter(now);
    this.#timers.runDue(now);
    this.#wheels.gossipIfDue(now);
    this.#isStallNoted = false;
  }

  nextDeadline(): number {
    return this.#isStarted ? Math.min(this.#timers.nextMs(), this.#wheels.nextGossipMs) : 0;
  }

  pollTransmit(): Transmit | undefined {
    return this.#transmits.take();
  }

  pollStream(): StreamAction | undefined {
    return this.#streamActions.take();
  }

  pollEvent(): SwimEvent | undefined {
    return this.#events.take();
  }

  /** Also the way back after a leave, under a higher incarnation. */
  join(now: number, addresses: readonly Address[]): void {
    this.#enter(now);
    if (this.#membership.hasLeft) this.#membership.announce(now);
    for (const addr of addresses) {
      this.#exchange.pushPull(now, addr, true, (_later, error) => {
        this.#events.push({ type: 'join-result', addr, error });
      });
    }
  }

  leave(now: number): void {
    this.#enter(now);
    if (this.#membership.hasLeft) return;
    // Done by whichever comes first: said often enough, nobody to say it to, or the time is up.
    let isDone = false;
    const done = (): void => {
      if (!isDone) this.#events.push({ type: 'leave-done' });
      isDone = true;
    };
    this.#membership.leave(now, done);
    // What it would find out is no longer ours to tell.
    this.#prober.abandon();
    if (this.#table.upCount === 0) done();
    this.#timers.at(now + this.#settings.leaveTimeoutMs, done);
    this.#wheels.hurryLeave(now, () => !isDone && this.#membership.hasLeft);
  }

  setSeeds(now: number, seeds: readonly Address[]): void {
    this.#enter(now);
    this.#rejoin.setSeeds(now, seeds);
  }

  setKnown(now: number, known: readonly Address[]): void {
    this.#enter(now);
    this.#rejoin.setKnown(now, known);
  }

  setBans(now: number, bans: readonly Banned[]): void {
    if (bans === this.#context.bans.list) return;
    this.#enter(now);
    this.#membership.shutOut(now, bans);
    for (const { name } of bans) this.#rejoin.forget(name);
  }

  /** Throws RangeError above 512 bytes: others would drop us for it. */
  setMeta(now: number, meta: Uint8Array): void {
    this.#enter(now);
    checkMeta(meta);
    this.#membership.setMeta(meta);
  }

  sendUser(now: number, to: Address, bytes: Uint8Array): void {
    this.#enter(now);
    this.#sender.sendUser(to, bytes);
  }

  sendUserReliable(now: number, to: Address, bytes: Uint8Array): void {
    this.#enter(now);
    this.#exchange.sendUser(now, to, bytes);
  }

  #sealing(deps: SealingDeps, rng: Rng): Sealing {
    const { label, maxMembers } = this.#settings;
    const shared = { counts: this.#counts, events: this.#events, table: this.#table };
    return new Sealing(deps, { rng, label, maxMembers, ...shared });
  }

  #handlePart(now: number, part: Uint8Array, from: Address): void {
    let message: Message;
    try {
      message = decodeMessage(part);
    } catch (error) {
      // One bad part does not spoil the packet's others.
      if (!(error instanceof WireError)) throw error;
      this.#counts.drop(`message-${error.reason}`);
      return;
    }
    this.#counts.add(IN_KEY[part[0] as number] as string);
    this.#handleMessage(now, message, from);
  }

  #handleMessage(now: number, message: Message, from: Address): void {
    switch (message.type) {
      case 'ping':
        return this.#prober.handlePing(now, message, from);
      case 'indirectPing':
        return this.#prober.handleIndirectPing(now, message, from);
      case 'ack':
        return this.#prober.handleAck(now, message, from);
      case 'nack':
        return this.#prober.handleNack(message, from);
      case 'alive':
        return this.#membership.alive(now, message);
      case 'suspect':
        return this.#membership.suspect(now, message);
      case 'dead':
        return this.#membership.dead(now, message);
      case 'user': {
        // The event outlives the caller's buffer.
        const bytes = message.bytes.slice();
        const node = this.#table.at(from)?.name;
        if (node === undefined) this.#strangers.spoke(now, from);
        this.#events.push({ type: 'user', bytes, addr: from, node, reliable: false });
        return;
      }
      default:
        // err: a stream's message.
        this.#counts.drop('message-on-wrong-transport');
    }
  }

  /** Before anything else: the first start, and whether we were stopped for long since the last call. */
  #enter(now: number): void {
    if (!this.#isStarted) {
      this.#isStarted = true;
      this.#membership.start(now);
      this.#wheels.start(now);
      this.#rejoin.start(now);
      return;
    }
    this.#wheels.skipQuietRounds(now);
    if (!this.#settings.lifeguard) return;
    // A host that is well sees to its deadlines in time.
    const lateMs = now - this.#settings.probeTimeoutMs;
    if (this.#wheels.isGossipAfter(lateMs) && this.#timers.nextMs() >= lateMs) return;
    const stallMs = now - this.nextDeadline();
    if (stallMs <= this.#settings.probeTimeoutMs || this.#isStallNoted) return;
    this.#isStallNoted = true;
    this.#wheels.recover(now, stallMs);
  }
}

/** Incarnation 0 until `announce`: the first that others hear of is 1. */
function selfOf({ name, addr, meta, delegateVersion }: SwimSettings): OwnPeer {
  return {
    name,
    addr,
    addrBytes: ipToBytes(addr.ip) ?? new Uint8Array(0),
    meta,
    vsn: ownVersions(delegateVersion),
    incarnation: 0,
    state: 'alive',
    stateChangeMs: 0,
    suspicion: undefined,
    conflictAtMs: -Infinity,
    place: 0,
  };
}
