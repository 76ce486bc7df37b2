import { jittered } from './context.ts';
import type { TunnelContext } from './context.ts';
import { rejectAfterMs } from './options.ts';
import type { PeerTunnel } from './peer-tunnel.ts';
import { Session } from './session.ts';
import type { SessionOptions } from './session.ts';

/**
 * The sessions with one peer, and which of them is used: how nothing is lost when one takes over from another.
 *
 * current: we send on it. As the initiator it is current at once, because the responder can receive before it answers; it
 * then asks for a sign of life until one comes. next: the responder's, until the initiator is heard on it. superseded: all
 * that were replaced; they receive on. Once the other side was heard on current it sends nothing new on older ones, so
 * these get the grace for what is under way, and go.
 */
const CONFIRM_FIRST_MS = 250;
const CONFIRM_TRIES = 6;
const UNCONFIRMED_MS = 15_000;
const PROBE_EVERY_MS = 1_000;
const PROBE_TRIES = 4;
const SUPERSEDED_MAX = 4;

export interface SessionsDelegate {
  /** A session is in use that was not. */
  onEstablished(session: Session): void;
  /** The session in use is silent, too old or gone: another is needed. */
  onNeed(now: number): void;
  /** The session in use lives. */
  onHeard(): void;
}

export class PeerSessions {
  readonly #context: TunnelContext;
  readonly #peer: PeerTunnel;
  readonly #delegate: SessionsDelegate;
  #current: Session | undefined;
  #next: Session | undefined;
  #superseded: Session[] = [];

  constructor(context: TunnelContext, peer: PeerTunnel, delegate: SessionsDelegate) {
    this.#context = context;
    this.#peer = peer;
    this.#delegate = delegate;
  }

  get current(): Session | undefined {
    return this.#current;
  }

  get hasNext(): boolean {
    return this.#next !== undefined;
  }

