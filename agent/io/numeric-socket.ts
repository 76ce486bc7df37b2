/** UDP sockets that are told addresses, never names. */
import { createSocket } from 'node:dgram';
import type { Socket, SocketOptions } from 'node:dgram';
import { isIPv6 } from 'node:net';

/** No resolver is asked, and no turn of the event loop goes by for one. */
const lookup: SocketOptions['lookup'] = (host, _options, callback) =>
  callback(null, host, isIPv6(host) ? 6 : 4);

export function numericSocket(family: 4 | 6, options: Omit<SocketOptions, 'type' | 'lookup'> = {}): Socket {
  return createSocket({ ...options, type: family === 4 ? 'udp4' : 'udp6', lookup });
}
