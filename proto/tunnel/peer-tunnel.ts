import type { Address } from '../env.ts';
import type { Timer } from '../swim/timer-heap.ts';
import { jittered } from './context.ts';
import type { TunnelContext } from './context.ts';
import { COOKIE_LIFE_MS, openCookieReply } from './cookie.ts';
import { label } from './crypto.ts';
import { forgetHandshake, startHandshake } from './handshake.ts';
import type { PendingHandshake } from './handshake.ts';
import type { TunnelPeer, TunnelProblem, TunnelStatus } from './interface.ts';
import { responseNoise, senderIndexOf, settledVersion } from './messages.ts';
import type { Handshake } from './noise.ts';
import { PeerSessions } from './peer-sessions.ts';
import { Secret } from './secret.ts';
import type { Session } from './session.ts';

/**
 * What goes on with one peer: when a handshake is begun, repeated, given up in favour of the other's, and what comes of it.
 *
 * An attempt is repeated for ever, ever more slowly, each time with the next of our psks, so that two hosts that have one in
 * common find it. When both begin at once the higher static key wins: it leaves the other's initiation unanswered, but
 * not for long and not often, because its own may never arrive.
 */
const START_WITHIN_MS = 20;
const PATIENCE_MS = 3_000;
const TIE_MS = 1_000;
const TIES_MAX = 2;
const NOT_NOW_MS = 100;
const AFTER_COOKIE_MS = 10;
const LOST_PSK_WITHIN_MS = 5_000;
const ATTEMPTS_BEFORE_COMPLAINT = 3;
/** The initiator's share of the interval: the responder's turn comes only when the initiator's failed. */
const REKEY_INITIATOR = { from: 0.85, to: 0.93 } as const;
const REKEY_RESPONDER = { from: 0.95, to: 1 } as const;
const CONTROL_LABEL = label('overlayd tunnel keepalive v1');

export class PeerTunnel {
  readonly name: string;
  readonly staticKey: Uint8Array;
  readonly sessions: PeerSessions;
  readonly #context: TunnelContext;
  /** The shared secret of both static keys; made once, it is half of the work of every handshake. */
  #staticShared: Secret | undefined;
  #addr: Address;
  #pending: PendingHandshake | undefined;
  #attempt: Timer | undefined;
  #attempts = 0;
  #ties = 0;
  #established = 0;
  #lastTimestamp = -1;
  #cookie: { readonly bytes: Uint8Array; readonly untilMs: number } | undefined;
  #problem: TunnelProblem | undefined;

  constructor(context: TunnelContext, name: string, { staticKey, addr }: TunnelPeer) {
    this.#context = context;
    this.name = name;
    this.staticKey = staticKey.slice();
    this.#addr = addr;
    this.sessions = new PeerSessions(context, this, {
      onEstablished: (session) => this.#onEstablished(session),
      onNeed: (now) => this.#onNeed(now),
      onHeard: () => this.#onHeard(),
    });
  }

  get addr(): Address {
    return this.#addr;
  }

  set problem(problem: TunnelProblem) {
    const { current } = this.sessions;
    if (current === undefined || current.isRekeyDue) this.#problem = problem;
  }

  /** Begins; also again, when there are other keys or another address. */
  start(now: number): void {
    this.#attempts = 0;
    this.#schedule(now, this.#context.rng.float() * START_WITHIN_MS);
  }

