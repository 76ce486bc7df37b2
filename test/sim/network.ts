import type { Address, Rng } from '../../proto/env.ts';
import { below } from '../../proto/rng.ts';
import type { TimerHeap } from '../../proto/swim/timer-heap.ts';

/**
 * A virtual network in virtual time: datagrams and streams between IP addresses, with every fault of gossip.md 8.2 that
 * a seed can decide. All randomness is the given generator's, so one seed is one run.
 */
export interface LinkFaults {
  readonly latencyMs: number;
  /** Uniform on top of the latency; above the sending interval it reorders. */
  readonly jitterMs: number;
  /** Share of datagrams lost; a stream's chunk is late by 200 ms for each loss instead. */
  readonly loss: number;
  readonly duplicate: number;
  /** Share of datagrams that are late by another 10 latencies. */
  readonly reorder: number;
  /** Streams are cut into chunks of 1 .. this many bytes. */
  readonly chunkBytes: number;
  /** Every dial is refused. */
  readonly refuseStreams: boolean;
  /** Streams open, and then nothing of them arrives for as long as this lasts. */
  readonly stallStreams: boolean;
  /** Share of writes to streams of which only the first half arrives, and then the end. */
  readonly halfClose: number;
  /** Longer datagrams are lost. */
  readonly maxBytes: number;
  /** Share of datagrams that arrive with one bit flipped. */
  readonly flip: number;
}

export const GOOD_LINK: LinkFaults = {
  latencyMs: 0.5,
  jitterMs: 0.2,
  loss: 0,
  duplicate: 0,
  reorder: 0,
  chunkBytes: 1400,
  refuseStreams: false,
  stallStreams: false,
  halfClose: 0,
  maxBytes: Infinity,
  flip: 0,
};

/** What a host of the network does with what arrives. */
export interface Receiver {
  onDatagram(bytes: Uint8Array, from: Address): void;
  onStreamOpen(id: number, from: Address): void;
  onStreamConnect(id: number): void;
  onStreamData(id: number, bytes: Uint8Array): void;
  onStreamEnd(id: number, error: string | undefined): void;
}

interface End {
  readonly receiver: Receiver;
  readonly ip: string;
  readonly id: number;
  isOpen: boolean;
  hasEnded: boolean;
  /** Nothing sent before arrives after. */
  lastArrivalMs: number;
}

interface Connection {
  readonly dialler: End;
  acceptor: End | undefined;
}

const RETRANSMIT_MS = 200;
/** What a host's narrow uplink keeps before it drops datagrams, in time. */
const UPLINK_QUEUE_MS = 500;

/** A host's way out at so many bytes a millisecond; busy until then. */
interface Uplink {
  readonly bytesPerMs: number;
  busyUntilMs: number;
}

export class SimNetwork {
  faults: LinkFaults = GOOD_LINK;
  readonly packets = { sent: 0, lost: 0, bytes: 0 };
  readonly streams = { dialled: 0, bytes: 0 };
  readonly #timers: TimerHeap;
  readonly #rng: Rng;
  readonly #now: () => number;
  /** By IP, then by port. */
  readonly #listeners = new Map<string, Map<number, Receiver>>();
  readonly #cuts = new Set<string>();
  /** Packets of hosts whose traffic stands still, by IP. */
  readonly #jams = new Map<string, (() => void)[]>();
  readonly #impairments = new Set<Partial<LinkFaults>>();
  #unimpaired: LinkFaults = GOOD_LINK;
  /** Of hosts with little bandwidth, by IP. */
  readonly #uplinks = new Map<string, Uplink>();
  readonly #connections = new Map<Receiver, Map<number, { connection: Connection; isDialler: boolean }>>();
  #nextAcceptId = 2;

  constructor(timers: TimerHeap, rng: Rng, now: () => number) {
    this.#timers = timers;
    this.#rng = rng;
    this.#now = now;
  }

  listen({ ip, port }: Address, receiver: Receiver): void {
    const ports = this.#listeners.get(ip);
    if (ports === undefined) this.#listeners.set(ip, new Map([[port, receiver]]));
    else ports.set(port, receiver);
    this.#connections.set(receiver, new Map());
  }

