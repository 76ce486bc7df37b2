/** A TCP transfer between two containers: starts both ends and gives their reports. */
import { fileURLToPath } from 'node:url';
import { OverlaydError } from '../errors.ts';
import type { Background } from './process.ts';
import { until } from './process.ts';

const CHILD = fileURLToPath(new URL('transfer-child.js', import.meta.url));

export const TRANSFER_PORT = 5201;

export interface TransferReport {
  readonly bytes: number;
  readonly seconds: number;
  readonly sha256?: string;
}

/** Somewhere that processes run and that has addresses: a container, or a host. */
export interface TransferEnd {
  readonly name: string;
  spawn(argv: readonly string[]): Background;
}

export interface TransferOptions {
  readonly bytes: number;
  readonly hash?: boolean;
}

/** Sends `bytes` from one end to `address` of the other. Throws when either end fails. */
export async function transfer(
  from: TransferEnd,
  to: TransferEnd,
  address: string,
  options: TransferOptions,
): Promise<{ sent: TransferReport; received: TransferReport }> {
  const port = `${TRANSFER_PORT}`;
  const hash = options.hash === true ? ['hash'] : [];
  const sink = to.spawn([process.execPath, CHILD, 'sink', address, port, ...hash]);
  try {
    await until(`${to.name} listens`, 10_000, () => sink.log().includes('listening') || !sink.running);
    const source = from.spawn([
      process.execPath,
      CHILD,
      'source',
      address,
      port,
      `${options.bytes}`,
      ...hash,
    ]);
    const ended = await source.exited;
    if (ended.status === 0) await sink.exited;
    return { sent: parse(from, source), received: parse(to, sink) };
  } finally {
    await sink.stop('SIGKILL');
  }
}

function parse(end: TransferEnd, process: Background): TransferReport {
  const line = process
    .log()
    .split('\n')
    .find((text) => text.startsWith('{'));
  if (line === undefined)
    throw new OverlaydError('OVL_DEMO_TRANSFER', `${end.name}: ${process.log().trim()}`);
  return JSON.parse(line) as TransferReport;
}
