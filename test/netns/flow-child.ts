/**
 * One end of a TCP flow that never stops by itself, run inside a container of the test bed:
 *
 *   flow-child.js sink ADDRESS PORT     prints `listening`, then every 50 ms the wall clock in ms and the bytes so far
 *   flow-child.js source ADDRESS PORT   writes about 2 MB a second
 */
import { connect, createServer } from 'node:net';

const PRINT_MS = 50;
const WRITE_MS = 20;
const CHUNK = Buffer.alloc(40_000, 7);

const [role = '', address = '', port = '0'] = process.argv.slice(2);

if (role === 'sink') {
  let bytes = 0;
  const server = createServer((socket) => {
    socket.on('data', (chunk) => (bytes += chunk.length));
    socket.once('close', () => process.exit(0));
    setInterval(() => process.stdout.write(`${Date.now()} ${bytes}\n`), PRINT_MS);
  });
  server.listen(Number(port), address, () => process.stdout.write('listening\n'));
} else {
  const socket = connect(Number(port), address, () => {
    setInterval(() => {
      if (socket.writableLength === 0) socket.write(CHUNK);
    }, WRITE_MS);
  });
  socket.resume().once('close', () => process.exit(0));
}