  /** The process is gone: its kernel refuses new streams and resets those it had. */
  unlisten({ ip, port }: Address): void {
    const receiver = this.#listener({ ip, port });
    this.#listeners.get(ip)?.delete(port);
    if (receiver === undefined) return;
    for (const id of this.#connections.get(receiver)?.keys() ?? []) this.close(receiver, id);
    this.#connections.delete(receiver);
  }

  /** One-way: nothing from `from` reaches `to`. */
  cut(from: string, to: string): void {
    this.#cuts.add(`${from}>${to}`);
  }

  mend(from: string, to: string): void {
    this.#cuts.delete(`${from}>${to}`);
  }

  /** Hosts hear only those of their own group, until `heal`. */
  partition(groups: readonly (readonly string[])[]): void {
    for (const [i, group] of groups.entries()) {
      for (const other of groups.filter((_, j) => j !== i).flat()) {
        for (const ip of group) this.cut(ip, other);
      }
    }
  }

  heal(): void {
    this.#cuts.clear();
  }

  /** Nothing is wrong with the network any more. */
  mendAll(): void {
    this.heal();
    this.#impairments.clear();
    this.#uplinks.clear();
    this.faults = GOOD_LINK;
    for (const ip of this.#jams.keys()) this.unjam(ip);
  }

  /** Makes all links worse in these ways until the function that it gives is called; several add up. */
  impair(faults: Partial<LinkFaults>): () => void {
    if (this.#impairments.size === 0) this.#unimpaired = this.faults;
    this.#impairments.add(faults);
    this.#applyImpairments();
    return () => {
      if (this.#impairments.delete(faults)) this.#applyImpairments();
    };
  }

  #applyImpairments(): void {
    this.faults = Object.assign({}, this.#unimpaired, ...this.#impairments) as LinkFaults;
  }

  /** This host sends no faster than that; Infinity: as it likes again. */
  limit(ip: string, bytesPerSecond: number): void {
    if (bytesPerSecond === Infinity) this.#uplinks.delete(ip);
    else this.#uplinks.set(ip, { bytesPerMs: bytesPerSecond / 1000, busyUntilMs: this.#now() });
  }

  /** All packets of this host, in and out, wait until `unjam`; its process goes on and only hears nothing. */
  jam(ip: string): void {
    if (!this.#jams.has(ip)) this.#jams.set(ip, []);
  }

  unjam(ip: string): void {
    const waiting = this.#jams.get(ip) ?? [];
    this.#jams.delete(ip);
    for (const send of waiting) send();
  }

  send(from: Address, to: Address, bytes: Uint8Array): void {
    this.packets.sent += 1;
    this.packets.bytes += bytes.length;
    const { loss, maxBytes } = this.faults;
    if (bytes.length > maxBytes || this.#isCut(from.ip, to.ip) || this.#rng.float() < loss) {
      this.packets.lost += 1;
      return;
    }
    const queuedMs = this.#throughUplink(from.ip, bytes.length);
    if (queuedMs > UPLINK_QUEUE_MS) {
      this.packets.lost += 1;
      return;
    }
    if (queuedMs > 0) {
      this.#timers.at(this.#now() + queuedMs, () => this.#carry(from, to, bytes));
      return;
    }
    this.#unlessJammed(from.ip, to.ip, () => this.#carry(from, to, bytes));
  }

  #carry(from: Address, to: Address, bytes: Uint8Array): void {
    const { duplicate, reorder, latencyMs, flip } = this.faults;
    const copies = this.#rng.float() < duplicate ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const late = this.#rng.float() < reorder ? latencyMs * 10 : 0;
      this.#timers.at(this.#now() + this.#delayMs() + late, () => {
        // A copy for each: nobody may scribble over what another still reads.
        const copy = bytes.slice();
        if (flip > 0 && this.#rng.float() < flip) this.#flipBit(copy);
        this.#listener(to)?.onDatagram(copy, from);
      });
    }
  }

  dial(receiver: Receiver, from: Address, id: number, to: Address, timeoutMs: number): void {
    this.streams.dialled += 1;
    const dialler = end(receiver, from.ip, id);
    const connection: Connection = { dialler, acceptor: undefined };
    this.#connections.get(receiver)?.set(id, { connection, isDialler: true });
    if (this.#isCut(from.ip, to.ip) || this.#isCut(to.ip, from.ip)) {
      this.#timers.at(this.#now() + timeoutMs, () => this.#deliverEnd(dialler, 'connection timed out'));
      return;
    }
    this.#unlessJammed(from.ip, to.ip, () => {
      this.#timers.at(this.#now() + this.#delayMs(), () => this.#accept(connection, from, to));
    });
  }

