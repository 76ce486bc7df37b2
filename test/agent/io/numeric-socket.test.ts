/** Datagrams to wherever the network says: what cannot go is told of, never thrown. */
import { once } from 'node:events';
import t from 'tap';
import { numericSocket, sendDatagram } from '../../../agent/io/numeric-socket.ts';

void t.test('a datagram arrives', async (test) => {
  const receiver = numericSocket(4);
  await new Promise<void>((resolve) => {
    receiver.bind(0, '127.0.0.1', resolve);
  });
  const sender = numericSocket(4);
  test.teardown(() => [sender, receiver].forEach((socket) => socket.close()));
  const arrived = once(receiver, 'message');
  const error = await new Promise((resolve) => {
    sendDatagram(sender, Uint8Array.of(1, 2), { ip: '127.0.0.1', port: receiver.address().port }, resolve);
  });
  test.equal(error, null);
  const [bytes] = (await arrived) as [Buffer];
  test.same([...bytes], [1, 2]);
});

void t.test('a port or an address where nothing can go is an error of this datagram', async (test) => {
  const sender = numericSocket(4);
  test.teardown(() => sender.close());
  for (const to of [
    { ip: '127.0.0.1', port: 0 },
    { ip: '127.0.0.1', port: 70_000 },
    { ip: 'fd00::1', port: 9 },
  ]) {
    const error = await new Promise((resolve) => {
      sendDatagram(sender, Uint8Array.of(1), to, resolve);
    });
    test.type(error, Error, `${to.ip} ${to.port}`);
  }
});

void t.test('a socket that is closed takes nothing and throws nothing', async (test) => {
  const sender = numericSocket(4);
  sender.close();
  await once(sender, 'close');
  const error = await new Promise((resolve) => {
    sendDatagram(sender, Uint8Array.of(1), { ip: '127.0.0.1', port: 9 }, resolve);
  });
  test.type(error, Error);
});
