import type { Address } from '../env.ts';
import { bytesToIp } from '../memberlist/address.ts';
import type { Accusation, Ack, IndirectPing, Nack, Ping } from '../memberlist/messages.ts';
import type { Awareness } from './awareness.ts';
import type { SwimContext } from './context.ts';
import type { Exchange } from './exchange.ts';
import type { MemberTable } from './member-table.ts';
import type { Membership } from './membership.ts';
import type { PacketSender } from './packet-sender.ts';
import { addressKey, isSameAddress, isUp } from './peer.ts';
import type { Peer } from './peer.ts';
import type { Timer } from './timer-heap.ts';
import { SPEAKS, maxProtocol } from './versions.ts';

/**
 * The failure detector (gossip.md 2.8): one node per interval in a shuffled round; ping, then at half time pings by
 * relays and one over TCP; no answer until the (health-scaled) end makes a suspicion. And the other side of all three.
 */
interface Probe {
  readonly peer: Peer;
  /** As it was when the probe began: a life that was announced meanwhile is not what was probed. */
  readonly incarnation: number;
  /** Also that of the indirect pings and of the TCP ping for it. */
  readonly seqNo: number;
  readonly sentMs: number;
  readonly endMs: number;
  readonly timers: Timer[];
  /** Relays were asked: an answer may be theirs, and tells no round trip. */
  isIndirect: boolean;
  /** An ack over TCP: the peer lives, its UDP does not. */
  tcpAcked: boolean;
  expectedNacks: number;
  /** Relays that said so, each once: a packet that came twice must not stand for a relay that is silent. */
  readonly nacks: Set<string>;
}

/** An indirect ping that we do for another member. */
interface Relay {
  readonly asker: Address;
  readonly askerPeer: Peer | undefined;
  /** The asker's, for the answer; our own ping has one of ours. */
  readonly seqNo: number;
}

/**
 * A relay gives its nack after this share of the probe time-out. The asker waits exactly as long as a relay would at
 * most: a nack at the very end is always late, and who finds a dead host would hold itself sick.
 */
const NACK_SHARE = 0.8;

/** Whom to ask whether it lives, and what is said of it. */
export type Contact = Pick<Accusation, 'incarnation'> & { readonly name: string; readonly addr: Address };

export interface ProberParts {
  readonly table: MemberTable;
  readonly membership: Membership;
  readonly sender: PacketSender;
  readonly exchange: Exchange;
  readonly awareness: Awareness;
  /** Somebody pings us whom we do not know, or hold gone. */
  readonly onStranger: (now: number, addr: Address) => void;
}

/** Indirect pings done for others at once; each lasts one probe time-out. */
const MAX_RELAYS = 1024;

export class Prober {
  readonly #context: SwimContext;
  readonly #table: MemberTable;
  readonly #membership: Membership;
  readonly #sender: PacketSender;
  readonly #exchange: Exchange;
  readonly #awareness: Awareness;
  readonly #onStranger: (now: number, addr: Address) => void;
  #seqNo: number;
  #probe: Probe | undefined;
  readonly #relays = new Map<number, Relay>();
  /** Pings to members held dead: what to do when they answer. */
  readonly #contacts = new Map<number, (now: number) => void>();

  constructor(
    context: SwimContext,
    { table, membership, sender, exchange, awareness, onStranger }: ProberParts,
  ) {
    this.#context = context;
    this.#table = table;
    this.#membership = membership;
    this.#sender = sender;
    this.#exchange = exchange;
    this.#awareness = awareness;
    this.#onStranger = onStranger;
    // Where it starts is hard to guess, so that answers are hard to forge from afar.
    this.#seqNo = context.rng.u32();
  }

