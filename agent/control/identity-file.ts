import { linkSync, readFileSync, unlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Signer } from '../../proto/state/signing.ts';
import type { KeyPair } from '../../proto/tunnel/crypto.ts';
import { SEED_BYTES, newSeed, ready, signerOf } from '../crypto/ed25519.ts';
import { tunnelKeysOfIdentity } from '../crypto/tunnel-crypto.ts';
import { OverlaydError } from '../errors.ts';
import { makeFolder, stateFolderError, syncFolder, writeDurably } from './state-file.ts';

/**
 * This host's identity: an Ed25519 seed in `<state-dir>/identity`, mode 0600, made at the first start.
 *
 * It is written beside and linked into place, so that two that start at once end with one key, and a crash leaves none or
 * a whole one. A damaged file is an error: a new key would be refused by everybody who knows the old one.
 */
const HEADER = 'overlayd ed25519 seed 1';

export interface HostIdentity {
  readonly signer: Signer;
  /** The same identity as X25519, for the tunnel handshake. */
  readonly tunnelKeys: KeyPair;
}

/** Throws OverlaydError. */
export async function loadIdentity(stateDir: string): Promise<HostIdentity> {
  await ready;
  const file = join(stateDir, 'identity');
  try {
    makeFolder(stateDir);
    const seed = parseSeed(readText(file) ?? create(file));
    return { signer: signerOf(seed), tunnelKeys: tunnelKeysOfIdentity(seed) };
  } catch (cause) {
    if (cause instanceof OverlaydError) throw cause;
    throw stateFolderError(file, cause);
  }

  function parseSeed(text: string): Uint8Array {
    const [header, body = ''] = text.trimEnd().split('\n');
    const seed = Buffer.from(body, 'base64');
    if (header === HEADER && seed.length === SEED_BYTES && seed.toString('base64') === body)
      return new Uint8Array(seed);
    throw new OverlaydError('OVL_IDENTITY_DAMAGED', `${file} is not an identity that overlayd wrote`, {
      hint: 'Bring it back from a backup, or remove it for a new identity, and say "overlayd identities forget NAME" on another host.',
    });
  }
}

/** undefined: there is none. */
function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The text of the file that is there afterwards. */
function create(file: string): string {
  const beside = `${file}.${process.pid}.new`;
  const text = `${HEADER}\n${Buffer.from(newSeed()).toString('base64')}\n`;
  writeDurably(beside, text);
  try {
    linkSync(beside, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    unlinkSync(beside);
  }
  // Before anybody hears of it: another start must not find none, and make another.
  syncFolder(dirname(file));
  return readFileSync(file, 'utf8');
}
