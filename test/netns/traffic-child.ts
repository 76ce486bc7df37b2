/**
 * Traffic for the namespace tests, run inside a container or host of the test bed:
 *
 *   tcp-echo ADDRESS PORT                   sends back what it gets; prints `ready`
 *   tcp-count ADDRESS PORT                  sends 1, 2, 3 … and prints every number that comes back, in order
 *   udp-echo ADDRESS PORT                   sends back every datagram; prints `ready`
 *   udp-count ADDRESS PORT COUNT BYTES      prints {"sent":N,"echoed":N,"corrupt":N}
 *   udp-listen PORT [GROUP INTERFACE]       prints every datagram as text; joins the multicast group
 *   udp-send ADDRESS PORT TEXT [INTERFACE]  one datagram, to a broadcast or multicast address too
 */
import { createSocket } from 'node:dgram';
import type { Socket as UdpSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';

const COUNT_INTERVAL_MS = 20;
const UDP_IDLE_MS = 500;
const UDP_WINDOW = 16;

const [mode = '', ...args] = process.argv.slice(2);
const say = (line: string): boolean => process.stdout.write(`${line}\n`);

function fail(error: Error): void {
  say(`broken: ${error.message}`);
  process.exit(1);
}

function tcpEcho([address, port]: readonly string[]): void {
  const server = createServer((socket) => {
    socket.on('error', fail);
    socket.pipe(socket);
  });
  server.listen(Number(port), address, () => say('ready'));
}

function tcpCount([address = '', port]: readonly string[]): void {
  const socket = connect(Number(port), address);
  socket.setNoDelay(true);
  socket.on('error', fail);
  socket.on('close', () => fail(new Error('closed by the other end')));
  let next = 1;
  let expected = 1;
  let rest = '';
  setInterval(() => socket.write(`${next++}\n`), COUNT_INTERVAL_MS);
  socket.setEncoding('ascii').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (Number(line) !== expected++) fail(new Error(`got ${line} in place of ${expected - 1}`));
      say(line);
    }
  });
}

function udpSocket(address: string): UdpSocket {
  return createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', reuseAddr: true });
}

function udpEcho([address = '', port]: readonly string[]): void {
  const socket = udpSocket(address);
  socket.on('message', (message, from) => socket.send(message, from.port, from.address));
  socket.bind(Number(port), address, () => say('ready'));
}

/**
 * Datagram i is filled with a pattern made of i, so that a mixed-up or cut one is told from a whole one. Only a few are
 * under way at once: what is lost then was lost on the path, not in a full socket buffer.
 */
function udpCount([address = '', port, count, bytes]: readonly string[]): void {
  const total = Number(count);
  const socket = udpSocket(address);
  const echoed = new Set<number>();
  let sent = 0;
  let settled = 0;
  let corrupt = 0;
  const fillOf = (serial: number): Buffer => {
    const message = Buffer.alloc(Number(bytes), serial & 0xff);
    message.writeUInt32BE(serial);
    return message;
  };
  const pump = (): void => {
    while (sent < total && sent - settled < UDP_WINDOW) socket.send(fillOf(sent++), Number(port), address);
  };
  // Whatever is under way and silent for so long is lost.
  const idle = setTimeout(() => {
    if (sent === total) finish();
    settled = sent;
    pump();
    idle.refresh();
  }, UDP_IDLE_MS);
  const finish = (): void => {
    say(JSON.stringify({ sent, echoed: echoed.size, corrupt }));
    process.exit(0);
  };
  socket.on('error', fail);
  socket.on('message', (message) => {
    const serial = message.readUInt32BE();
    if (message.equals(fillOf(serial))) echoed.add(serial);
    else corrupt++;
    settled++;
    idle.refresh();
    if (echoed.size === total) finish();
    pump();
  });
  pump();
}

function udpListen([port, group = '', iface = '']: readonly string[]): void {
  const socket = udpSocket(group);
  socket.on('message', (message, from) => say(`${from.address} ${message.toString()}`));
  socket.bind(Number(port), () => {
    if (group !== '') socket.addMembership(group, iface);
    say('ready');
  });
}

function udpSend([address = '', port, text = '', iface]: readonly string[]): void {
  const socket = udpSocket(address);
  socket.bind(0, () => {
    socket.setBroadcast(true);
    if (iface !== undefined) socket.setMulticastInterface(iface);
    socket.send(text, Number(port), address, (error) => {
      if (error !== null) fail(error);
      socket.close();
    });
  });
}

const modes: Readonly<Record<string, (args: readonly string[]) => void>> = {
  'tcp-echo': tcpEcho,
  'tcp-count': tcpCount,
  'udp-echo': udpEcho,
  'udp-count': udpCount,
  'udp-listen': udpListen,
  'udp-send': udpSend,
};
const chosen = modes[mode];
if (chosen === undefined) throw new Error(`no such mode: ${mode}`);
chosen(args);
