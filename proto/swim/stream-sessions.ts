import type { Address } from '../env.ts';
import type { SecretKey } from '../keyring/secret-key.ts';
import type { Sealer } from '../memberlist/sealed-block.ts';
import { encodeStream } from '../memberlist/stream-message.ts';
import { StreamParser } from '../memberlist/stream-parser.ts';
import type { StreamMessage } from '../memberlist/stream-parser.ts';
import { WireError } from '../memberlist/wire-error.ts';
import type { SwimContext } from './context.ts';
import { StreamGate } from './stream-gate.ts';
import type { StreamTicket } from './stream-gate.ts';
import type { Timer } from './timer-heap.ts';

/**
 * Streams as memberlist uses them (gossip.md 1.10): one request by the dialler, at most one answer, one deadline over it
 * all. What the messages mean is exchange.ts's business.
 *
 * Invariant: each dialled stream ends in exactly one of onAnswer and onFailure; each id is given up by one 'close', or
 * by the peer's end after ours.
 */
interface Session {
  readonly id: number;
  readonly isDialled: boolean;
  /** Of accepted ones. */
  readonly ticket: StreamTicket | undefined;
  /** Of the other side: as dialled, or as it came. */
  readonly addr: Address;
  readonly parser: StreamParser;
  /** What a dialler says once connected. */
  readonly request: StreamMessage | undefined;
  readonly sealAs: SealAs;
  readonly onAnswer: (now: number, message: StreamMessage) => void;
  readonly onFailure: (now: number, error: string) => void;
  /** What the peer sealed with, and so surely opens. */
  peerKey: SecretKey | undefined;
  timer: Timer;
  /** Everything was said and heard: only the peer's end is still missing. */
  isDone: boolean;
}

/**
 * How a request is sealed, where there are keys: `known` as the member at this address is known to open it, `base` as a
 * newcomer would, `clear` not at all.
 */
export type SealAs = 'known' | 'base' | 'clear';

export type DialHandlers = Pick<Session, 'onAnswer' | 'onFailure'>;

/** Answers an accepted stream's request, by `answer` or `close`. */
export type Serve = (now: number, id: number, from: Address, message: StreamMessage) => void;

const NO_LABEL = new Uint8Array(0);
/** For the connection alone: a lost SYN is repeated within it, a host that is down does not hold us up for long. */
const CONNECT_TIMEOUT_MS = 4000;
/** Over all streams; one push/pull of 10,000 nodes has about 1 MB. */
const MAX_BUFFERED_BYTES = 64 << 20;

export class StreamSessions {
  readonly #context: SwimContext;
  readonly #serve: Serve;
  readonly #sessions = new Map<number, Session>();
  /** Ours are odd, so that they never meet those of the caller. */
  #nextDialId = 1;
  readonly #gate: StreamGate;
  #bufferedBytes = 0;

  /** `isMember`: whether a living member has this IP. */
  constructor(context: SwimContext, isMember: (ip: string) => boolean, serve: Serve) {
    this.#context = context;
    this.#gate = new StreamGate(context.settings.maxStreams, isMember);
    this.#serve = serve;
  }

  dial(
    now: number,
    to: Address,
    request: StreamMessage,
    timeoutMs: number,
    handlers: DialHandlers,
    sealAs: SealAs = 'known',
  ): void {
    const id = this.#nextDialId;
    this.#nextDialId += 2;
    const connectMs = Math.min(timeoutMs, CONNECT_TIMEOUT_MS);
    this.#context.streamActions.push({ type: 'dial', id, to, timeoutMs: connectMs });
    // Only the dialler's side of a stream carries the label: what comes back has none.
    const session = { id, isDialled: true, ticket: undefined, addr: to, request, sealAs, ...handlers };
    this.#open(now, session, NO_LABEL, timeoutMs);
  }

  handleOpen(now: number, id: number, from: Address): void {
    const { counts, streamActions, settings, fault } = this.#context;
    const isFull = this.#sessions.has(id) || fault?.('stream.busy') === true;
    const ticket = isFull ? 'busy' : this.#gate.enter(now, from.ip);
    if (typeof ticket === 'string') {
      counts.drop(`stream-${ticket}`);
      streamActions.push({ type: 'close', id });
      return;
    }
    const session = {
      id,
      isDialled: false,
      ticket,
      addr: from,
      request: undefined,
      sealAs: 'known' as const,
      onAnswer: (later: number, message: StreamMessage) => this.#serve(later, id, from, message),
      // Whoever dialled us learns of it by the end of the stream.
      onFailure: () => undefined,
    };
    this.#open(now, session, settings.label, settings.tcpTimeoutMs);
  }

  handleConnect(id: number): void {
    const session = this.#sessions.get(id);
    if (session?.request === undefined) return;
    const { request } = session;
    this.#write(id, request, this.#context.settings.label, this.#requestSealer(session));
    if (request.type !== 'user') return;
    // Nothing comes back: wait only for the peer's end, so that the bytes are surely taken.
    session.isDone = true;
    this.#context.streamActions.push({ type: 'end', id });
  }

