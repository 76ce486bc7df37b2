/**
 * A cluster of State objects over an in-memory network in virtual time: one seed, one run.
 *
 * Membership is told by the test (no failure detector here). Unreliable messages meet loss, duplication and jitter;
 * reliable ones only fail as a whole, where a test says so. Push/pull exchanges digests between random live pairs.
 */
import { State } from '../../../proto/state/state.ts';
import type { StateOptions } from '../../../proto/state/options.ts';
import { TABLE } from '../../../proto/state/interface.ts';
import { encodeInterest, interestKey } from '../../../proto/state/values/interest.ts';
import { SeededRng } from '../../../proto/rng.ts';
import { fakeSigner, fakeVerifier } from './fake-identity.ts';

export interface Faults {
  loss: number;
  /** Share of reliable messages whose stream fails. */
  streamLoss: number;
  duplicate: number;
  latencyMs: number;
  jitterMs: number;
}

interface Host {
  name: string;
  state: State;
  alive: boolean;
  epoch: bigint;
}

interface Packet {
  atMs: number;
  order: number;
  from: string;
  to: string;
  bytes: Uint8Array;
}

export class Cluster {
  readonly hosts = new Map<string, Host>();
  readonly faults: Faults = { loss: 0, streamLoss: 0, duplicate: 0, latencyMs: 1, jitterMs: 0 };
  /** "a>b" */
  readonly cuts = new Set<string>();
  readonly rng;
  now = 1_000;
  wallBase = 1_700_000_000_000;
  /** By host: how far its wall clock is off, ms. */
  readonly wallOffsets = new Map<string, number>();
  sent = { messages: 0, bytes: 0, reliable: 0, reliableBytes: 0 };
  pushPullMs = 30_000;
  /** Sees every message that arrives. */
  onDelivery: (bytes: Uint8Array) => void = () => {};
  #packets: Packet[] = [];
  #order = 0;
  #nextPushPull = 0;
  readonly #options: Partial<StateOptions>;

  constructor(seed: number, options: Partial<StateOptions> = {}) {
    this.rng = new SeededRng(seed);
    this.#options = options;
  }

