/**
 * One end of a TCP transfer, run inside a container of the test bed:
 *
 *   transfer-child.js sink ADDRESS PORT [hash]           prints `listening`, then a report
 *   transfer-child.js source ADDRESS PORT BYTES [hash]   prints a report
 *
 * The report is one JSON line, `{"bytes":N,"seconds":S,"sha256":"…"}`; hashing is left out unless asked for, since it
 * costs more than the transfer.
 */
import { createHash, randomFillSync } from 'node:crypto';
import { connect, createServer } from 'node:net';
import type { Socket } from 'node:net';

const CHUNK_BYTES = 256 * 1024;
const IDLE_MS = 20_000;

const [role = '', address = '', port = '0', ...rest] = process.argv.slice(2);
const hash = rest.at(-1) === 'hash' ? createHash('sha256') : undefined;
let begin = 0;
let bytes = 0;

function report(): void {
  const seconds = (performance.now() - begin) / 1000;
  const sha256 = hash === undefined ? {} : { sha256: hash.digest('hex') };
  process.stdout.write(`${JSON.stringify({ bytes, seconds, ...sha256 })}\n`);
}

/** A dead path must end the program with an error, not hang it. */
function watch(socket: Socket): void {
  socket.setTimeout(IDLE_MS, () => socket.destroy(new Error(`no progress for ${IDLE_MS / 1000} s`)));
  socket.once('error', (error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  });
}

function sink(): void {
  const server = createServer((socket) => {
    server.close();
    watch(socket);
    begin = performance.now();
    socket.on('data', (chunk) => {
      bytes += chunk.length;
      hash?.update(chunk);
    });
    socket.once('end', report);
  });
  server.listen(Number(port), address, () => process.stdout.write('listening\n'));
}

function source(): void {
  const total = Number(rest[0]);
  const block = randomFillSync(Buffer.alloc(CHUNK_BYTES));
  const socket = connect(Number(port), address);
  watch(socket);
  let serial = 0;
  const pump = (): void => {
    while (bytes < total) {
      // No two chunks are alike, so that a chunk lost, doubled or swapped changes the hash.
      const chunk = hash === undefined ? block : Buffer.from(block);
      if (hash !== undefined) chunk.writeUInt32BE(serial++);
      const piece = chunk.subarray(0, Math.min(CHUNK_BYTES, total - bytes));
      bytes += piece.length;
      hash?.update(piece);
      if (!socket.write(piece)) {
        socket.once('drain', pump);
        return;
      }
    }
    socket.end();
  };
  socket.once('connect', () => {
    begin = performance.now();
    pump();
  });
  // The other end closes once it has all of it: only then is the transfer over.
  socket.resume().once('end', report);
}

if (role === 'sink') sink();
else source();
