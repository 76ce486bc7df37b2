import type { PlannedKey } from './key-plan.ts';
import { Keyring } from './keyring.ts';
import type { KeyOrigin } from './keyring.ts';
import type { SecretKey } from './secret-key.ts';

/** What of keys and plan survives a restart; the keys of the operator's file are read from there. */
export interface SavedRing {
  readonly keys: readonly { readonly key: SecretKey; readonly origin: Exclude<KeyOrigin, 'file'> }[];
  readonly planned: readonly (PlannedKey & { readonly fingerprint: string; readonly isMine: boolean })[];
  readonly primary: string;
  readonly base: string;
  /** How long the primary had been that. */
  readonly primaryAgeMs: number;
  /** A new key was asked for, and this host has not proposed one since. */
  readonly isRenewalDue: boolean;
}

/**
 * The ring to start with: the file's keys but those that were removed by hand, then those of the last run. The order of the
 * file stands unless a key was put before it by hand or by rotation.
 */
export function restoreKeyring(file: readonly SecretKey[], saved: SavedRing | undefined): Keyring {
  if (saved === undefined) return new Keyring(file);
  const removed = removedKeys(saved);
  const wanted = file.filter(({ fingerprint }) => !removed.has(fingerprint));
  const [first] = saved.keys;
  let keyring: Keyring;
  if (wanted.length > 0) keyring = new Keyring(wanted);
  else keyring = first === undefined ? new Keyring(file) : new Keyring([first.key], first.origin);
  for (const { key, origin } of saved.keys) keyring.add(key, origin);
  for (const { fingerprint, action, isRotated } of saved.planned)
    if (fingerprint === saved.base && action === 'use' && !isRotated) keyring.use(fingerprint);
  for (const { fingerprint, action } of saved.planned)
    if (fingerprint === saved.primary && action === 'use') keyring.use(fingerprint);
  return keyring;
}

/** Fingerprints that were removed by hand and do not come back by the file. */
export function removedKeys({ planned }: SavedRing): ReadonlySet<string> {
  const removed = planned.filter(({ action }) => action === 'remove');
  return new Set(removed.map(({ fingerprint }) => fingerprint));
}
