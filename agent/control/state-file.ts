import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs';
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

/** The same, and on the disk when it returns. */
export function replaceFileDurably(path: string, text: string): void {
  const beside = `${path}.new`;
  writeDurably(beside, text);
  renameSync(beside, path);
}

/** Writes a file of its own, on the disk when it returns. */
export function writeDurably(path: string, text: string): void {
  const fd = openSync(path, 'w', 0o600);
  try {
    writeSync(fd, text);
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

/** For what overlayd cannot do without; `what` goes on from "cannot keep". */
export function stateFolderError(what: string, cause: unknown): OverlaydError {
  return new OverlaydError('OVL_STATE_DIR', `cannot keep ${what}: ${(cause as Error).message}`, {
    hint: 'Make the folder writable for overlayd, or give another one with --state-dir.',
    cause,
  });
}
