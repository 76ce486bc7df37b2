/** The files of a daemon: the operator's keyring, and the folder of what survives a restart. */
import { accessSync, constants, statSync, statfsSync } from 'node:fs';
import { readIdentitiesFile } from '../config/identities-file.ts';
import { readKeyringFile } from '../config/keyring-file.ts';
import type { Finding } from './finding.ts';
import { findingOf } from './finding.ts';

const SPACE_MIN_BYTES = 1 << 20;
const SPACE_SCARCE_BYTES = 64 << 20;

/** Says what is wrong with the file, never what stands in it. */
export function checkKeyringFile(path: string | undefined): Finding[] {
  if (path === undefined) return [];
  try {
    readKeyringFile(path);
    return [];
  } catch (error) {
    return [findingOf('keyring', error)];
  }
}

/** The list of hosts that may be members. */
export function checkIdentitiesFile(path: string | undefined): Finding[] {
  if (path === undefined) return [];
  try {
    readIdentitiesFile(path);
    return [];
  } catch (error) {
    return [findingOf('identities', error)];
  }
}

/** A folder that is not there yet is made at the start. */
export function checkStateDir(path: string): Finding[] {
  const finding = (severity: Finding['severity'], what: string, cure: string): Finding[] => [
    { check: 'state-dir', severity, what, cure },
  ];
  let mode: number;
  try {
    const stat = statSync(path);
    if (!stat.isDirectory())
      return finding('error', `${path} is no folder`, 'Remove it, or give another --state-dir.');
    ({ mode } = stat);
    accessSync(path, constants.W_OK | constants.X_OK);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return [];
    return finding('error', `${path} cannot be written: ${message}`, 'Run as its owner, or as root.');
  }
  if ((mode & 0o077) !== 0) {
    const shown = (mode & 0o777).toString(8).padStart(4, '0');
    const what = `${path} may be entered by others (mode ${shown}); this host's identity and keys lie there`;
    return finding('warn', what, `chmod 700 ${path}`);
  }
  return checkSpace(path, finding);
}

function checkSpace(
  path: string,
  finding: (severity: Finding['severity'], what: string, cure: string) => Finding[],
): Finding[] {
  const { bavail, bsize } = statfsSync(path);
  const free = bavail * bsize;
  if (free >= SPACE_SCARCE_BYTES) return [];
  const what = `${Math.floor(free / 1024)} KiB are free where ${path} is`;
  const cure = 'Make room: keys, identity and endpoints are written there.';
  return finding(free < SPACE_MIN_BYTES ? 'error' : 'warn', what, cure);
}
