import type { Address, Rng } from '../env.ts';
import { Counters } from '../state/counters.ts';
import { TokenBucket } from '../state/token-bucket.ts';
import type { Timer } from '../swim/timer-heap.ts';
import { TimerHeap } from '../swim/timer-heap.ts';
import type { ProbeText } from '../tunnel/probes.ts';
import { ANSWER, PROBE, clearAnswer, clearProbe, readHead, tokenOf } from './messages.ts';
import type { ProbeHead } from './messages.ts';
import { DEFAULT_TIMING } from './options.ts';
import type { PathTiming } from './options.ts';
import { PathSearch } from './path-search.ts';
import type { PathState } from './path-search.ts';
import { ProbeBudget } from './probe-budget.ts';

/**
 * The paths of one host to its peers, as a pure object: handle, then poll transmits and changes until undefined, then sleep
 * until `nextDeadline`.
 *
 * Probes are taken from addresses of peers only, answers only if they carry the token of a probe that is out; with a peer
 * of a sealed network both go inside the session, and nothing else is believed. Anything else is a counter `drop:<reason>`.
 * Each host measures its own direction.
 */
export interface PathPeer {
  /** Where it takes datagrams. */
  readonly addr: Address;
  /** Bytes that a packet to it may have at most, as our own interface says. */
  readonly linkBytes: number;
  /** It takes part in a sealed network of ours. */
  readonly isSealed: boolean;
}

/** Seals with the session of a peer (Tunnels has it). */
export interface ProbeSeal {
  sealProbe(peer: string, probe: ProbeText): Uint8Array | undefined;
  openProbe(bytes: Uint8Array): { readonly peer: string; readonly token: number } | undefined;
}

export interface PathTransmit {
  readonly to: Address;
  readonly bytes: Uint8Array;
  /** Of a probe: what to give to `handleTooLong` when the kernel refuses it for its length. */
  readonly probe: { readonly peer: string; readonly token: number } | undefined;
}

export interface PathStatus {
  /** Bytes of an IP packet to go by. */
  readonly mtu: number;
  /** The largest that was answered for; undefined: the peer has never answered. */
  readonly proven: number | undefined;
  readonly state: PathState;
  readonly rttMs: number | undefined;
  /** Share of small probes that were not answered. */
  readonly loss: number | undefined;
  readonly blackHoles: number;
}

export interface PathsOptions {
  readonly rng: Rng;
  /** Undefined where nothing is sealed. */
  readonly seal: () => ProbeSeal | undefined;
  readonly timing?: Partial<PathTiming>;
  /** Probes that may go out in a second, to all peers together. */
  readonly probesPerSecond?: number;
}

const PROBES_PER_SECOND = 500;
const ANSWERS_PER_SECOND = 2_000;
/** To one peer: more than a search asks for, so that who forges its address takes nothing from others. */
const ANSWERS_PER_SECOND_AND_PEER = 100;
const TRANSMITS_MAX = 4_096;
/** Outer IP and UDP headers. */
const IPV4_BYTES = 28;
const IPV6_BYTES = 48;

interface Path extends PathPeer {
  readonly name: string;
  isSealed: boolean;
  readonly search: PathSearch;
  readonly answers: TokenBucket;
  readonly headers: number;
  timer: Timer | undefined;
  /** What was told last. */
  told: number;
}

export class Paths {
  readonly #options: PathsOptions;
  readonly #timing: PathTiming;
  readonly #counters = new Counters();
  readonly #timers = new TimerHeap();
  readonly #budget: ProbeBudget;
  readonly #answers = new TokenBucket(ANSWERS_PER_SECOND, ANSWERS_PER_SECOND);
  readonly #paths = new Map<string, Path>();
  readonly #byIp = new Map<string, Set<Path>>();
  readonly #transmits: PathTransmit[] = [];
  readonly #changed = new Set<string>();

