import type { Address } from '../env.ts';
import type { Ping, PushPullNode } from '../memberlist/messages.ts';
import { encodeStream } from '../memberlist/stream-message.ts';
import { StreamParser } from '../memberlist/stream-parser.ts';
import type { PushPull, StreamMessage } from '../memberlist/stream-parser.ts';
import { WireError } from '../memberlist/wire-error.ts';
import type { SwimContext } from './context.ts';
import type { MemberTable, Peer } from './member-table.ts';
import { NODE_STATE } from './membership.ts';
import type { Membership } from './membership.ts';
import type { Timer } from './timer-heap.ts';
import { normalVersions, versionConflict } from './versions.ts';
import type { VersionHolder } from './versions.ts';

/**
 * Streams: push/pull, TCP ping, long user messages, both sides (gossip.md 1.10, 2.10). One request and at most one
 * answer on each, under one deadline. A push/pull is merged as a whole or, when versions clash, not at all.
 */
interface Session {
  readonly id: number;
  readonly peerAddr: Address;
  readonly isDialled: boolean;
  readonly parser: StreamParser;
  /** What a dialler says once connected. */
  readonly request: StreamMessage | undefined;
  readonly onAnswer: (now: number, message: StreamMessage) => void;
  readonly onFailure: (now: number, error: string) => void;
  timer: Timer;
  /** Everything was said and heard: only the peer's end is still missing. */
  isDone: boolean;
}

const NO_LABEL = new Uint8Array(0);
const WIRE_STATES = ['alive', 'suspect', 'dead', 'left'] as const;
/** Over all accepted streams; one push/pull of 10,000 nodes has about 1 MB. */
const MAX_BUFFERED_BYTES = 64 << 20;

export class Exchange {
  readonly #context: SwimContext;
  readonly #table: MemberTable;
  readonly #membership: Membership;
  readonly #sessions = new Map<number, Session>();
  #nextDialId = 1;
  #accepted = 0;
  #bufferedBytes = 0;

  constructor(context: SwimContext, table: MemberTable, membership: Membership) {
    this.#context = context;
    this.#table = table;
    this.#membership = membership;
  }

  /** `onDone` hears undefined when both sides' states have been merged, else what went wrong. */
  pushPull(
    now: number,
    to: Address,
    join: boolean,
    onDone: (now: number, error: string | undefined) => void,
  ): void {
    this.#pushPull(now, to, join, true, onDone);
  }

