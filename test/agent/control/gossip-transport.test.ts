import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { OverlaydError } from '../../../agent/errors.ts';
import { RealMember, eventually } from '../../interop/member.ts';

/** Real sockets on loopback: what the simulation cannot show of the membership object's edge to the world. */
// The machine may be busy: tap's own limit of 30 s is for a quiet one.
t.setTimeout(180_000);

async function opening(ip: string, port: number): Promise<OverlaydError> {
  try {
    const member = await RealMember.open('never', ip, {}, port);
    await member.close();
  } catch (error) {
    if (error instanceof OverlaydError) return error;
    throw error;
  }
  throw new Error('could be opened');
}

void t.test(
  'two members meet over IPv4 and IPv6, talk both ways, and one sees the other go',
  async (test) => {
    for (const [first, second, port] of [
      ['127.74.1.1', '127.74.1.2', 7946],
      ['::1', '::1', 17_946],
    ] as const) {
      const otherPort = first === second ? port + 1 : port;
      const a = await RealMember.open('a', first, {}, port);
      const b = await RealMember.open('b', second, { seeds: [{ ip: first, port }] }, otherPort);
      test.ok(await eventually(() => a.stateOf('b') === 'alive' && b.stateOf('a') === 'alive', 5000), first);
      test.match(a.swim.member('b')?.addr, { ip: second, port: otherPort });
      const long = new Uint8Array(300_000).fill(5);
      a.do((swim, now) => swim.sendUserReliable(now, { ip: second, port: otherPort }, long));
      b.do((swim, now) => swim.sendUser(now, { ip: first, port }, Uint8Array.of(1)));
      test.ok(
        await eventually(
          () => b.events.some((event) => event.type === 'user' && event.bytes.length === 300_000),
          5000,
        ),
      );
      test.ok(
        await eventually(() => a.events.some((event) => event.type === 'user' && event.node === 'b'), 5000),
      );
      await b.close();
      test.ok(await eventually(() => a.stateOf('b') === 'dead', 30_000), 'gone without a word');
      await a.close();
      test.same([...a.errors, ...b.errors], []);
    }
  },
);

void t.test('a taken port is named with its holder, and nothing stays bound', async (test) => {
  const udp = createSocket('udp4');
  udp.bind(7946, '127.74.2.1');
  await once(udp, 'listening');
  const busyUdp = await opening('127.74.2.1', 7946);
  test.equal(busyUdp.code, 'OVL_PORT_TAKEN');
  test.match(busyUdp.message, new RegExp(`UDP port 7946 on 127.74.2.1 is taken by .*pid ${process.pid}`));
  test.match(busyUdp.hint, /--gossip-port/);
  udp.close();

  const tcp = createServer().listen(7946, '127.74.2.1');
  await once(tcp, 'listening');
  test.match(await opening('127.74.2.1', 7946), { code: 'OVL_PORT_TAKEN', message: /TCP port 7946/ });
  tcp.close();
  await once(tcp, 'close');

  const member = await RealMember.open('me', '127.74.2.1');
  await member.close();
  await member.close();
  const again = await RealMember.open('me', '127.74.2.1');
  await again.close();
  test.match(await opening('192.0.2.1', 7946), { code: 'OVL_ADDRESS_UNAVAILABLE', message: /192\.0\.2\.1/ });
});

void t.test('rubbish, half-open and too many streams do not stop the others', async (test) => {
  const member = await RealMember.open('me', '127.74.3.1', { tcpTimeoutMs: 1500 });
  const rubbish = createSocket('udp4');
  for (let i = 0; i < 200; i++) rubbish.send(Uint8Array.of(i, 0xff, 0xff), 7946, '127.74.3.1');
  rubbish.send(new Uint8Array(0), 7946, '127.74.3.1');

  const idle: Socket[] = [];
  for (let i = 0; i < 140; i++) {
    const socket = connect({ host: '127.74.3.1', port: 7946, localAddress: '127.74.3.9' });
    socket.on('error', () => undefined);
    idle.push(socket);
  }
  const loud = connect({ host: '127.74.3.1', port: 7946 });
  loud.on('error', () => undefined);
  loud.end(new Uint8Array(100_000).fill(0x63));
  await sleep(300);
  const open = idle.filter((socket) => !socket.destroyed && socket.readyState !== 'closed').length;
  test.equal(open, 8, 'one stranger has few');
  const other = await RealMember.open('other', '127.74.3.2', { seeds: [{ ip: '127.74.3.1', port: 7946 }] });
  test.ok(await eventually(() => member.stateOf('other') === 'alive', 1000), 'and does not keep others out');
  test.ok(
    await eventually(() => idle.every((socket) => socket.destroyed || socket.readableEnded), 5000),
    'all let go',
  );

  // An address of the other family, as a hostile alive message may announce it.
  const unreachable = { ip: 'fd00::1', port: 7946 };
  member.do((swim, now) => swim.sendUser(now, unreachable, Uint8Array.of(1)));
  member.do((swim, now) => swim.sendUserReliable(now, unreachable, Uint8Array.of(1)));
  test.ok(await eventually(() => member.swim.counters().counts.get('drop:user-undelivered') === 1, 3000));

  test.ok((member.swim.counters().counts.get('drop:message-unknown-type') ?? 0) > 100);
  test.same(member.errors, []);
  for (const socket of idle) socket.destroy();
  rubbish.close();
  await Promise.all([member.close(), other.close()]);
});
