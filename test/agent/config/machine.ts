/** A machine with an address, for the resolver. */
import type { Machine } from '../../../agent/config/underlay.ts';

export function machine(changes: Partial<Machine> = {}): Machine {
  return {
    hostName: () => 'host-a',
    defaultAddress: () => Promise.resolve('192.0.2.1'),
    addresses: () => [
      { ip: '127.0.0.1', interfaceName: 'lo' },
      { ip: '192.0.2.1', interfaceName: 'eth0' },
      { ip: '2001:db8::1', interfaceName: 'eth0' },
      { ip: '198.51.100.1', interfaceName: 'eth1' },
    ],
    owns: () => Promise.resolve(false),
    pause: () => Promise.resolve(),
    say: () => undefined,
    mtu: (name) => Promise.resolve(name === 'eth1' ? 9000 : 1500),
    ...changes,
  };
}