  write(receiver: Receiver, id: number, bytes: Uint8Array): void {
    this.streams.bytes += bytes.length;
    const { halfClose } = this.faults;
    if (halfClose > 0 && this.#rng.float() < halfClose) {
      this.#halfWrite(receiver, id, bytes);
      return;
    }
    for (let at = 0; at < bytes.length;) {
      const size = 1 + below(this.#rng, this.faults.chunkBytes);
      const chunk = bytes.slice(at, at + size);
      at += size;
      this.#toOther(receiver, id, (other) => other.receiver.onStreamData(other.id, chunk));
    }
    this.#slowDown(receiver, id, bytes.length);
  }

  /** What is written next comes no sooner than a narrow uplink lets it: TCP waits and loses nothing. */
  #slowDown(receiver: Receiver, id: number, bytes: number): void {
    if (this.#uplinks.size === 0) return;
    const found = this.#find(receiver, id);
    const uplink = found && this.#uplinks.get(found.own.ip);
    if (found?.other === undefined || uplink === undefined) return;
    uplink.busyUntilMs = Math.max(this.#now(), uplink.busyUntilMs) + bytes / uplink.bytesPerMs;
    found.other.lastArrivalMs = Math.max(found.other.lastArrivalMs, uplink.busyUntilMs);
  }

  /** The writer's kernel says that all was sent; half of it and an end is what arrives. */
  #halfWrite(receiver: Receiver, id: number, bytes: Uint8Array): void {
    const half = bytes.slice(0, bytes.length >> 1);
    this.#toOther(receiver, id, (other) => other.receiver.onStreamData(other.id, half));
    this.end(receiver, id);
  }

  end(receiver: Receiver, id: number): void {
    this.#toOther(receiver, id, (other) => this.#deliverEnd(other, undefined));
    const found = this.#find(receiver, id);
    if (found !== undefined) found.own.hasEnded = true;
  }

  close(receiver: Receiver, id: number): void {
    const found = this.#find(receiver, id);
    if (found === undefined) return;
    const { own } = found;
    // After an orderly end a close is quiet; before it the other side sees a reset.
    if (!own.hasEnded) this.#toOther(receiver, id, (other) => this.#deliverEnd(other, 'connection reset'));
    own.isOpen = false;
    this.#connections.get(receiver)?.delete(id);
  }

  #accept(connection: Connection, from: Address, to: Address): void {
    const { dialler } = connection;
    const listener = this.#listener(to);
    if (listener === undefined || this.faults.refuseStreams) {
      this.#deliver(dialler, () => this.#deliverEnd(dialler, 'connection refused'));
      return;
    }
    const acceptor = end(listener, to.ip, this.#nextAcceptId);
    this.#nextAcceptId += 2;
    connection.acceptor = acceptor;
    this.#connections.get(listener)?.set(acceptor.id, { connection, isDialler: false });
    // A passing port, as a kernel gives to who dials.
    listener.onStreamOpen(acceptor.id, { ip: from.ip, port: 32_768 + (acceptor.id % 28_000) });
    this.#deliver(dialler, () => dialler.receiver.onStreamConnect(dialler.id));
  }

  #toOther(receiver: Receiver, id: number, deliver: (other: End) => void): void {
    const found = this.#find(receiver, id);
    if (found?.other === undefined) return;
    const { own, other } = found;
    const attempt = (): void => {
      if (this.faults.stallStreams || this.#isCut(own.ip, other.ip)) {
        if (!own.isOpen || !other.isOpen) return;
        // TCP keeps trying; the ends' own deadlines give up.
        this.#timers.at(this.#now() + RETRANSMIT_MS, attempt);
        return;
      }
      this.#unlessJammed(own.ip, other.ip, () => this.#deliver(other, () => deliver(other)));
    };
    attempt();
  }

  #unlessJammed(from: string, to: string, go: () => void): void {
    const jam = this.#jams.size === 0 ? undefined : (this.#jams.get(from) ?? this.#jams.get(to));
    if (jam === undefined) go();
    else jam.push(go);
  }

  /** How long this waits behind what was sent before; what would wait too long takes no room. */
  #throughUplink(ip: string, bytes: number): number {
    const uplink = this.#uplinks.size === 0 ? undefined : this.#uplinks.get(ip);
    if (uplink === undefined) return 0;
    const now = this.#now();
    const doneMs = Math.max(now, uplink.busyUntilMs) + bytes / uplink.bytesPerMs;
    if (doneMs - now <= UPLINK_QUEUE_MS) uplink.busyUntilMs = doneMs;
    return doneMs - now;
  }

  /** In order: never before what was sent to this end earlier. */
  #deliver(to: End, run: () => void): void {
    let delay = this.#delayMs();
    while (this.#rng.float() < this.faults.loss) delay += RETRANSMIT_MS;
    to.lastArrivalMs = Math.max(to.lastArrivalMs, this.#now() + delay);
    this.#timers.at(to.lastArrivalMs, () => {
      if (to.isOpen) run();
    });
  }

  #deliverEnd(to: End, error: string | undefined): void {
    if (!to.isOpen) return;
    if (error !== undefined) {
      to.isOpen = false;
      this.#connections.get(to.receiver)?.delete(to.id);
    }
    to.receiver.onStreamEnd(to.id, error);
  }

  #find(receiver: Receiver, id: number): { own: End; other: End | undefined } | undefined {
    const entry = this.#connections.get(receiver)?.get(id);
    if (entry === undefined) return undefined;
    const { dialler, acceptor } = entry.connection;
    if (entry.isDialler) return { own: dialler, other: acceptor };
    return acceptor && { own: acceptor, other: dialler };
  }

  #listener({ ip, port }: Address): Receiver | undefined {
    return this.#listeners.get(ip)?.get(port);
  }

  #flipBit(bytes: Uint8Array): void {
    const at = below(this.#rng, bytes.length);
    bytes[at] = (bytes[at] as number) ^ (1 << below(this.#rng, 8));
  }

  #isCut(from: string, to: string): boolean {
    return this.#cuts.size > 0 && this.#cuts.has(`${from}>${to}`);
  }

  #delayMs(): number {
    return this.faults.latencyMs + this.#rng.float() * this.faults.jitterMs;
  }
}

function end(receiver: Receiver, ip: string, id: number): End {
  return { receiver, ip, id, isOpen: true, hasEnded: false, lastArrivalMs: 0 };
}