  move(now: number, addr: Address): void {
    this.#addr = addr;
    // A cookie is for an address of ours as the other sees it, which may have changed as well.
    this.#cookie = undefined;
    if (this.sessions.current === undefined || this.#pending !== undefined) this.start(now);
    else this.sessions.suspect(now);
  }

  /** The static secret shared with this peer; undefined when its key is worthless. */
  staticShared(): Uint8Array | undefined {
    if (this.#staticShared === undefined) {
      const shared = this.#context.crypto.x25519(this.#context.staticKeys.secretKey, this.staticKey);
      if (shared === undefined) return undefined;
      this.#staticShared = new Secret(shared);
    }
    return this.#staticShared.reveal();
  }

  /** Other cluster keys: a session of a key that we do not hold any more is replaced soon. */
  handlePsks(now: number): void {
    const ids = new Set(this.#context.psks().map(({ id }) => id));
    const { current } = this.sessions;
    if (current === undefined || current.isRekeyDue) this.start(now);
    else if (!ids.has(current.pskId)) {
      current.isRekeyDue = true;
      this.#schedule(now, this.#context.rng.float() * LOST_PSK_WITHIN_MS);
    }
  }

  /** Another interval counts for the session in use too, unless its successor is under way. */
  handleRekeyInterval(): void {
    const { current } = this.sessions;
    if (current !== undefined && !current.isRekeyDue && this.#pending === undefined) this.#armRekey(current);
  }

  /** Whether an authentic initiation with this timestamp is to be answered. */
  admitInitiation(now: number, timestamp: number): 'answer' | 'stale-timestamp' | 'tie-break' {
    if (timestamp <= this.#lastTimestamp) {
      // A recorded one; or the peer has restarted with a clock that is behind, and gets no further by itself.
      this.sessions.suspect(now);
      return 'stale-timestamp';
    }
    this.#lastTimestamp = timestamp;
    if (this.#isWinnerOfTie(now)) {
      this.#ties += 1;
      return 'tie-break';
    }
    return 'answer';
  }

  /** We answered an initiation with the last message of `handshake`. */
  handleAnswered(
    now: number,
    handshake: Handshake,
    localIndex: number,
    remoteIndex: number,
    pskId: number,
    version: number,
  ): void {
    this.#dropPending();
    this.#addSession(now, 'responder', handshake, localIndex, remoteIndex, pskId, version);
    if (this.sessions.current === undefined || this.sessions.current.isRekeyDue || this.sessions.isSilent)
      this.#schedule(now, jittered(this.#context.rng, PATIENCE_MS));
  }

  /** Why it was no response to what we asked; undefined when it was one. */
  handleResponse(now: number, localIndex: number, bytes: Uint8Array): string | undefined {
    const pending = this.#pending;
    if (pending?.localIndex !== localIndex) return 'unknown-index';
    const payload = pending.handshake.read(responseNoise(bytes));
    if (payload?.length !== 8) {
      this.#giveUpPending();
      return 'response';
    }
    const version = settledVersion(payload);
    const { min, max } = this.#context.versions;
    if (version === undefined || version < min || version > max) {
      this.problem = 'no common version';
      this.#dropPending();
      this.#schedule(now, jittered(this.#context.rng, this.#context.timing.retryMaxMs));
      return 'version';
    }
    this.#pending = undefined;
    const remoteIndex = senderIndexOf(payload);
    this.#addSession(now, 'initiator', pending.handshake, localIndex, remoteIndex, pending.pskId, version);
    forgetHandshake(pending);
    return undefined;
  }

  handleCookie(now: number, localIndex: number, bytes: Uint8Array): string | undefined {
    const pending = this.#pending;
    // One cookie for one initiation: more would only have us send more.
    if (pending?.localIndex !== localIndex || pending.hasCookie) return 'unknown-index';
    const { crypto, rng } = this.#context;
    const cookie = openCookieReply(crypto, pending.macKeys, bytes, pending.mac1);
    if (cookie === undefined) return 'cookie';
    pending.hasCookie = true;
    this.#cookie = { bytes: cookie, untilMs: now + COOKIE_LIFE_MS };
    // The same psk again: that one was right.
    this.#attempts -= 1;
    this.#schedule(now, jittered(rng, AFTER_COOKIE_MS));
    return undefined;
  }

  /** What checks the mac1 of a response to our initiation. */
  responseMacKey(localIndex: number): Uint8Array | undefined {
    return this.#pending?.localIndex === localIndex ? this.#pending.ownMacKeys.mac1.reveal() : undefined;
  }

  noteSent(now: number, session: Session, counter: number): void {
    const { rekeyAfterMessages, rejectAfterMessages } = this.#context.timing;
    if (counter >= rejectAfterMessages) {
      this.#context.counters.add('session:used-up');
      this.sessions.end(now, session);
    } else if (counter >= rekeyAfterMessages && session === this.sessions.current && !session.isRekeyDue) {
      session.isRekeyDue = true;
      // Traffic is much the same both ways: the responder leaves the initiator time to be first.
      this.#schedule(now, session.role === 'initiator' ? 0 : jittered(this.#context.rng, PATIENCE_MS));
    }
  }

  status(now: number): TunnelStatus {
    const { current, isSilent } = this.sessions;
    const standing = isSilent ? 'silent' : 'established';
    const missing = this.#context.psks().length === 0 ? 'idle' : 'handshake';
    return {
      peer: this.name,
      state: current === undefined ? missing : standing,
      ageMs: current === undefined ? undefined : now - current.createdMs,
      rekeys: Math.max(0, this.#established - 1),
      version: current?.version,
      lastError: this.#problem,
    };
  }

  destroy(): void {
    this.#attempt?.cancel();
    this.#dropPending();
    this.sessions.destroy();
    this.#staticShared?.destroy();
  }

  #onEstablished(session: Session): void {
    this.#dropPending();
    this.#established += 1;
    this.#attempts = 0;
    this.#ties = 0;
    this.#problem = undefined;
    this.#context.counters.add(this.#established === 1 ? 'session:first' : 'session:rekey');
    this.#armRekey(session);
  }

  #armRekey(session: Session): void {
    const { from, to } = session.role === 'initiator' ? REKEY_INITIATOR : REKEY_RESPONDER;
    const { timing, rng } = this.#context;
    const ageMs = timing.rekeyIntervalMs * (from + (to - from) * rng.float());
    this.#attempt?.cancel();
    this.#attempt = this.#context.timers.at(session.createdMs + ageMs, (later) => {
      session.isRekeyDue = true;
      this.#begin(later);
    });
  }