  /** One probe interval has passed. */
  tick(now: number): void {
    if (this.#probe !== undefined || this.#membership.hasLeft) return;
    const target = this.#nextTarget(now);
    if (target !== undefined) this.#start(now, target);
  }

  /** We were stopped: what the probe under way has missed says nothing about its target. */
  abandon(): void {
    if (this.#probe !== undefined) this.#finish(this.#probe);
  }

  /** Pings a member that is held dead, and tells it so: if it lives it refutes at once. Late answers are dropped. */
  contact(
    now: number,
    { name, addr, incarnation }: Contact,
    waitMs: number,
    onAnswer: (now: number) => void,
  ): void {
    const seqNo = this.#nextSeqNo();
    this.#contacts.set(seqNo, onAnswer);
    this.#context.timers.at(now + waitMs, () => this.#contacts.delete(seqNo));
    const dead = { type: 'dead', node: name, from: this.#membership.self.name, incarnation } as const;
    // The accusation first: what it answers may carry the refutation already.
    this.#sender.sendPlain(addr, [dead, { type: 'ping', ...this.#ping(name, seqNo) }], undefined);
  }

  handlePing(now: number, ping: Ping, from: Address): void {
    // For who had this address before us: an answer would keep a dead name alive.
    if (ping.node !== this.#membership.self.name) {
      this.#context.counts.drop('ping-for-other');
      return;
    }
    const source = ping.sourceNode === '' ? undefined : this.#table.get(ping.sourceNode);
    const ack = { type: 'ack', seqNo: ping.seqNo, payload: this.#ackPayload(now, source) } as const;
    const to = sourceAddress(ping, from);
    const isUnknown = source === undefined || !isUp(source);
    if (isUnknown && ping.sourceNode !== '') this.#onStranger(now, to);
    if (source !== undefined && source !== this.#membership.self && this.#shouldHear(source)) {
      // It may not know what is said of it, and nobody else will tell it soon (gossip.md, trap 8).
      const type = isUp(source) ? 'suspect' : 'dead';
      this.#sender.sendPlain(to, [ack, { type, ...this.#accusation(source) }], undefined);
    } else {
      this.#sender.send(now, to, ack, source);
    }
  }

  handleIndirectPing(now: number, ask: IndirectPing, from: Address): void {
    const { self } = this.#membership;
    const ip = bytesToIp(ask.target ?? new Uint8Array(0));
    const isFull = this.#relays.size >= MAX_RELAYS || this.#context.fault?.('relay.busy') === true;
    if (ip === undefined || isFull) {
      this.#context.counts.drop(ip === undefined ? 'indirect-target' : 'indirect-busy');
      return;
    }
    const seqNo = this.#nextSeqNo();
    const relay: Relay = {
      asker: sourceAddress(ask, from),
      askerPeer: this.#table.get(ask.sourceNode),
      seqNo: ask.seqNo,
    };
    this.#relays.set(seqNo, relay);
    const { timers, settings } = this.#context;
    timers.at(now + settings.probeTimeoutMs * NACK_SHARE, (later) => {
      // Deleted by an ack in time. One that comes behind the nack is still good news, until the time-out.
      if (!ask.nack || !this.#relays.has(seqNo)) return;
      this.#sender.send(later, relay.asker, { type: 'nack', seqNo: relay.seqNo }, relay.askerPeer);
    });
    timers.at(now + settings.probeTimeoutMs, () => this.#relays.delete(seqNo));
    const to = { ip, port: ask.port === 0 ? self.addr.port : ask.port };
    this.#sender.send(now, to, { type: 'ping', ...this.#ping(ask.node, seqNo) }, this.#table.get(ask.node));
  }

  handleAck(now: number, { seqNo, payload }: Ack, from: Address): void {
    const relay = this.#relays.get(seqNo);
    if (relay !== undefined) {
      this.#relays.delete(seqNo);
      const ack = { type: 'ack', seqNo: relay.seqNo, payload: null } as const;
      this.#sender.send(now, relay.asker, ack, relay.askerPeer);
      return;
    }
    const contact = this.#contacts.get(seqNo);
    if (contact !== undefined) {
      this.#contacts.delete(seqNo);
      contact(now);
      return;
    }
    const probe = this.#probe;
    if (probe?.seqNo !== seqNo) {
      this.#context.counts.drop('ack-unexpected');
      return;
    }
    // Any ack with the number counts, from wherever: relays answer from their own addresses.
    const isDirect = isSameAddress(from, probe.peer.addr);
    if (isDirect && !probe.isIndirect) {
      this.#table.noteRoundTrip(probe.peer, now - probe.sentMs);
    }
    if (isDirect && payload !== null && payload.length > 0) {
      this.#context.events.push({ type: 'ack-payload', node: probe.peer.name, bytes: payload.slice() });
    }
    this.#awareness.apply(-1);
    this.#finish(probe);
  }

  handleNack({ seqNo }: Nack, from: Address): void {
    if (this.#probe?.seqNo === seqNo) this.#probe.nacks.add(addressKey(from));
    else this.#context.counts.drop('nack-unexpected');
  }

  /** nil for members that would not know what to do with it. */
  #ackPayload(now: number, source: Peer | undefined): Uint8Array | null {
    const { settings, delegate } = this.#context;
    if (source === undefined || !settings.takesUserData(source.meta ?? new Uint8Array(0))) return null;
    const payload = delegate.ackPayload(now);
    return payload.length === 0 ? null : payload;
  }

  #nextTarget(now: number): Peer | undefined {
    const { gossipToTheDeadMs } = this.#context.settings;
    // At most one new round: when nobody is left to probe, that is the answer.
    let isSecondRound = false;
    for (;;) {
      const peer = this.#table.nextInRound();
      if (peer === undefined) {
        if (isSecondRound) return undefined;
        isSecondRound = true;
        const { self } = this.#membership;
        this.#table.startRound((old) => {
          return !isUp(old) && old !== self && now - old.stateChangeMs > gossipToTheDeadMs;
        });
      } else if (isUp(peer) && peer !== this.#membership.self) {
        return peer;
      }
    }
  }

  #start(now: number, peer: Peer): void {
    const { probeIntervalMs, probeTimeoutMs } = this.#context.settings;
    const endMs = now + this.#awareness.scaleMs(probeIntervalMs);
    const probe: Probe = {
      peer,
      incarnation: peer.incarnation,
      seqNo: this.#nextSeqNo(),
      sentMs: now,
      endMs,
      timers: [],
      isIndirect: false,
      tcpAcked: false,
      expectedNacks: 0,
      nacks: new Set(),
    };
    this.#probe = probe;
    const { timers } = this.#context;
    probe.timers.push(timers.at(now + probeTimeoutMs, (later) => this.#tryOtherWays(later, probe)));
    probe.timers.push(timers.at(endMs, (later) => this.#judge(later, probe)));
    const ping = { type: 'ping', ...this.#ping(peer.name, probe.seqNo) } as const;
    if (!this.#shouldHear(peer)) {
      this.#sender.send(now, peer.addr, ping, peer);
    } else {
      const suspect = this.#accusation(peer);
      this.#sender.sendPlain(peer.addr, [ping, { type: 'suspect', ...suspect }], peer);
    }
  }

  #tryOtherWays(now: number, probe: Probe): void {
    const { indirectChecks } = this.#context.settings;
    const { self } = this.#membership;
    const { peer, seqNo } = probe;
    probe.isIndirect = true;
    // All ways at once: the rest of the interval is short.
    const relays = this.#table.pick(indirectChecks, (other) => {
      return other !== self && other.name !== peer.name && other.state === 'alive';
    });
    for (const relay of relays) {
      const nack = maxProtocol(relay.vsn) >= SPEAKS.nack;
      if (nack) probe.expectedNacks += 1;
      const ask = { ...this.#ping(peer.name, seqNo), nack, target: peer.addrBytes, port: peer.addr.port };
      this.#sender.send(now, relay.addr, { type: 'indirectPing', ...ask }, relay);
    }
    if (maxProtocol(peer.vsn) >= SPEAKS.tcpPing) {
      this.#exchange.ping(now, peer.addr, this.#ping(peer.name, seqNo), probe.endMs, () => {
        probe.tcpAcked = true;
      });
    }
  }

  #judge(now: number, probe: Probe): void {
    this.#finish(probe);
    if (probe.tcpAcked) {
      // It lives. That its UDP does not get through is for an operator, not for the cluster.
      this.#context.counts.add('udp-broken');
      this.#awareness.apply(-1);
      return;
    }
    // A relay that nacks shows that our own packets come and go: missing nacks speak against ourselves.
    this.#awareness.apply(probe.expectedNacks > 0 ? Math.max(0, probe.expectedNacks - probe.nacks.size) : 1);
    this.#context.counts.add('probe-failed');
    const { peer, incarnation } = probe;
    this.#membership.suspect(now, { ...this.#accusation(peer), incarnation });
  }

  /** Something is said of it that it should hear from whoever talks to it, so that it can refute (Lifeguard's buddies). */
  #shouldHear({ state }: Peer): boolean {
    return state !== 'alive' && (this.#context.settings.lifeguard || state !== 'suspect');
  }

  #finish(probe: Probe): void {
    for (const timer of probe.timers) timer.cancel();
    this.#probe = undefined;
  }

  #accusation({ name, incarnation }: Peer): { node: string; from: string; incarnation: number } {
    return { node: name, from: this.#membership.self.name, incarnation };
  }

  #ping(node: string, seqNo: number): Ping {
    const { name, addr, addrBytes } = this.#membership.self;
    return { node, seqNo, sourceAddr: addrBytes, sourceNode: name, sourcePort: addr.port };
  }

  /** One counter for probes and relays, so that an ack belongs to one of them only. */
  #nextSeqNo(): number {
    this.#seqNo = (this.#seqNo + 1) >>> 0;
    return this.#seqNo;
  }
}

/** Where the answer goes: the address in the message, else where the packet came from. */
function sourceAddress({ sourceAddr, sourcePort }: Ping | IndirectPing, from: Address): Address {
  const ip = sourceAddr === null ? undefined : bytesToIp(sourceAddr);
  return ip === undefined || sourcePort === 0 ? from : { ip, port: sourcePort };
}
