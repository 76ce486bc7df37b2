import type { Address } from '../../proto/env.ts';
import { isRangeMessage } from '../../proto/ipam/ask.ts';
import type { Member, SwimEvent, SwimNode } from '../../proto/swim/interface.ts';
import type { StateChange, StateNode } from '../../proto/state/interface.ts';
import { answerBanned, feedState, sendState } from '../../proto/state/over-swim.ts';
import { VersionGate } from '../../proto/state/version-gate.ts';
import { monotonicMs } from '../clock.ts';
import { formatHostPort } from '../config/address.ts';
import type { Log } from '../log.ts';
import { DeadlineTimer } from './deadline-timer.ts';
import type { Notices } from './notices.ts';
import { openGossipTransport, type GossipTransport } from './gossip-transport.ts';

/**
 * Membership and replicated state as one running thing: memberlist's events feed the state layer, the state layer's
 * messages leave as memberlist user messages, and what changed comes out in slices.
 *
 * Neither protocol object knows of the other or of sockets: over-swim.ts tells one what the other says, and this file brings
 * both to the sockets.
 */

/** Changes handed out per turn of the event loop, about 5 ms of work: syncs must not hold up probes (gossip.md trap 10). */
const CHANGES_PER_TURN = 250;

export interface ClusterOptions {
  readonly bindAddr: string;
  readonly gossipPort: number;
  readonly swim: SwimNode;
  readonly state: StateNode;
  /** The gossip sockets are gone; the daemon cannot go on. */
  readonly onFailure: (error: Error) => void;
  readonly notices?: Notices;
  readonly log: Log;
}

/** Takes records that changed, to look them up again. */
export type ChangeListener = (changes: readonly StateChange[]) => void;

