/**
 * Stands between Docker and the plugin: `plugin-proxy-child OUTER INNER ORDER`. Calls are passed on, but for the one that
 * the file ORDER names as `MOMENT CALL`; when it comes, `caught` is said and overlayd can be killed at this MOMENT:
 *
 * - `before`: it has not been passed on, and Docker's connection is broken;
 * - `after`: it was passed on and answered, and Docker's connection is broken instead of the answer;
 * - `between`: it is held back until ORDER says `go`, and then passed on as if it had come only now.
 */
import { readFileSync, rmSync, mkdirSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { dirname } from 'node:path';
import { until } from '../../agent/demo/process.ts';

const RETRY_MS = 50;
const HELD_MS = 60_000;

const [outer = '', inner = '', order = ''] = process.argv.slice(2);

/** The moment at which this call is to be caught. */
function takeOrder(path: string): string | undefined {
  const [moment, call] = readOrder().split(' ');
  if (call === undefined || `/${call}` !== path) return undefined;
  rmSync(order);
  return moment;
}

function readOrder(): string {
  try {
    return readFileSync(order, 'utf8').trim();
  } catch {
    return '';
  }
}

function say(asked: IncomingMessage): void {
  process.stdout.write(`caught ${asked.url}\n`);
}

async function take(asked: IncomingMessage, answer: ServerResponse, body: Buffer): Promise<void> {
  const moment = takeOrder(asked.url ?? '');
  if (moment === 'before') {
    say(asked);
    asked.socket.destroy();
    return;
  }
  if (moment === 'between') {
    say(asked);
    await until('the next overlayd', HELD_MS, () => readOrder() === 'go');
    rmSync(order);
  }
  pass(asked, answer, body, moment);
}

function pass(asked: IncomingMessage, answer: ServerResponse, body: Buffer, moment?: string): void {
  const { method, url, headers } = asked;
  const onward = request({ socketPath: inner, method, path: url, headers, agent: false }, (response) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.once('error', () => asked.socket.destroy());
    response.once('end', () => {
      if (moment === 'after') {
        say(asked);
        asked.socket.destroy();
        return;
      }
      answer.writeHead(response.statusCode ?? 500, { 'content-type': 'application/json' });
      answer.end(Buffer.concat(chunks));
    });
  });
  // Until the next overlayd listens: else Docker would wait longer from time to time. What was held back may run into the
  // remains of the last one.
  onward.once('error', ({ code = '' }: NodeJS.ErrnoException) => {
    const isAway = moment === 'between' || code === 'ECONNREFUSED' || code === 'ENOENT';
    if (isAway && !asked.socket.destroyed) setTimeout(() => pass(asked, answer, body, moment), RETRY_MS);
    else asked.socket.destroy();
  });
  onward.end(body);
}

mkdirSync(dirname(outer), { recursive: true });
rmSync(outer, { force: true });
createServer((asked, answer) => {
  const chunks: Buffer[] = [];
  asked.on('data', (chunk: Buffer) => chunks.push(chunk));
  asked.once('end', () => {
    take(asked, answer, Buffer.concat(chunks)).catch(() => asked.socket.destroy());
  });
}).listen(outer, () => process.stdout.write('listening\n'));
