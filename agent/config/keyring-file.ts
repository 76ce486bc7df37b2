import { RING_MAX } from '../../proto/keyring/keyring.ts';
import { SecretKey } from '../../proto/keyring/secret-key.ts';
import { sha256 } from '../crypto/aes-gcm.ts';
import { OverlaydError } from '../errors.ts';
import { OperatorFile } from './operator-file.ts';

/**
 * The operator's file of gossip keys: one base64 key of 16, 24 or 32 bytes a line, the first is the primary; empty lines and
 * lines that begin with # are passed over. Nobody but its owner may read it.
 *
 * Errors name file and line, never what stands there.
 */
const MAX_FILE_BYTES = 64 * 1024;

/** At least one key, in the order of the file. Throws OverlaydError. */
export function readKeyringFile(path: string): SecretKey[] {
  const keys: SecretKey[] = [];
  for (const { text, where } of keyringFile(path).lines()) {
    const key = parseKey(text, where);
    const twin = keys.find(({ fingerprint }) => fingerprint === key.fingerprint);
    if (twin !== undefined)
      throw invalid(where, 'this key stands in the file twice', 'Delete one of the lines.');
    keys.push(key);
  }
  if (keys.length === 0) {
    throw invalid(path, 'there is no key in it', 'Make one with "openssl rand -base64 32".');
  }
  if (keys.length > RING_MAX / 2) {
    throw invalid(path, `${keys.length} keys, more than ${RING_MAX / 2}`, 'Keep those that are in use.');
  }
  return keys;
}

/** One key as base64. Throws OverlaydError, which does not quote it. */
export function parseKey(text: string, where: string): SecretKey {
  const bytes = Buffer.from(text, 'base64');
  // Node passes over what is no base64: only what comes out as it went in is meant.
  if (bytes.toString('base64').replaceAll('=', '') !== text.replaceAll('=', ''))
    throw invalid(where, 'this is no base64', 'Make keys with "openssl rand -base64 32".');
  if (![16, 24, 32].includes(bytes.length)) {
    throw invalid(
      where,
      `a key has 16, 24 or 32 bytes, this one has ${bytes.length}`,
      'Make keys with "openssl rand -base64 32".',
    );
  }
  return new SecretKey(bytes, sha256);
}

function keyringFile(path: string): OperatorFile {
  return new OperatorFile(path, {
    code: 'KEYRING',
    what: 'the keyring',
    maxBytes: MAX_FILE_BYTES,
    forbidden: 0o077,
    unreadableHint: (errno) =>
      errno === 'ENOENT'
        ? `Make it: (umask 077; openssl rand -base64 32 > ${path})`
        : 'Run as the owner of the file, or as root.',
    exposed: (mode) => ({
      message: `may be read by others (mode ${mode.toString(8).padStart(4, '0')})`,
      hint: `chmod 600 ${path}; and take new keys, if others may have read these.`,
    }),
    noFileHint: 'Give a file with one key a line.',
    tooLargeHint: 'Give one key a line.',
  });
}

function invalid(where: string, message: string, hint: string): OverlaydError {
  return new OverlaydError('OVL_KEYRING_INVALID', `${where}: ${message}`, { hint, exitCode: 2 });
}
