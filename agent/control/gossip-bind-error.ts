import { OverlaydError } from '../errors.ts';
import { describeHolders, tcpPortHolders, udpPortHolders } from '../io/holders.ts';

/** Why the gossip port could not be bound, in words for the person who started us. */
export function gossipBindError(
  cause: unknown,
  transport: 'UDP' | 'TCP',
  { bindAddr, port }: { readonly bindAddr: string; readonly port: number },
): OverlaydError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const details = { bindAddr, port, transport };
  if (code === 'EADDRINUSE') {
    const holder = describeHolders((transport === 'UDP' ? udpPortHolders : tcpPortHolders)(port));
    const who = holder ?? 'another process';
    return new OverlaydError(
      'OVL_PORT_TAKEN',
      `${transport} port ${port} on ${bindAddr} is taken by ${who}`,
      {
        hint: `Stop the holder (dockerd in swarm mode and Serf use 7946; "ss -lntup" shows it), or set --gossip-port.`,
        details: { ...details, ...(holder !== undefined && { holder }) },
        cause,
      },
    );
  }
  if (code === 'EADDRNOTAVAIL') {
    return new OverlaydError(
      'OVL_ADDRESS_UNAVAILABLE',
      `this host has no address ${bindAddr} (EADDRNOTAVAIL)`,
      {
        hint: 'Set --advertise-addr to an address that "ip address" shows.',
        details,
        cause,
      },
    );
  }
  return new OverlaydError(
    'OVL_GOSSIP_BIND',
    `cannot bind gossip to ${bindAddr}:${port}/${transport}: ${message}`,
    {
      hint: 'Ports below 1024 need CAP_NET_BIND_SERVICE; see the cause for anything else.',
      details,
      cause,
    },
  );
}