  handleData(now: number, id: number, bytes: Uint8Array): void {
    const session = this.#sessions.get(id);
    // Bytes behind a whole message are nobody's business.
    if (session === undefined || session.isDone) return;
    try {
      const message = this.#push(session, bytes);
      if (message !== undefined) this.#received(now, session, message);
      else if (this.#bufferedBytes > MAX_BUFFERED_BYTES)
        this.#fail(now, session, 'too many bytes in streams');
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#context.counts.drop(`stream-${error.reason}`);
      if (error.reason === 'undecryptable' || error.reason === 'clear') this.#unopened(now, session);
      this.#refuse(session, error);
      this.#fail(now, session, error.message);
    }
  }

  /** What is held is counted whatever comes of it: `#forget` takes it off again. */
  #push({ parser }: Session, bytes: Uint8Array): StreamMessage | undefined {
    const before = parser.bufferedBytes;
    try {
      return parser.push(bytes);
    } finally {
      this.#bufferedBytes += parser.bufferedBytes - before;
    }
  }

  handleEnd(now: number, id: number, error: string | undefined): void {
    const session = this.#sessions.get(id);
    if (session === undefined) return;
    if (session.isDone && error === undefined) this.#forget(session);
    else this.#fail(now, session, error ?? 'the peer closed the stream early');
  }

  /** The one answer on an accepted stream. It stays until the peer has taken it, or the deadline. */
  answer(id: number, message: StreamMessage): void {
    const peerKey = this.#sessions.get(id)?.peerKey;
    // In clear only to who asked in clear: a stream in clear does not come so far where sealing is required.
    const sealer = peerKey && this.#context.sealing?.sealerWith(peerKey);
    this.#write(id, message, NO_LABEL, sealer);
    this.#context.streamActions.push({ type: 'end', id });
  }

  close(id: number): void {
    const session = this.#sessions.get(id);
    if (session === undefined) return;
    this.#forget(session);
    this.#context.streamActions.push({ type: 'close', id });
  }

  #open(
    now: number,
    opened: Omit<Session, 'parser' | 'timer' | 'isDone' | 'peerKey'>,
    label: Uint8Array,
    timeoutMs: number,
  ): void {
    const { id } = opened;
    const timer = this.#context.timers.at(now + timeoutMs, (later) => {
      const late = this.#sessions.get(id);
      if (late === undefined) return;
      if (late.ticket !== undefined) this.#gate.silent(later, late.ticket);
      this.#fail(later, late, 'no answer in time');
    });
    const { sealing } = this.#context;
    const options = sealing?.streamOptions(this.#announcedAddr(opened), (key) => {
      session.peerKey = key;
    });
    const parser = new StreamParser(label, { ...options, known: this.#context.known });
    const session: Session = { ...opened, parser, timer, isDone: false, peerKey: undefined };
    this.#sessions.set(id, session);
  }

  /** Of an accepted stream only the IP tells, where one member alone has it. */
  #announcedAddr({ isDialled, addr }: Pick<Session, 'isDialled' | 'addr'>): Address | undefined {
    return isDialled ? addr : this.#context.sealing?.memberAddr(addr);
  }

  #requestSealer({ sealAs, addr }: Session): Sealer | undefined {
    const { sealing } = this.#context;
    if (sealAs === 'clear') return undefined;
    return sealAs === 'base' ? sealing?.baseSealer() : sealing?.sealerFor(addr);
  }

  #received(now: number, session: Session, message: StreamMessage): void {
    this.#context.counts.add(`${message.type}:in`);
    session.isDone = true;
    // Closed before it is acted on: the action may dial again.
    if (session.isDialled) this.close(session.id);
    session.onAnswer(now, message);
  }

  /** Streams cannot be forged from another's address: whose fail too often is not even heard. */
  #unopened(now: number, { ticket, addr }: Session): void {
    if (ticket !== undefined) this.#gate.failed(now, ticket.ip);
    this.#context.sealing?.tell(now, addr);
  }

  /** Go tells the peer of every error; we only of those that are a matter of its configuration. */
  #refuse(session: Session, { reason }: WireError): void {
    if (session.isDialled || reason !== 'encrypted') return;
    // In the words that operators of Go members know.
    this.answer(session.id, {
      type: 'err',
      error: 'Remote state is encrypted and encryption is not configured',
    });
  }

  #write(id: number, message: StreamMessage, label: Uint8Array, sealer?: Sealer): void {
    const { counts, settings, streamActions } = this.#context;
    counts.add(`${message.type}:out`);
    const wrapping = { compress: settings.compress, sealer, sealLabel: settings.label };
    streamActions.push({ type: 'write', id, bytes: encodeStream(message, label, wrapping) });
  }

  #fail(now: number, session: Session, error: string): void {
    this.close(session.id);
    session.onFailure(now, error);
  }

  #forget(session: Session): void {
    session.timer.cancel();
    this.#bufferedBytes -= session.parser.bufferedBytes;
    this.#sessions.delete(session.id);
    if (session.ticket !== undefined) this.#gate.leave(session.ticket);
  }
}