export class Cluster {
  readonly swim: SwimNode;
  readonly state: StateNode;
  readonly #notices: Notices | undefined;
  readonly #gate: VersionGate;
  readonly #log: Log;
  #listener: ChangeListener | undefined;
  #onRangeMessage: ((from: string, bytes: Uint8Array) => void) | undefined;
  readonly #joinWaiters = new Map<string, ((error: string | undefined) => void)[]>();
  #transport: GossipTransport | undefined;
  #leaveDone: (() => void) | undefined;
  readonly #timer = new DeadlineTimer(() => {
    this.state.handleDeadline(monotonicMs());
    this.touch();
  });
  #settling = false;
  #closed = false;

  private constructor(options: ClusterOptions) {
    this.swim = options.swim;
    this.state = options.state;
    this.#notices = options.notices;
    this.#log = options.log;
    this.#gate = new VersionGate((peer, reason) => {
      options.log.warn({ peer, reason }, 'this peer cannot be understood: upgrade one of the two hosts');
    });
  }

  /** Binds the gossip port and starts to take part. Throws OverlaydError when the port is taken. */
  static async open(options: ClusterOptions): Promise<Cluster> {
    const cluster = new Cluster(options);
    cluster.#transport = await openGossipTransport({
      bindAddr: options.bindAddr,
      port: options.gossipPort,
      swim: options.swim,
      clock: { now: monotonicMs },
      onEvent: (event) => {
        cluster.#handle(event);
      },
      onError: options.onFailure,
      log: options.log,
    });
    cluster.touch();
    return cluster;
  }

  /** Changes wait until somebody takes them. */
  onChanges(listener: ChangeListener): void {
    this.#listener = listener;
    this.touch();
  }

  /** Hosts that ask for addresses, and answers to them (proto/ipam/ask.ts). */
  onRangeMessages(listener: (from: string, bytes: Uint8Array) => void): void {
    this.#onRangeMessage = listener;
  }

  /** One packet to a member, if it is known. */
  send(to: string, bytes: Uint8Array): void {
    const member = this.swim.member(to);
    if (member !== undefined) this.swim.sendUser(monotonicMs(), member.addr, bytes);
    this.touch();
  }

  /** To be called after any command on `swim` or `state`: does what they now want done. */
  touch(): void {
    if (this.#settling || this.#closed) return;
    this.#settling = true;
    // Deferred, so that a command given from inside a callback of the transport does not re-enter it.
    setImmediate(() => {
      this.#settling = false;
      if (!this.#closed) this.#settle();
    });
  }

  /** Push/pull with each address; resolves to the error per address (undefined: joined). */
  join(addresses: readonly Address[]): Promise<(string | undefined)[]> {
    const results = addresses.map(
      (address) =>
        new Promise<string | undefined>((resolve) => {
          const key = formatHostPort(address.ip, address.port);
          this.#joinWaiters.set(key, [...(this.#joinWaiters.get(key) ?? []), resolve]);
        }),
    );
    this.swim.join(monotonicMs(), addresses);
    this.touch();
    return Promise.all(results);
  }

  /** Tells the cluster that this host goes; resolves when it has been said often enough, or after `deadlineMs`. */
  async leave(deadlineMs: number): Promise<void> {
    const said = new Promise<void>((resolve) => {
      this.#leaveDone = resolve;
    });
    // First, so that it is known wherever the unsigned message of membership comes.
    this.state.sayGoodbye(monotonicMs());
    this.swim.leave(monotonicMs());
    this.touch();
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, deadlineMs);
    });
    await Promise.race([said, deadline]);
    clearTimeout(timer);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer.stop();
    await this.#transport?.close();
  }

  #handle(event: SwimEvent): void {
    const now = monotonicMs();
    if (event.type === 'user' && isRangeMessage(event.bytes)) {
      const from = event.node;
      if (from !== undefined && !this.#gate.isRefused(from)) this.#onRangeMessage?.(from, event.bytes);
      return this.touch();
    }
    feedState(now, this.state, event, this.#gate);
    answerBanned(now, this.state, event, this.swim);
    switch (event.type) {
      case 'join':
      case 'alive':
      case 'update':
      case 'dead':
      case 'left':
        this.#memberChanged(event.type, event.member);
        break;
      case 'suspect':
        this.#log.debug({ peer: event.member.name }, 'peer is suspected to be down');
        break;
      case 'user':
      case 'remote-state':
      case 'ack-payload':
        break;
      case 'conflict':
        this.#notices?.note(now, {
          check: 'identity',
          severity: 'error',
          what: `two hosts use the node name "${event.existing.name}": ${event.existing.addr.ip} and ${event.other.ip}`,
          cure: 'Give one of them another --node-name.',
        });
        this.#log.warn(
          { peer: event.existing.name, addr: event.existing.addr.ip, other: event.other.ip },
          'two hosts use one node name; give one of them another --node-name',
        );
        break;
      case 'undecryptable':
        this.#notices?.note(now, {
          check: 'keyring',
          severity: 'warn',
          what: `gossip from ${event.addr.ip} cannot be opened with any key of this host`,
          cure: 'Compare "overlayd keyring ls" on both hosts; give both the same key with "overlayd keyring add".',
        });
        this.#log.warn(
          { addr: event.addr.ip, count: event.count },
          'gossip comes in that no key of ours opens; compare "overlayd keyring ls" on both hosts',
        );
        break;
      case 'banned':
        this.#log.warn({ peer: event.name, addr: event.addr.ip }, 'a revoked host still talks to this one');
        break;
      case 'join-result':
        this.#joined(event.addr, event.error);
        break;
      case 'leave-done':
        this.#leaveDone?.();
        break;
    }
    this.touch();
  }

  #memberChanged(what: string, member: Member): void {
    if (member.name !== this.swim.self.name) {
      this.#log.info({ peer: member.name, addr: member.addr.ip, state: member.state }, `peer ${what}`);
    }
  }

  #joined(addr: Address, error: string | undefined): void {
    if (error !== undefined)
      this.#log.debug({ addr: formatHostPort(addr.ip, addr.port), error }, 'join failed');
    const key = formatHostPort(addr.ip, addr.port);
    const waiters = this.#joinWaiters.get(key) ?? [];
    this.#joinWaiters.delete(key);
    for (const resolve of waiters) resolve(error);
  }

  #settle(): void {
    this.#handOutChanges();
    sendState(monotonicMs(), this.state, this.swim);
    this.#transport?.kick();
    this.#timer.arm(this.state.nextDeadline());
  }

  #handOutChanges(): void {
    if (this.#listener === undefined) return;
    const changes: StateChange[] = [];
    for (let change = this.state.pollChange(); change !== undefined; change = this.state.pollChange()) {
      changes.push(change);
      if (changes.length >= CHANGES_PER_TURN) {
        this.touch();
        break;
      }
    }
    if (changes.length > 0) this.#listener(changes);
  }
}
