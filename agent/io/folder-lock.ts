/**
 * One process for a folder: an flock(2) on a file in it. The kernel gives it up with the process, however that ends; the file
 * stays, and says nothing. Beyond one machine (NFS of old) it may not hold.
 */
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { EAGAIN, errno, flock } from './libc.ts';

const LOCK_FILE = 'lock';
const LOCK_EX = 2;
const LOCK_NB = 4;

/** What gives it up; undefined: another process has it. A file system without such locks locks nothing. Throws the errors of Node. */
export function lockFolder(folder: string): (() => void) | undefined {
  const fd = openSync(join(folder, LOCK_FILE), 'w', 0o600);
  if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno() === EAGAIN) {
    closeSync(fd);
    return undefined;
  }
  return () => closeSync(fd);
}
