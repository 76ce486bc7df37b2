import { connect } from 'node:net';
import type { Socket } from 'node:net';
import type { StreamAction, SwimNode } from '../../proto/swim/interface.ts';

/**
 * The TCP streams of a membership object: sockets by stream id, and the translation between socket events and
 * `handleStream*`. Deadlines are the protocol object's; a socket is never older than what it orders.
 */
export interface GossipStreamsOptions {
  readonly bindAddr: string;
  readonly swim: SwimNode;
  readonly clock: { now(): number };
  /** After an orderly end, how long a slow reader may take for what is still in the buffers, whether it reads or not. */
  readonly lingerMs?: number;
}

const LINGER_MS = 10_000;

export class GossipStreams {
  readonly #options: GossipStreamsOptions;
  /** Called after anything was handed to the protocol object. */
  readonly #onHandled: () => void;
  readonly #sockets = new Map<number, Socket>();
  /** Sockets on which both sides, or the protocol, have done, and that still flush. */
  readonly #lingering = new Set<Socket>();
  #nextAcceptId = 2;

  constructor(options: GossipStreamsOptions, onHandled: () => void) {
    this.#options = options;
    this.#onHandled = onHandled;
  }

  accept(socket: Socket, ip: string, port: number): void {
    const id = this.#nextAcceptId;
    this.#nextAcceptId += 2;
    this.#attach(id, socket);
    this.#hand((swim, now) => swim.handleStreamOpen(now, id, { ip, port }));
  }

  perform(action: StreamAction): void {
    if (action.type === 'dial') {
      this.#dial(action);
      return;
    }
    const socket = this.#sockets.get(action.id);
    if (socket === undefined) return;
    if (action.type === 'write') socket.write(action.bytes);
    else if (action.type === 'end') {
      socket.end();
      if (socket.readableEnded) this.#linger(socket);
    } else this.#release(action.id, socket);
  }

  closeAll(): void {
    for (const socket of [...this.#sockets.values(), ...this.#lingering]) socket.destroy();
    this.#sockets.clear();
    this.#lingering.clear();
  }

  #dial({ id, to, timeoutMs }: Extract<StreamAction, { type: 'dial' }>): void {
    const { bindAddr } = this.#options;
    const isWildcard = bindAddr === '0.0.0.0' || bindAddr === '::';
    const socket = connect({
      host: to.ip,
      port: to.port,
      allowHalfOpen: true,
      noDelay: true,
      ...(!isWildcard && { localAddress: bindAddr }),
    });
    this.#attach(id, socket);
    const timer = setTimeout(() => socket.destroy(new Error('connection timed out')), timeoutMs);
    socket.once('connect', () => {
      clearTimeout(timer);
      this.#hand((swim, now) => swim.handleStreamConnect(now, id));
    });
    socket.once('close', () => clearTimeout(timer));
  }

  #attach(id: number, socket: Socket): void {
    this.#sockets.set(id, socket);
    socket.on('data', (bytes) => {
      if (this.#isOurs(id, socket)) this.#hand((swim, now) => swim.handleStreamData(now, id, bytes));
    });
    socket.on('end', () => {
      // The protocol may be done with it now, and say no more of it.
      if (socket.writableEnded) this.#linger(socket);
      if (this.#isOurs(id, socket)) this.#hand((swim, now) => swim.handleStreamEnd(now, id, undefined));
    });
    socket.on('error', (error) => {
      if (!this.#isOurs(id, socket)) return;
      this.#sockets.delete(id);
      this.#hand((swim, now) => swim.handleStreamEnd(now, id, error.message));
    });
    socket.on('close', () => {
      this.#lingering.delete(socket);
      if (!this.#isOurs(id, socket)) return;
      this.#sockets.delete(id);
      this.#hand((swim, now) => swim.handleStreamEnd(now, id, 'connection closed'));
    });
  }

  /** What was written before an end still goes out; a stream that was not ended is dropped at once. */
  #release(id: number, socket: Socket): void {
    this.#sockets.delete(id);
    if (!socket.writableEnded || socket.writableFinished) {
      socket.destroy();
      return;
    }
    this.#linger(socket);
    socket.destroySoon();
  }

  #linger(socket: Socket): void {
    if (socket.destroyed || this.#lingering.has(socket)) return;
    this.#lingering.add(socket);
    const timer = setTimeout(() => socket.destroy(), this.#options.lingerMs ?? LINGER_MS);
    socket.once('close', () => clearTimeout(timer));
  }

  #isOurs(id: number, socket: Socket): boolean {
    return this.#sockets.get(id) === socket;
  }

  #hand(run: (swim: SwimNode, now: number) => void): void {
    run(this.#options.swim, this.#options.clock.now());
    this.#onHandled();
  }
}
