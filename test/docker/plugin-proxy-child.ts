/**
 * Stands between Docker and the plugin: `plugin-proxy-child OUTER INNER ORDER`. Calls are passed on. A call whose name
 * stands in the file ORDER is passed on too, but its answer is thrown away and said to be `caught`, until the plugin
 * behind is another one; Docker repeats it then.
 */
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { dirname } from 'node:path';

const RETRY_MS = 50;

const [outer = '', inner = '', order = ''] = process.argv.slice(2);

function takeOrder(path: string): boolean {
  try {
    if (`/${readFileSync(order, 'utf8').trim()}` !== path) return false;
    rmSync(order);
    return true;
  } catch {
    return false;
  }
}

function pass(asked: IncomingMessage, answer: ServerResponse, body: Buffer, isCaught: boolean): void {
  const { method, url, headers } = asked;
  const onward = request({ socketPath: inner, method, path: url, headers, agent: false }, (response) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.once('error', () => asked.socket.destroy());
    response.once('end', () => {
      if (isCaught) {
        process.stdout.write(`caught ${url}\n`);
        asked.socket.destroy();
        return;
      }
      answer.writeHead(response.statusCode ?? 500, { 'content-type': 'application/json' });
      answer.end(Buffer.concat(chunks));
    });
  });
  // Until the next overlayd listens: else Docker would wait longer from time to time.
  onward.once('error', (error: NodeJS.ErrnoException) => {
    const isAway = error.code === 'ECONNREFUSED' || error.code === 'ENOENT';
    if (isAway && !asked.socket.destroyed) setTimeout(() => pass(asked, answer, body, isCaught), RETRY_MS);
    else asked.socket.destroy();
  });
  onward.end(body);
}

mkdirSync(dirname(outer), { recursive: true });
rmSync(outer, { force: true });
createServer((asked, answer) => {
  const chunks: Buffer[] = [];
  asked.on('data', (chunk: Buffer) => chunks.push(chunk));
  asked.once('end', () => pass(asked, answer, Buffer.concat(chunks), takeOrder(asked.url ?? '')));
}).listen(outer, () => process.stdout.write('listening\n'));
