import type { RemoteInfo, Socket as UdpSocket } from 'node:dgram';
import { createServer, isIPv6 } from 'node:net';
import type { Server } from 'node:net';
import type { Address } from '../../proto/env.ts';
import { bytesToIp, ipToBytes } from '../../proto/memberlist/address.ts';
import type { SwimEvent, SwimNode } from '../../proto/swim/interface.ts';
import { numericSocket, sendDatagram } from '../io/numeric-socket.ts';
import type { Log } from '../log.ts';
import { gossipBindError } from './gossip-bind-error.ts';
import { GossipStreams } from './gossip-streams.ts';

/**
 * Sockets and timers for a membership object: one UDP socket and one TCP listener on the same port, and the loop of the
 * sans-I/O contract (proto/swim/interface.ts): hand in what came, carry out what it wants, sleep until its deadline.
 *
 * Bounded: 256 connections, of which the protocol object lets 128 be streams (proto/swim/stream-gate.ts), each under its
 * deadlines. Nothing that comes from the network throws; only the loss of a listening socket reaches `onError`.
 */
export interface GossipTransportOptions {
  /** An address of this host, or 0.0.0.0 or ::. Streams are dialled from it, so that peers can tell who calls. */
  readonly bindAddr: string;
  readonly port: number;
  readonly swim: SwimNode;
  /** Monotonic ms. */
  readonly clock: { now(): number };
  readonly onEvent: (event: SwimEvent) => void;
  /** A socket is gone; the transport is of no use any more. */
  readonly onError: (error: Error) => void;
  readonly log: Log;
}

export interface GossipTransport {
  readonly port: number;
  /** To be called after a command on the protocol object: does what it wants now. */
  kick(): void;
  /** Closes everything at once; a leave is to be said before. */
  close(): Promise<void>;
}

const RECEIVE_BUFFER_BYTES = 2 << 20;
/** More than the streams that there may be: some are still flushing, and whoever has one too many is told by its end. */
const MAX_CONNECTIONS = 256;
/** setTimeout takes no more; nothing waits so long. */
const MAX_SLEEP_MS = 60_000;
const SEND_WARNING_EVERY_MS = 60_000;

/** Binds both sockets. Throws OverlaydError: OVL_PORT_TAKEN with the holder where it can be found, OVL_GOSSIP_BIND. */
export async function openGossipTransport(options: GossipTransportOptions): Promise<GossipTransport> {
  const udp = numericSocket(isIPv6(options.bindAddr) ? 6 : 4, { recvBufferSize: RECEIVE_BUFFER_BYTES });
  try {
    await bindUdp(udp, options);
  } catch (error) {
    udp.close();
    throw gossipBindError(error, 'UDP', options);
  }
  const transport = new Transport(options, udp);
  try {
    await transport.listen();
  } catch (error) {
    await transport.close();
    throw gossipBindError(error, 'TCP', options);
  }
  transport.kick();
  return transport;
}

class Transport implements GossipTransport {
  readonly port: number;
  readonly #options: GossipTransportOptions;
  readonly #udp: UdpSocket;
  readonly #server: Server;
  readonly #streams: GossipStreams;
  #timer: NodeJS.Timeout | undefined;
  #isPumping = false;
  #isClosed = false;
  #lastSendWarningMs = -Infinity;

  constructor(options: GossipTransportOptions, udp: UdpSocket) {
    this.#options = options;
    this.port = options.port;
    this.#udp = udp;
    udp.on('message', (bytes, info) => this.#handleDatagram(bytes, info));
    udp.on('error', (error) => this.#fail(error));
    this.#streams = new GossipStreams(options, () => this.kick());
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      this.#streams.accept(socket, canonicalIp(socket.remoteAddress ?? ''), socket.remotePort ?? 0);
    });
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  listen(): Promise<void> {
    const { port, bindAddr } = this.#options;
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ port, host: bindAddr, exclusive: true }, () => {
        this.#server.off('error', reject);
        this.#server.on('error', (error) => this.#fail(error));
        resolve();
      });
    });
  }

  kick(): void {
    // A listener of events may give commands and kick: the loop that runs sees to them.
    if (this.#isPumping || this.#isClosed) return;
    this.#isPumping = true;
    const { swim, clock } = this.#options;
    try {
      if (swim.nextDeadline() <= clock.now()) swim.handleDeadline(clock.now());
      while (!this.#isClosed && this.#pumpOnce());
    } finally {
      this.#isPumping = false;
    }
    this.#sleep();
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#streams.closeAll();
    const closed = [
      new Promise<void>((resolve) => {
        this.#udp.close(() => resolve());
      }),
    ];
    if (this.#server.listening) {
      closed.push(
        new Promise((resolve) => {
          this.#server.close(() => resolve());
        }),
      );
    }
    await Promise.all(closed);
  }

  /** True when there was something to do, which may have made more. */
  #pumpOnce(): boolean {
    const { swim, onEvent } = this.#options;
    const transmit = swim.pollTransmit();
    if (transmit !== undefined) this.#send(transmit.to, transmit.bytes);
    const action = swim.pollStream();
    if (action !== undefined) this.#streams.perform(action);
    const event = swim.pollEvent();
    if (event !== undefined) onEvent(event);
    return transmit !== undefined || action !== undefined || event !== undefined;
  }

  #sleep(): void {
    clearTimeout(this.#timer);
    if (this.#isClosed) return;
    const waitMs = this.#options.swim.nextDeadline() - this.#options.clock.now();
    // Rounded up: woken a part of a millisecond early, we would spin until the deadline.
    const sleepMs = Math.min(MAX_SLEEP_MS, Math.max(0, Math.ceil(waitMs)));
    this.#timer = setTimeout(() => this.kick(), sleepMs);
  }

  #handleDatagram(bytes: Uint8Array, { address, port }: RemoteInfo): void {
    if (this.#isClosed) return;
    const { swim, clock } = this.#options;
    swim.handleDatagram(clock.now(), bytes, { ip: canonicalIp(address), port });
    this.kick();
  }

  #send({ ip, port }: Address, bytes: Uint8Array): void {
    const isMapped = isIPv6(this.#options.bindAddr) && !isIPv6(ip);
    sendDatagram(this.#udp, bytes, { ip: isMapped ? `::ffff:${ip}` : ip, port }, (error) => {
      if (error !== null) this.#warnOfSend(error, `${ip}:${port}`);
    });
  }

  /** No route and the like: the failure detector draws the conclusion, the operator hears of it now and then. */
  #warnOfSend(error: Error, addr: string): void {
    if (this.#isClosed) return;
    const now = this.#options.clock.now();
    if (now - this.#lastSendWarningMs < SEND_WARNING_EVERY_MS) return;
    this.#lastSendWarningMs = now;
    this.#options.log.warn({ addr, reason: error.message }, 'gossip cannot be sent');
  }

  #fail(error: Error): void {
    if (this.#isClosed) return;
    void this.close();
    this.#options.onError(error);
  }
}

function bindUdp(udp: UdpSocket, { bindAddr, port }: GossipTransportOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    udp.once('error', reject);
    udp.bind({ port, address: bindAddr, exclusive: true }, () => {
      udp.off('error', reject);
      resolve();
    });
  });
}

/** As the protocol writes addresses: no zone, and IPv4 as IPv4 also on a dual-stack socket. */
function canonicalIp(text: string): string {
  const bytes = ipToBytes(text.split('%')[0] ?? '');
  return (bytes && bytesToIp(bytes)) ?? text;
}
