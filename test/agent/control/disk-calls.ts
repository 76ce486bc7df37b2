/** What is done to names and to the disk, in order: calls of node:fs, by the names of the files that they are about. */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { basename } from 'node:path';

/** Runs `act` and gives its calls as "fsync NAME", "rename NAME", "link NAME"; a folder goes by its own name. */
export async function diskCalls(act: () => unknown): Promise<string[]> {
  const { fsyncSync, renameSync, linkSync } = fs;
  const calls: string[] = [];
  fs.fsyncSync = (fd) => {
    calls.push(`fsync ${basename(fs.readlinkSync(`/proc/self/fd/${fd}`))}`);
    fsyncSync(fd);
  };
  fs.renameSync = (from, to) => {
    calls.push(`rename ${basename(String(to))}`);
    renameSync(from, to);
  };
  fs.linkSync = (from, to) => {
    calls.push(`link ${basename(String(to))}`);
    linkSync(from, to);
  };
  syncBuiltinESMExports();
  try {
    await act();
  } finally {
    Object.assign(fs, { fsyncSync, renameSync, linkSync });
    syncBuiltinESMExports();
  }
  return calls;
}