  /** A ping that does not depend on UDP. Silence until `endMs` is the failure. */
  ping(now: number, to: Address, ping: Ping, endMs: number, onAck: () => void): void {
    const request = { type: 'ping', ...ping } as const;
    this.#dial(now, to, request, endMs - now, {
      onAnswer: (_now, message) => {
        if (message.type === 'ack' && message.seqNo === ping.seqNo) onAck();
      },
      onFailure: () => undefined,
    });
  }

  sendUser(now: number, to: Address, bytes: Uint8Array): void {
    this.#dial(now, to, { type: 'user', bytes, signedInts: false }, this.#context.settings.tcpTimeoutMs, {
      onAnswer: () => undefined,
      onFailure: () => this.#context.counts.drop('user-undelivered'),
    });
  }

  handleOpen(now: number, id: number, from: Address): void {
    const { counts, streamActions, settings } = this.#context;
    if (this.#accepted >= settings.maxStreams || this.#sessions.has(id)) {
      counts.drop('stream-busy');
      streamActions.push({ type: 'close', id });
      return;
    }
    this.#accepted += 1;
    this.#open(now, {
      id,
      peerAddr: from,
      isDialled: false,
      label: settings.label,
      request: undefined,
      timeoutMs: settings.tcpTimeoutMs,
      onAnswer: (later, message) => this.#serve(later, id, from, message),
      onFailure: () => undefined,
    });
  }

  handleConnect(_now: number, id: number): void {
    const session = this.#sessions.get(id);
    if (session?.request === undefined) return;
    const { request } = session;
    this.#write(id, request, this.#context.settings.label);
    if (request.type !== 'user') return;
    // Nothing comes back: wait only for the peer's end, so that the bytes are surely taken.
    session.isDone = true;
    this.#context.streamActions.push({ type: 'end', id });
  }

  handleData(now: number, id: number, bytes: Uint8Array): void {
    const session = this.#sessions.get(id);
    if (session === undefined || session.isDone) return;
    const before = session.parser.bufferedBytes;
    try {
      const message = session.parser.push(bytes);
      this.#bufferedBytes += session.parser.bufferedBytes - before;
      if (message !== undefined) this.#received(now, session, message);
      else if (this.#bufferedBytes > MAX_BUFFERED_BYTES)
        this.#fail(now, session, 'too many bytes in streams');
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#context.counts.drop(`stream-${error.reason}`);
      this.#refuse(session, error);
      this.#fail(now, session, error.message);
    }
  }

  handleEnd(now: number, id: number, error: string | undefined): void {
    const session = this.#sessions.get(id);
    if (session === undefined) return;
    if (session.isDone && error === undefined) this.#forget(session);
    else this.#fail(now, session, error ?? 'the peer closed the stream early');
  }

  #pushPull(
    now: number,
    to: Address,
    join: boolean,
    mayRetry: boolean,
    onDone: (now: number, error: string | undefined) => void,
  ): void {
    const request = this.#localState(now, join);
    this.#dial(now, to, request, this.#context.settings.tcpTimeoutMs, {
      onFailure: onDone,
      onAnswer: (later, message) => {
        if (message.type !== 'pushPull') {
          onDone(
            later,
            message.type === 'err' ? `the peer refuses: ${message.error}` : 'the peer answers out of turn',
          );
          return;
        }
        const wasRefused = this.#membership.adoptVersions(message.nodes.map(versionsOf));
        const error = this.#merge(later, to, message, join);
        // The peer judged what we sent before we knew its versions; only now does it have reason to take us.
        if (wasRefused && mayRetry && error === undefined) this.#pushPull(later, to, join, false, onDone);
        else onDone(later, error);
      },
    });
  }

  #serve(now: number, id: number, from: Address, message: StreamMessage): void {
    switch (message.type) {
      case 'pushPull':
        // Before we answer: the peer checks the versions that we send.
        this.#membership.adoptVersions(message.nodes.map(versionsOf));
        this.#answer(id, this.#localState(now, message.join));
        this.#merge(now, from, message, message.join);
        return;
      case 'ping':
        if (message.node === this.#membership.self.name) {
          this.#answer(id, { type: 'ack', seqNo: message.seqNo, payload: null });
          return;
        }
        this.#context.counts.drop('ping-for-other');
        break;
      case 'user': {
        const { bytes } = message;
        const node = this.#table.at(from)?.name;
        this.#context.events.push({ type: 'user', bytes, addr: from, node, reliable: true });
        break;
      }
      default:
        this.#context.counts.drop('stream-out-of-turn');
    }
    this.#close(id);
  }

  #received(now: number, session: Session, message: StreamMessage): void {
    this.#context.counts.add(`${message.type}:in`);
    session.isDone = true;
    if (session.isDialled) this.#close(session.id);
    session.onAnswer(now, message);
  }

  /** Go tells the peer why; we do so only where it is a matter of configuration. */
  #refuse(session: Session, { reason }: WireError): void {
    if (session.isDialled || reason !== 'encrypted') return;
    const error = 'Remote state is encrypted and encryption is not configured';
    this.#write(session.id, { type: 'err', error }, NO_LABEL);
    this.#context.streamActions.push({ type: 'end', id: session.id });
  }

  /** All nodes that we know. Ourselves first: nothing else on a stream tells who speaks. */
  #localState(now: number, join: boolean): PushPull {
    const { self } = this.#membership;
    const nodes = [nodeOf(self)];
    for (const peer of this.#table.order) {
      if (peer !== self) nodes.push(nodeOf(peer));
    }
    const userState = this.#context.delegate.localState(now, join);
    return { type: 'pushPull', join, nodes, userState, signedInts: false };
  }

  /** Gives the reason when nothing was merged. */
  #merge(now: number, from: Address, { nodes, userState }: PushPull, join: boolean): string | undefined {
    const conflict = versionConflict([...this.#table.order.map(versionsOfPeer), ...nodes.map(versionsOf)]);
    if (conflict !== undefined) {
      this.#context.counts.drop('merge-versions');
      return conflict;
    }
    for (const node of nodes) this.#membership.mergeNode(now, node);
    if (userState.length > 0) {
      const node = this.#speaker(from, nodes);
      this.#context.events.push({ type: 'remote-state', bytes: userState, addr: from, node, join });
    }
    return undefined;
  }

  /** The node at that address; on an accepted stream only the IP tells, and the first node of the list may. */
  #speaker(from: Address, nodes: readonly PushPullNode[]): string | undefined {
    const first = this.#table.get(nodes[0]?.name ?? '');
    return (
      this.#table.atExactly(from)?.name ??
      (first?.addr.ip === from.ip ? first.name : this.#table.at(from)?.name)
    );
  }

  #dial(
    now: number,
    to: Address,
    request: StreamMessage,
    timeoutMs: number,
    handlers: Pick<Session, 'onAnswer' | 'onFailure'>,
  ): void {
    const id = this.#nextDialId;
    this.#nextDialId += 2;
    this.#context.streamActions.push({ type: 'dial', id, to, timeoutMs });
    this.#open(now, { id, peerAddr: to, isDialled: true, label: NO_LABEL, request, timeoutMs, ...handlers });
  }

  #open(
    now: number,
    opening: Omit<Session, 'parser' | 'timer' | 'isDone'> & { label: Uint8Array; timeoutMs: number },
  ): void {
    const { label, timeoutMs, ...rest } = opening;
    const timer = this.#context.timers.at(now + timeoutMs, (later) => {
      const session = this.#sessions.get(rest.id);
      if (session !== undefined) this.#fail(later, session, 'no answer in time');
    });
    this.#sessions.set(rest.id, { ...rest, parser: new StreamParser(label), timer, isDone: false });
  }

  #answer(id: number, message: StreamMessage): void {
    this.#write(id, message, NO_LABEL);
    this.#context.streamActions.push({ type: 'end', id });
  }

  #write(id: number, message: StreamMessage, label: Uint8Array): void {
    this.#context.counts.add(`${message.type}:out`);
    this.#context.streamActions.push({ type: 'write', id, bytes: encodeStream(message, label) });
  }

  #fail(now: number, session: Session, error: string): void {
    this.#close(session.id);
    session.onFailure(now, error);
  }

  #close(id: number): void {
    const session = this.#sessions.get(id);
    if (session === undefined) return;
    this.#forget(session);
    this.#context.streamActions.push({ type: 'close', id });
  }

  #forget(session: Session): void {
    session.timer.cancel();
    this.#bufferedBytes -= session.parser.bufferedBytes;
    this.#sessions.delete(session.id);
    if (!session.isDialled) this.#accepted -= 1;
  }
}

function nodeOf({ name, addr, addrBytes, incarnation, meta, state, vsn }: Peer): PushPullNode {
  return {
    name,
    addr: addrBytes,
    incarnation,
    meta,
    port: addr.port,
    state: WIRE_STATES.indexOf(state),
    vsn,
  };
}

function versionsOf({ name, state, vsn }: PushPullNode): VersionHolder {
  return { name, isAlive: state === NODE_STATE.alive, vsn: normalVersions(vsn) };
}

function versionsOfPeer({ name, state, vsn }: Peer): VersionHolder {
  return { name, isAlive: state === 'alive', vsn };
}