  /** Starts a host that takes part in `scopes`; it is not yet known to anybody. */
  start(name: string, scopes: readonly number[] = [], epoch?: bigint): State {
    const known = this.hosts.get(name);
    const mine = epoch ?? (known === undefined ? BigInt(this.wallBase + this.now) : known.epoch + 1_000n);
    const state = new State(
      { node: name, epoch: mine, ...this.#options },
      {
        rng: new SeededRng(this.rng.u32()),
        wall: () => this.wallBase + this.now + (this.wallOffsets.get(name) ?? 0),
        signer: fakeSigner(name),
        verifier: fakeVerifier,
        // As the agent keeps them on disk.
        identities: { pins: [...(known?.state.identities.pins() ?? [])] },
        revocations: known?.state.revocations.saved() ?? [],
      },
    );
    this.hosts.set(name, { name, state, alive: true, epoch: mine });
    for (const vni of scopes) state.put(this.now, 0, TABLE.interest, interestKey(vni), encodeInterest());
    return state;
  }

  state(name: string): State {
    return this.hosts.get(name)!.state;
  }

  /** All live hosts see each other as alive. */
  meet(): void {
    for (const a of this.hosts.values()) {
      for (const b of this.hosts.values()) {
        if (a !== b && a.alive && b.alive) a.state.handleMemberAlive(this.now, b.name, b.state.epoch);
      }
    }
  }

  crash(name: string): void {
    this.hosts.get(name)!.alive = false;
    this.#tell(name, (state) => state.handleMemberDead(this.now, name));
  }

  /** Says good-bye, which arrives (`run`), and is then told of by membership. */
  leave(name: string): void {
    this.state(name).sayGoodbye(this.now);
    this.run(this.faults.latencyMs + this.faults.jitterMs);
    this.sayLeft(name);
    this.hosts.get(name)!.alive = false;
  }

  /** Membership says to all that a host has left, true or not. */
  sayLeft(name: string): void {
    this.#tell(name, (state) => state.handleMemberLeft(this.now, name));
  }

  /** Both sides hold each other dead, and nothing passes. */
  cut(a: string, b: string): void {
    this.cuts.add(`${a}>${b}`);
    this.cuts.add(`${b}>${a}`);
    this.state(a).handleMemberDead(this.now, b);
    this.state(b).handleMemberDead(this.now, a);
  }

  heal(): void {
    this.cuts.clear();
    this.meet();
  }

  run(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      this.#drain();
      const next = Math.min(this.#nextDeadline(), this.#packets[0]?.atMs ?? Infinity, this.#nextPushPull);
      if (next > end) break;
      this.now = Math.max(this.now, next);
      this.#step();
    }
    this.now = end;
    this.#drain();
  }

  #step(): void {
    while ((this.#packets[0]?.atMs ?? Infinity) <= this.now) this.#deliver(this.#packets.shift()!);
    if (this.now >= this.#nextPushPull) {
      this.#nextPushPull = this.now + this.pushPullMs * (0.8 + 0.4 * this.rng.float());
      this.#pushPull();
    }
    for (const { state, alive } of this.hosts.values()) {
      if (alive && state.nextDeadline() <= this.now) state.handleDeadline(this.now);
    }
  }

  #deliver({ from, to, bytes }: Packet): void {
    const host = this.hosts.get(to);
    if (host?.alive !== true || this.hosts.get(from)?.alive !== true || this.cuts.has(`${from}>${to}`))
      return;
    this.onDelivery(bytes);
    host.state.handleMessage(this.now, from, bytes);
  }

  #pushPull(): void {
    const live = [...this.hosts.values()].filter((h) => h.alive);
    for (const a of live) {
      const b = live[this.rng.u32() % live.length]!;
      if (a === b || this.cuts.has(`${a.name}>${b.name}`)) continue;
      const fromA = a.state.delegate.localState(this.now, false);
      const fromB = b.state.delegate.localState(this.now, false);
      b.state.handleRemoteState(this.now, a.name, fromA);
      a.state.handleRemoteState(this.now, b.name, fromB);
    }
  }

  #drain(): void {
    for (const { name, state, alive } of this.hosts.values()) {
      for (let t = state.pollTransmit(); t !== undefined; t = state.pollTransmit()) {
        if (alive) this.#send(name, t.to, t.bytes, t.reliable);
      }
    }
  }

  #send(from: string, to: string, bytes: Uint8Array, reliable: boolean): void {
    this.sent.messages++;
    this.sent.bytes += bytes.length;
    if (reliable) {
      this.sent.reliable++;
      this.sent.reliableBytes += bytes.length;
    }
    const { loss, streamLoss, duplicate, latencyMs, jitterMs } = this.faults;
    const copies = reliable
      ? Number(this.rng.float() >= streamLoss)
      : Number(this.rng.float() >= loss) + Number(this.rng.float() < duplicate);
    for (let i = 0; i < copies; i++) {
      const atMs = this.now + latencyMs + jitterMs * this.rng.float();
      this.#enqueue({ atMs, order: this.#order++, from, to, bytes });
    }
  }

  #enqueue(packet: Packet): void {
    let low = 0;
    let high = this.#packets.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = this.#packets[middle]!;
      if (other.atMs < packet.atMs || (other.atMs === packet.atMs && other.order < packet.order))
        low = middle + 1;
      else high = middle;
    }
    this.#packets.splice(low, 0, packet);
  }

  #nextDeadline(): number {
    let next = Infinity;
    for (const { state, alive } of this.hosts.values())
      if (alive) next = Math.min(next, state.nextDeadline());
    return next;
  }

  #tell(about: string, tell: (state: State) => void): void {
    for (const { name, state, alive } of this.hosts.values()) if (alive && name !== about) tell(state);
  }
}