  constructor(options: PathsOptions) {
    this.#options = options;
    this.#timing = { ...DEFAULT_TIMING, ...options.timing };
    this.#budget = new ProbeBudget(options.probesPerSecond ?? PROBES_PER_SECOND);
  }

  /** A peer, or what is new about it; another address or link is another path. */
  setPeer(now: number, name: string, peer: PathPeer): void {
    const known = this.#paths.get(name);
    if (known !== undefined && isSamePath(known, peer)) {
      known.isSealed = peer.isSealed;
      return;
    }
    this.removePeer(name);
    const path: Path = {
      name,
      ...peer,
      headers: headersOf(peer.addr.ip),
      search: new PathSearch(now, {
        linkBytes: peer.linkBytes,
        rng: this.#options.rng,
        timing: this.#timing,
        budget: this.#budget,
        canProbe: () => this.#canProbe(path),
      }),
      answers: new TokenBucket(ANSWERS_PER_SECOND_AND_PEER, ANSWERS_PER_SECOND_AND_PEER),
      timer: undefined,
      told: peer.linkBytes,
    };
    this.#paths.set(name, path);
    const there = this.#byIp.get(peer.addr.ip);
    if (there === undefined) this.#byIp.set(peer.addr.ip, new Set([path]));
    else there.add(path);
    this.#changed.add(name);
    this.#settle(path);
  }

  removePeer(name: string): void {
    const path = this.#paths.get(name);
    if (path === undefined) return;
    path.timer?.cancel();
    path.search.close();
    this.#paths.delete(name);
    const there = this.#byIp.get(path.addr.ip);
    if (there?.delete(path) === true && there.size === 0) this.#byIp.delete(path.addr.ip);
  }

  names(): Iterable<string> {
    return this.#paths.keys();
  }

  /** A datagram of type 6 or 7: at least its head of 40 bytes, and the length that all of it had. */
  handleDatagram(now: number, bytes: Uint8Array, length: number, from: Address): void {
    const head = readHead(bytes, length);
    if (head === undefined) {
      this.#drop('malformed');
      return;
    }
    const there = this.#byIp.get(from.ip);
    if (there === undefined) {
      this.#drop('unknown-source');
      return;
    }
    if (head.isSealed) this.#handleSealed(now, head, bytes);
    else if (head.kind === ANSWER) this.#handleClearAnswer(now, head, tokenOf(bytes), there);
    else {
      // All at one address are one host.
      const [path] = there;
      if (path !== undefined) this.#answer(now, path, clearAnswer(head.size, tokenOf(bytes)));
    }
  }

  /** The kernel refused to send this probe because the link takes less. */
  handleTooLong(name: string, token: number): void {
    this.#counters.add('too-long');
    this.#paths.get(name)?.search.handleTooLong(token);
  }