  #onNeed(now: number): void {
    const { current } = this.sessions;
    if (current === undefined) this.#problem ??= 'no answer';
    if (this.#pending === undefined && (current === undefined || !current.isRekeyDue)) {
      if (current !== undefined) current.isRekeyDue = true;
      this.start(now);
    }
  }

  /** The session in use lives: there is no hurry any more, but its time comes. */
  #onHeard(): void {
    if (this.#problem === 'no answer') this.#problem = undefined;
  }

  #begin(now: number): void {
    this.#dropPending();
    const { psks, initiations, timing, rng, counters } = this.#context;
    const all = psks();
    if (all.length === 0) {
      this.#problem = 'no cluster key';
      this.#schedule(now, timing.retryMaxMs);
      return;
    }
    if (!initiations.take(now, 1)) {
      this.#schedule(now, jittered(rng, NOT_NOW_MS));
      return;
    }
    const psk = all[this.#attempts % all.length]!;
    const cookie = this.#cookie !== undefined && this.#cookie.untilMs > now ? this.#cookie.bytes : undefined;
    const pending = startHandshake(this.#context, this, psk, now, cookie);
    if (typeof pending === 'string') {
      this.#problem = pending === 'unusable' ? 'unusable identity' : this.#problem;
      counters.add(`handshake:${pending}`);
      this.#schedule(now, jittered(rng, timing.retryMaxMs));
      return;
    }
    this.#pending = pending;
    this.#attempts += 1;
    if (this.#attempts > ATTEMPTS_BEFORE_COMPLAINT * all.length) this.#problem ??= 'no answer';
    // Every psk is tried before it gets slower.
    const round = Math.ceil(this.#attempts / all.length) - 1;
    const wait = Math.min(timing.retryMaxMs, timing.retryFirstMs * 2 ** Math.min(round, 20));
    counters.add('out:initiation');
    this.#context.transmit({ to: this.#addr, bytes: pending.message });
    this.#schedule(now, jittered(rng, wait));
  }

  #schedule(now: number, ms: number): void {
    this.#attempt?.cancel();
    this.#attempt = this.#context.timers.at(now + ms, (later) => this.#begin(later));
  }

  #addSession(
    now: number,
    role: 'initiator' | 'responder',
    handshake: Handshake,
    localIndex: number,
    remoteIndex: number,
    pskId: number,
    version: number,
  ): void {
    const [data, control] = [handshake.split(), handshake.split(CONTROL_LABEL)];
    handshake.destroy();
    this.sessions.add(now, { localIndex, remoteIndex, role, pskId, version, createdMs: now, data, control });
  }

  #isWinnerOfTie(now: number): boolean {
    const pending = this.#pending;
    if (pending === undefined || now - pending.sentMs > TIE_MS || this.#ties >= TIES_MAX) return false;
    const own = this.#context.staticKeys.publicKey;
    const at = own.findIndex((byte, i) => byte !== this.staticKey[i]);
    return (own[at] as number) > (this.staticKey[at] as number);
  }

  /** A response that does not fit: nothing else can come of this handshake. */
  #giveUpPending(): void {
    this.problem = 'no common cluster key';
    this.#dropPending();
  }

  #dropPending(): void {
    if (this.#pending === undefined) return;
    this.#context.indexes.free(this.#pending.localIndex);
    forgetHandshake(this.#pending);
    this.#pending = undefined;
  }
}
