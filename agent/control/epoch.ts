import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFileDurably, stateFolderError } from './state-file.ts';

/**
 * The epoch of this run: a number that is higher than that of every earlier run of this node, so that what it writes
 * now outranks what it wrote then (gossip.md 7.2: milliseconds since 1970, or the last one plus one if the clock went
 * back). Persisted before use.
 */
export function nextEpoch(stateDir: string, wallMs: number): bigint {
  try {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
    const file = join(stateDir, 'epoch');
    const last = readEpoch(file);
    const now = BigInt(Math.floor(wallMs));
    const epoch = last !== undefined && last >= now ? last + 1n : now;
    replaceFileDurably(file, `${epoch}\n`);
    return epoch;
  } catch (cause) {
    throw stateFolderError(`state in ${stateDir}`, cause);
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
