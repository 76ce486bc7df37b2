/** UDP sockets that are told addresses, never names, and datagrams that go to wherever the network said. */
import { createSocket } from 'node:dgram';
import type { Socket, SocketOptions } from 'node:dgram';
import { isIPv6 } from 'node:net';

/** No resolver is asked, and no turn of the event loop goes by for one. */
const lookup: SocketOptions['lookup'] = (host, _options, callback) =>
  callback(null, host, isIPv6(host) ? 6 : 4);

export function numericSocket(family: 4 | 6, options: Omit<SocketOptions, 'type' | 'lookup'> = {}): Socket {
  return createSocket({ ...options, type: family === 4 ? 'udp4' : 'udp6', lookup });
}

/**
 * Sends one datagram. `done` hears of every failure, also of those that node:dgram throws at once (a port of 0, a closed
 * socket): an address that somebody else announced must not end the process.
 */
export function sendDatagram(
  socket: Socket,
  bytes: Uint8Array,
  { ip, port }: { readonly ip: string; readonly port: number },
  done: (error: Error | null) => void = () => undefined,
): void {
  try {
    socket.send(bytes, port, ip, done);
  } catch (error) {
    done(error instanceof Error ? error : new Error(String(error)));
  }
}