  /**
   * So many bytes were sent to the peer since the last call. What is less than any path takes could not be lost to a narrow
   * one, and is no traffic: broadcasts alone, which go to everybody, do not make a path be confirmed often.
   */
  noteTraffic(now: number, name: string, bytes: number): void {
    const path = this.#paths.get(name);
    if (path === undefined || bytes < this.#timing.floorBytes) return;
    path.search.noteTraffic(now);
    this.#settle(path);
  }

  handleDeadline(now: number): void {
    this.#timers.runDue(now);
  }

  nextDeadline(): number {
    return this.#timers.nextMs();
  }

  pollTransmit(): PathTransmit | undefined {
    return this.#transmits.shift();
  }

  /** Name of a peer whose `mtu` is another than before. */
  pollChange(): string | undefined {
    for (const name of this.#changed) {
      this.#changed.delete(name);
      if (this.#paths.has(name)) return name;
    }
    return undefined;
  }

  path(name: string): PathStatus | undefined {
    const search = this.#paths.get(name)?.search;
    if (search === undefined) return undefined;
    const { mtu, proven, state, rttMs, loss, blackHoles } = search;
    return { mtu, proven, state, rttMs, loss, blackHoles };
  }

  /** `out:probe`, `out:answer`, `in:answer`, `too-long`, `drop:` by reason. */
  counters(): ReadonlyMap<string, number> {
    return this.#counters.all;
  }

  #handleSealed(now: number, head: ProbeHead, bytes: Uint8Array): void {
    const seal = this.#options.seal();
    const opened = seal?.openProbe(bytes);
    const path = opened === undefined ? undefined : this.#paths.get(opened.peer);
    if (seal === undefined || opened === undefined || path === undefined) {
      this.#drop('unsealable');
      return;
    }
    if (head.kind === ANSWER) {
      if (!this.#take(now, path, opened.token, head.size)) this.#drop('unknown-token');
      return;
    }
    const answer = seal.sealProbe(path.name, { kind: ANSWER, size: head.size, token: opened.token });
    if (answer !== undefined) this.#answer(now, path, answer);
  }

  #handleClearAnswer(now: number, { size }: ProbeHead, token: number, there: ReadonlySet<Path>): void {
    for (const path of there) {
      if (!path.isSealed && this.#take(now, path, token, size)) return;
    }
    this.#drop('unknown-token');
  }

  /** False: it is no answer to a probe of this path. */
  #take(now: number, path: Path, token: number, size: number): boolean {
    if (!path.search.handleAnswer(now, token, size + path.headers)) return false;
    this.#counters.add('in:answer');
    this.#settle(path);
    return true;
  }

  /** To where the peer's records say it is, whatever port the probe came from. */
  #answer(now: number, path: Path, bytes: Uint8Array): void {
    if (!path.answers.take(now, 1) || !this.#answers.take(now, 1)) {
      this.#drop('busy');
      return;
    }
    this.#counters.add('out:answer');
    this.#transmit({ to: path.addr, bytes, probe: undefined });
  }

  #canProbe(path: Path): boolean {
    const { seal } = this.#options;
    // Whether there is a session: sealing costs a counter, nothing else.
    return !path.isSealed || seal()?.sealProbe(path.name, { kind: PROBE, size: 0, token: 0 }) !== undefined;
  }

  #settle(path: Path): void {
    for (let probe = path.search.pollProbe(); probe !== undefined; probe = path.search.pollProbe()) {
      const bytes = this.#probe(path, probe.bytes - path.headers, probe.token);
      if (bytes === undefined) continue;
      this.#counters.add('out:probe');
      this.#transmit({ to: path.addr, bytes, probe: { peer: path.name, token: probe.token } });
    }
    const { mtu } = path.search;
    if (mtu !== path.told) {
      path.told = mtu;
      this.#changed.add(path.name);
    }
    path.timer?.cancel();
    path.timer = this.#timers.at(path.search.nextDeadline(), (later) => {
      path.search.handleDeadline(later);
      this.#settle(path);
    });
  }

  #probe(path: Path, size: number, token: number): Uint8Array | undefined {
    if (!path.isSealed) return clearProbe(size, token);
    const head = this.#options.seal()?.sealProbe(path.name, { kind: PROBE, size, token });
    if (head === undefined) return undefined;
    const bytes = new Uint8Array(size);
    bytes.set(head);
    return bytes;
  }

  #transmit(transmit: PathTransmit): void {
    if (this.#transmits.length < TRANSMITS_MAX) this.#transmits.push(transmit);
    else this.#counters.add('drop:transmit-full');
  }

  #drop(reason: string): void {
    this.#counters.add(`drop:${reason}`);
  }
}

/** IP and UDP headers of a datagram to this address, bytes. */
export function headersOf(ip: string): number {
  return ip.includes(':') ? IPV6_BYTES : IPV4_BYTES;
}

function isSamePath(a: PathPeer, b: PathPeer): boolean {
  return a.addr.ip === b.addr.ip && a.addr.port === b.addr.port && a.linkBytes === b.linkBytes;
}