  get isSilent(): boolean {
    return (this.#current?.unanswered ?? 0) >= PROBE_TRIES;
  }

  find(localIndex: number): Session | undefined {
    return this.#all().find((session) => session.localIndex === localIndex);
  }

  /** A handshake is done. The session's index stays taken until it is removed. */
  add(now: number, options: SessionOptions): void {
    const session = new Session(options);
    const { localIndex, remoteIndex, role, sendKey, receiveKey } = session;
    const { name: peer } = this.#peer;
    this.#context.emit({ type: 'install', peer, localIndex, remoteIndex, role, sendKey, receiveKey });
    if (role === 'initiator') {
      this.#use(session);
      this.#confirm(now, session);
      return;
    }
    const replaced = this.#next;
    this.#next = session;
    this.#after(now, session, UNCONFIRMED_MS, () => this.#remove(session));
    if (replaced === undefined) return;
    // The initiator began anew, but may have sent on the former one before.
    this.#supersede(replaced);
    this.#retire(now, replaced);
  }

  /** The data path, or a keepalive, had something from the other side on it. */
  heard(now: number, session: Session): void {
    session.heardMs = now;
    session.unanswered = 0;
    if (session === this.#next) {
      this.#next = undefined;
      this.#use(session);
    }
    if (session !== this.#current) return;
    if (!session.isConfirmed) {
      session.isConfirmed = true;
      for (const old of this.#superseded) this.#retire(now, old);
      this.#watch(now, session);
    }
    this.#delegate.onHeard();
  }

  handleKeepalive(now: number, session: Session, bytes: Uint8Array): boolean {
    const keepalive = session.openKeepalive(this.#context.crypto, bytes);
    if (keepalive === undefined) return false;
    this.heard(now, session);
    if (keepalive.wantsAnswer) this.#send(session, false);
    return true;
  }

  /** A hint that the other side may have forgotten the session in use. */
  suspect(now: number): void {
    const session = this.#current;
    if (session?.isConfirmed === true && session.unanswered === 0) this.#probe(now, session);
  }

  /** Ends one session at once; another is asked for when it was the one in use. */
  end(now: number, session: Session): void {
    const wasCurrent = session === this.#current;
    this.#remove(session);
    if (wasCurrent) this.#delegate.onNeed(now);
  }

  destroy(): void {
    for (const session of this.#all()) this.#remove(session);
  }

  #use(session: Session): void {
    this.#supersede(this.#current);
    this.#supersede(this.#next);
    this.#next = undefined;
    this.#current = session;
    this.#context.emit({ type: 'use', peer: this.#peer.name, localIndex: session.localIndex });
    this.#delegate.onEstablished(session);
  }

  #supersede(session: Session | undefined): void {
    if (session === undefined) return;
    session.setTimer(undefined);
    this.#superseded.push(session);
    if (this.#superseded.length > SUPERSEDED_MAX) this.#remove(this.#superseded[0] as Session);
  }

  #retire(now: number, session: Session): void {
    if (session.timer === undefined)
      this.#after(now, session, this.#context.timing.graceMs, () => this.#remove(session));
  }

  /** Asks for a sign of life on a session that the other side may not know to be ours yet. */
  #confirm(now: number, session: Session): void {
    if (this.#endIfTooOld(now, session)) return;
    if (session.unanswered >= CONFIRM_TRIES) {
      this.#delegate.onNeed(now);
      // Whoever comes meanwhile still confirms it; the next session supersedes it.
      this.#after(now, session, UNCONFIRMED_MS, (later) => this.#confirm(later, session));
      return;
    }
    this.#send(session, true);
    const wait = CONFIRM_FIRST_MS * 2 ** session.unanswered;
    session.unanswered += 1;
    this.#after(now, session, wait, (later) => this.#confirm(later, session));
  }

  /** Looks after the session in use: too old, or silent. */
  #watch(now: number, session: Session): void {
    if (this.#endIfTooOld(now, session)) return;
    const { timing, rng } = this.#context;
    const dueMs = session.heardMs + jittered(rng, timing.probeAfterMs);
    this.#after(now, session, Math.max(dueMs - now, PROBE_EVERY_MS), (later) => {
      if (later - session.heardMs >= timing.probeAfterMs * 0.8) this.#probe(later, session);
      else this.#watch(later, session);
    });
  }

  #probe(now: number, session: Session): void {
    if (session.unanswered >= PROBE_TRIES) {
      this.#context.counters.add('session:silent');
      this.#delegate.onNeed(now);
      this.#watch(now, session);
      return;
    }
    session.unanswered += 1;
    this.#send(session, true);
    this.#after(now, session, PROBE_EVERY_MS, (later) => {
      if (session.unanswered === 0) this.#watch(later, session);
      else this.#probe(later, session);
    });
  }

  #endIfTooOld(now: number, session: Session): boolean {
    if (now - session.createdMs < rejectAfterMs(this.#context.timing)) return false;
    this.#context.counters.add('session:too-old');
    this.end(now, session);
    return true;
  }

  #send(session: Session, wantsAnswer: boolean): void {
    this.#context.counters.add('out:keepalive');
    this.#context.transmit({
      to: this.#peer.addr,
      bytes: session.sealKeepalive(this.#context.crypto, wantsAnswer),
    });
  }

  #after(now: number, session: Session, ms: number, run: (now: number) => void): void {
    session.setTimer(this.#context.timers.at(now + ms, run));
  }

  #remove(session: Session): void {
    if (session === this.#current) this.#current = undefined;
    if (session === this.#next) this.#next = undefined;
    this.#superseded = this.#superseded.filter((other) => other !== session);
    this.#context.indexes.free(session.localIndex);
    this.#context.emit({ type: 'remove', peer: this.#peer.name, localIndex: session.localIndex });
    session.destroy();
  }

  #all(): Session[] {
    return [this.#current, this.#next, ...this.#superseded].filter((session) => session !== undefined);
  }
}
