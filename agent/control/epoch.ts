import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { OverlaydError } from '../errors.ts';

/**
 * The epoch of this run: a number that is higher than that of every earlier run of this node, so that what it writes
 * now outranks what it wrote then (gossip.md 7.2: milliseconds since 1970, or the last one plus one if the clock went
 * back). Persisted before use; written beside and renamed, so that a crash leaves the old file or the new one.
 */
export function nextEpoch(stateDir: string, wallMs: number): bigint {
  try {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
    const file = join(stateDir, 'epoch');
    const last = readEpoch(file);
    const now = BigInt(Math.floor(wallMs));
    const epoch = last !== undefined && last >= now ? last + 1n : now;
    writeDurably(file, `${epoch}\n`);
    return epoch;
  } catch (cause) {
    throw new OverlaydError(
      'OVL_STATE_DIR',
      `cannot keep state in ${stateDir}: ${(cause as Error).message}`,
      {
        hint: 'Make the folder writable for overlayd, or give another one with --state-dir.',
        cause,
      },
    );
  }
}

function readEpoch(file: string): bigint | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  // A damaged file is no reason to stay down: the wall clock alone is right unless it also went back.
  return /^[0-9]{1,18}$/.test(text) ? BigInt(text) : undefined;
}

function writeDurably(file: string, text: string): void {
  const beside = `${file}.new`;
  const fd = openSync(beside, 'w', 0o600);
  try {
    writeSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(beside, file);
}
