import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { z } from 'zod';
import { OverlaydError } from '../errors.ts';

/**
 * Files of the state folder, 0600: written beside and renamed, so that a crash leaves the old file or the new one, never
 * a part of one.
 */
export function replaceFile(path: string, text: string): void {
  const beside = `${path}.new`;
  writeFileSync(beside, text, { mode: 0o600 });
  renameSync(beside, path);
}

/** The same, and on the disk when it returns, under its name too. */
export function replaceFileDurably(path: string, text: string): void {
  const beside = `${path}.new`;
  writeDurably(beside, text);
  renameSync(beside, path);
  syncFolder(dirname(path));
}

/** Names are the folder's: a rename or a link is on the disk once the folder is. */
export function syncFolder(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } catch (error) {
    // Some file systems have no such thing, and none to lose.
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
  } finally {
    closeSync(fd);
  }
}

/** The folder for files that are to last, made if need be, and on the disk. */
export function makeFolder(path: string): void {
  const first = mkdirSync(path, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  const top = dirname(resolve(first));
  for (let at = dirname(resolve(path)); at.length >= top.length; at = dirname(at)) {
    syncFolder(at);
    if (at === top) return;
  }
}

/** Writes a file of its own, whose bytes are on the disk when it returns; its name is the folder's (`syncFolder`). */
export function writeDurably(path: string, text: string): void {
  const fd = openSync(path, 'w', 0o600);
  try {
    // All of it or an error; writeSync may write a part on a full disk, and call that done.
    writeFileSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** What a file holds by its schema; undefined when there is none, or when `unusable` was told why it does not count. */
export function readState<T>(
  path: string,
  schema: z.ZodType<T>,
  unusable: (error: Error) => void,
): T | undefined {
  try {
    return schema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') unusable(error as Error);
    return undefined;
  }
}

/** The same, and a damaged file is out of the way then: `damaged` is told why, and where it is now. */
export function readOrPutAside<T>(
  path: string,
  schema: z.ZodType<T>,
  damaged: (error: Error, aside: string) => void,
): T | undefined {
  return readState(path, schema, (error) => {
    const aside = `${path}.damaged`;
    damaged(error, aside);
    try {
      renameSync(path, aside);
    } catch {
      // The next write replaces it.
    }
  });
}

/** The same for what must not be begun anew only because the disk fails: throws OverlaydError then. */
export function readKept<T>(
  path: string,
  what: string,
  schema: z.ZodType<T>,
  damaged: (error: Error, aside: string) => void,
): T | undefined {
  return readOrPutAside(path, schema, (error, aside) => {
    if ('syscall' in error) throw stateFolderError(`${what} in ${path}`, error);
    damaged(error, aside);
  });
}

/** What may be said once it is on the disk, as it is when this returns. Throws OverlaydError. */
export function keepDurably(path: string, what: string, text: string): void {
  try {
    makeFolder(dirname(path));
    replaceFileDurably(path, text);
  } catch (cause) {
    throw stateFolderError(`${what} in ${path}`, cause);
  }
}

/** For what overlayd cannot do without; `what` goes on from "cannot keep". */
export function stateFolderError(what: string, cause: unknown): OverlaydError {
  return new OverlaydError('OVL_STATE_DIR', `cannot keep ${what}: ${(cause as Error).message}`, {
    hint: 'Make the folder writable for overlayd, or give another one with --state-dir.',
    cause,
  });
}
