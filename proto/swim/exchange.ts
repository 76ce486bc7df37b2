import type { Address } from '../env.ts';
import { bytesToIp } from '../memberlist/address.ts';
import type { Ping, PushPullNode } from '../memberlist/messages.ts';
import type { PushPull, StreamMessage } from '../memberlist/stream-parser.ts';
import { dropBanned } from './context.ts';
import type { SwimContext } from './context.ts';
import type { MemberTable } from './member-table.ts';
import { NODE_STATE } from './membership.ts';
import type { Membership } from './membership.ts';
import { nodeOf } from './peer.ts';
import { StreamSessions } from './stream-sessions.ts';
import type { SealAs } from './stream-sessions.ts';
import { VersionKinds, speaksOurs, versionConflict } from './versions.ts';
import type { VersionHolder } from './versions.ts';

/**
 * What is said over streams: push/pull, TCP ping, long user messages, both sides (gossip.md 1.10, 2.10).
 *
 * A push/pull is merged as a whole or, when delegate versions clash, not at all. Both sides send before they judge, so a joiner
 * that learns only from the answer which delegate version is spoken asks a second time (versions.ts).
 */
type Done = (now: number, error: string | undefined) => void;

export class Exchange {
  readonly streams: StreamSessions;
  readonly #context: SwimContext;
  readonly #table: MemberTable;
  readonly #membership: Membership;

  constructor(context: SwimContext, table: MemberTable, membership: Membership) {
    this.#context = context;
    this.#table = table;
    this.#membership = membership;
    this.streams = new StreamSessions(
      context,
      (ip) => table.isAnyUpAt(ip),
      (now, id, from, message) => this.#serve(now, id, from, message),
    );
  }

