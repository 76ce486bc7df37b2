/** What of agent/io needs neither root nor a namespace. */
import { createSocket } from 'node:dgram';
import { existsSync, writeSync } from 'node:fs';
import tap from 'tap';
import type { OverlaydError } from '../../../agent/errors.ts';
import { describeHolders, socketInodes, tapHolders, udpPortHolders } from '../../../agent/io/holders.ts';
import { interfaceIndex, interfaceMtu, isInterfaceName, setInterfaceMtu } from '../../../agent/io/ifreq.ts';
import * as libc from '../../../agent/io/libc.ts';
import { acknowledgement, newLinkRequest } from '../../../agent/io/rtnetlink.ts';
import { addressFamily, ipBytes, ipText, sockaddr } from '../../../agent/io/sockaddr.ts';
import { holdsCapability, missingCapability, systemError } from '../../../agent/io/system-error.ts';
import { gsoMaxSegments, openTap } from '../../../agent/io/tap.ts';
import { closeUdp, openUdp } from '../../../agent/io/udp.ts';

const PORT = 20_000 + (process.pid % 20_000);

function code(action: () => unknown): string {
  try {
    action();
    return 'no error';
  } catch (error) {
    return (error as OverlaydError).code;
  }
}

void tap.test('socket addresses', async (t) => {
  t.same([...sockaddr('10.1.2.3', 4789)], [2, 0, 0x12, 0xb5, 10, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0]);
  t.equal(sockaddr('fd77::1', 4789).length, 28);
  t.equal(addressFamily('fd77::1'), libc.AF_INET6);
  for (const ip of ['10.1.2.3', 'fd77::1', '::', '255.255.255.255']) t.equal(ipText(ipBytes(ip)), ip);
  for (const wrong of ['', '10.1', 'host', '1.2.3.4.5', 'fd77::1::2', '010.1.2.3']) {
    t.equal(
      code(() => sockaddr(wrong, 1)),
      'OVL_ADDRESS',
      wrong,
    );
  }
});

void tap.test('rtnetlink request and answers', async (t) => {
  const request = newLinkRequest(7, 40, 44);
  t.equal(request.length, 40);
  t.same([...request.subarray(0, 8)], [40, 0, 0, 0, 16, 0, 5, 0]);
  t.same([...request.subarray(20, 24)], [7, 0, 0, 0]);
  t.same([...request.subarray(32)], [8, 0, 40, 0, 44, 0, 0, 0]);
  const answer = new Uint8Array(36);
  answer.set([36, 0, 0, 0, 2, 0]);
  t.equal(acknowledgement(answer), undefined);
  new DataView(answer.buffer).setInt32(16, -22, true);
  t.equal(acknowledgement(answer), 'EINVAL');
  t.equal(acknowledgement(answer.subarray(0, 4)), 'short netlink answer');
  answer[4] = 16;
  t.equal(acknowledgement(answer), 'unexpected netlink answer');
});

void tap.test('holders of a port', async (t) => {
  const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   1: 00000000:12B5 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0 0
   2: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 99 2 0 0
`;
  t.same(socketInodes(table, 4789), ['4711']);
  t.same(socketInodes(table, 53), ['99']);
  t.same(socketInodes('', 53), []);
  t.equal(describeHolders([]), undefined);
  t.equal(
    describeHolders([
      { pid: 1, command: 'init' },
      { pid: 9, command: 'dockerd' },
    ]),
    'init (pid 1), dockerd (pid 9)',
  );
  t.same(tapHolders('no-such-tap'), []);
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => {
    socket.bind(PORT, '127.0.0.1', resolve);
  });
  t.ok(udpPortHolders(PORT).some((holder) => holder.pid === process.pid));
  for (const receivers of [1, 2]) {
    const request = { addr: '127.0.0.1', port: PORT, receivers, transmitters: 1, gro: true };
    t.throws(() => openUdp(request), {
      code: 'OVL_PORT_TAKEN',
      message: new RegExp(`UDP port ${PORT} on 127.0.0.1 is taken by .*pid ${process.pid}`),
    });
  }
  socket.close();
});

void tap.test('UDP sockets on loopback', async (t) => {
  const request = { addr: '127.0.0.1', port: PORT + 1, receivers: 1, transmitters: 8, gro: true };
  const sockets = openUdp(request);
  t.equal(sockets.receive.length, 1);
  t.equal(sockets.transmit[0]?.length, 8);
  t.equal(
    code(() => openUdp(request)),
    'OVL_PORT_TAKEN',
    'even by ourselves',
  );
  closeUdp(sockets);
  closeUdp(openUdp({ ...request, addr: '::1' }));
  closeUdp(openUdp(request));
  t.equal(
    code(() => openUdp({ ...request, addr: '192.0.2.1' })),
    'OVL_ADDRESS_UNAVAILABLE',
  );
});

void tap.test('interfaces', async (t) => {
  t.ok(isInterfaceName('tap0'));
  for (const name of ['', 'a b', 'a/b', 'a:b', '.', '..', 'sixteen-letters-'])
    t.notOk(isInterfaceName(name), name);
  t.ok(interfaceIndex('lo'));
  t.equal(interfaceIndex('no-such-if'), undefined);
  t.equal(interfaceMtu('lo') > 0, true);
  t.equal(
    code(() => interfaceMtu('no-such-if')),
    'OVL_LINK',
  );
  t.equal(
    code(() => setInterfaceMtu('no-such-if', 1500)),
    'OVL_LINK',
  );
  t.equal(
    code(() => openTap({ name: 'a/b', mtu: 1450, queues: 1, offload: true, persist: false })),
    'OVL_TAP_NAME',
  );
});

void tap.test('segments that fit one send', async (t) => {
  t.equal(gsoMaxSegments(1450), 44);
  t.equal(gsoMaxSegments(8950), 7);
  t.equal(gsoMaxSegments(65_521), 1);
});

void tap.test('errors of system calls', async (t) => {
  t.equal(libc.errnoName(libc.EBUSY), 'EBUSY');
  t.equal(libc.errnoName(4095), 'errno 4095');
  t.equal(libc.open('/no/such/file', 0), -1);
  const error = systemError('OVL_X', 'cannot open it', 'Make it.');
  t.match(error, { code: 'OVL_X', message: 'cannot open it: ENOENT', hint: 'Make it.', exitCode: 1 });
  t.notOk(existsSync('/proc/self/stat/none'), 'what Node does in between changes nothing');
  writeSync(1, '# to wherever the output goes\n');
  t.equal(libc.errno(), libc.ENOENT);
  t.ok(libc.close(libc.open('/dev/null', 0)) === 0);
  t.equal(libc.errno(), libc.ENOENT, 'nor do calls that succeed');
  t.equal(libc.close(-1), -1);
  t.equal(libc.errnoName(libc.errno()), 'EBADF', 'the next that fails does');
  t.equal(systemError('OVL_X', 'no', undefined, libc.EPERM).exitCode, 4);
  t.match(missingCapability('CAP_NET_ADMIN', 'cannot'), { exitCode: 4, message: /lacks CAP_NET_ADMIN/ });
  t.type(holdsCapability('CAP_NET_ADMIN'), 'boolean');
});

void tap.test('addresses of shared memory stay', async (t) => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const address = libc.addressOf(new Uint8Array(memory.buffer));
  t.equal(address % 4096, 0);
  t.equal(libc.addressOf(new Uint8Array(memory.buffer, 128)), address + 128);
});