  /** `onDone` hears undefined when both sides' states have been merged, else what went wrong. */
  pushPull(now: number, to: Address, join: boolean, onDone: Done): void {
    const { sealing, bans } = this.#context;
    if (bans.at(to) !== undefined) return onDone(now, 'this host is revoked');
    if (!join) return this.#pushPull(now, to, join, 'known', true, onDone);
    if (sealing === undefined || sealing.isRequired)
      return this.#pushPull(now, to, join, 'base', true, onDone);
    // While sealing is being turned on, whoever is there may still have no key.
    this.#pushPull(now, to, join, 'base', true, (later, error) => {
      if (error === undefined) onDone(later, undefined);
      else this.#pushPull(later, to, join, 'clear', true, onDone);
    });
  }

  /** A ping that does not depend on UDP. Silence until `endMs` is the failure. */
  ping(now: number, to: Address, ping: Ping, endMs: number, onAck: () => void): void {
    this.streams.dial(now, to, { type: 'ping', ...ping }, endMs - now, {
      onAnswer: (_now, message) => {
        if (message.type === 'ack' && message.seqNo === ping.seqNo) onAck();
      },
      // The probe has its own end and needs no second one.
      onFailure: () => undefined,
    });
  }

  /** Fire and forget, like its UDP sister; what could not be delivered is counted. */
  sendUser(now: number, to: Address, bytes: Uint8Array): void {
    const request = { type: 'user', bytes, signedInts: false } as const;
    this.streams.dial(now, to, request, this.#context.settings.tcpTimeoutMs, {
      onAnswer: () => undefined,
      onFailure: () => this.#context.counts.drop('user-undelivered'),
    });
  }

  #pushPull(now: number, to: Address, join: boolean, sealAs: SealAs, mayRetry: boolean, onDone: Done): void {
    const onAnswer = (later: number, message: StreamMessage): void => {
      if (message.type !== 'pushPull') {
        const said =
          message.type === 'err' ? `the peer refuses: ${message.error}` : 'the peer answers out of turn';
        onDone(later, said);
        return;
      }
      const wasRefused = this.#membership.adoptVersions(versionsOf(message.nodes));
      const error = this.#merge(later, to, message, join);
      // The peer judged what we sent before we knew its versions; only now does it have reason to take us.
      if (wasRefused && mayRetry && error === undefined)
        this.#pushPull(later, to, join, sealAs, false, onDone);
      else onDone(later, error);
    };
    const { tcpTimeoutMs } = this.#context.settings;
    const handlers = { onAnswer, onFailure: onDone };
    this.streams.dial(now, to, this.#localState(now, join), tcpTimeoutMs, handlers, sealAs);
  }

  #serve(now: number, id: number, from: Address, message: StreamMessage): void {
    switch (message.type) {
      case 'pushPull':
        if (this.#isShutOut(now, message.nodes)) break;
        // Before we answer: the peer checks the versions that we send.
        this.#membership.adoptVersions(versionsOf(message.nodes));
        // And before we merge: what it said is no news to itself.
        this.streams.answer(id, this.#localState(now, message.join));
        this.#merge(now, from, message, message.join);
        return;
      case 'ping':
        if (message.node === this.#membership.self.name) {
          this.streams.answer(id, { type: 'ack', seqNo: message.seqNo, payload: null });
          return;
        }
        // Another member lived here once, or will: silence is the truth about it.
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
    this.streams.close(id);
  }

  /** All nodes that we know. Ourselves first: nothing else on a stream tells who speaks. */
  #localState(now: number, join: boolean): PushPull {
    const { self } = this.#membership;
    const nodes = [nodeOf(self)];
    for (const peer of this.#table.own()) {
      if (peer !== self) nodes.push(nodeOf(peer));
    }
    const packed = this.#table.packShared();
    const userState = this.#context.delegate.localState(now, join);
    return { type: 'pushPull', join, nodes, packed, userState, signedInts: false };
  }

  /** Gives the reason when nothing was merged. */
  #merge(now: number, from: Address, { nodes, userState }: PushPull, join: boolean): string | undefined {
    if (this.#isShutOut(now, nodes)) return 'this host is revoked';
    const fitting = nodes.filter(({ vsn }) => speaksOurs(vsn));
    const conflict =
      this.#strangeSpeaker(from, nodes) ?? versionConflict([...this.#table.versions(), ...versionsOf(nodes)]);
    if (conflict !== undefined) {
      this.#context.counts.drop('merge-versions');
      return conflict;
    }
    if (fitting.length < nodes.length) this.#context.counts.drop('alive-versions');
    // Of the list only this entry is its speaker's own word, wherever it stands.
    const speaker = this.#table.at(from)?.name;
    for (const node of fitting) this.#membership.mergeNode(now, node, node.name === speaker);
    if (userState.length > 0) {
      const node = this.#speaker(from, nodes);
      this.#context.events.push({ type: 'remote-state', bytes: userState, addr: from, node, join });
    }
    return undefined;
  }

  /** Who speaks is the first of its list. */
  #isShutOut(now: number, [speaker]: readonly PushPullNode[]): boolean {
    if (speaker === undefined || !this.#context.bans.hasName(speaker.name)) return false;
    const ip = bytesToIp(speaker.addr ?? new Uint8Array(0));
    const addr = ip === undefined || speaker.port === 0 ? undefined : { ip, port: speaker.port };
    dropBanned(this.#context, now, { name: speaker.name, addr });
    return true;
  }

  /** A node that is left out of a list is no reason to refuse the list, but for who speaks. */
  #strangeSpeaker(from: Address, [first]: readonly PushPullNode[]): string | undefined {
    if (first === undefined || speaksOurs(first.vsn)) return undefined;
    if (bytesToIp(first.addr ?? new Uint8Array(0)) !== from.ip) return undefined;
    return `protocol version of ${first.name} does not fit ours`;
  }

  /** The node at that address; on an accepted stream only the IP tells, and the first node of the list may. */
  #speaker(from: Address, nodes: readonly PushPullNode[]): string | undefined {
    const exact = this.#table.atExactly(from);
    if (exact !== undefined) return exact.name;
    const first = this.#table.get(nodes[0]?.name ?? '');
    return first?.addr.ip === from.ip ? first.name : this.#table.at(from)?.name;
  }
}

/** Of nodes whose protocol fits ours. What was recognised is in our own table, and counts as ours. */
function versionsOf(nodes: readonly PushPullNode[]): readonly VersionHolder[] {
  const kinds = new VersionKinds();
  for (const { name, state, vsn } of nodes)
    if (speaksOurs(vsn)) kinds.add(name, state === NODE_STATE.alive, vsn);
  return kinds.all;
}
