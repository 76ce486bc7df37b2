import { Rotation } from '../../proto/keyring/rotation.ts';
import { removedKeys, restoreKeyring } from '../../proto/keyring/saved-ring.ts';
import { announcedKeys } from '../../proto/swim/meta.ts';
import type { SealingDeps } from '../../proto/swim/sealing.ts';
import { wallMs } from '../clock.ts';
import { readKeyringFile } from '../config/keyring-file.ts';
import type { RunConfig } from '../config/run-config.ts';
import { aesGcm, hkdf, sha256 } from '../crypto/aes-gcm.ts';
import { systemRng } from '../entropy.ts';
import type { Log } from '../log.ts';
import { RingFile } from './ring-file.ts';

/** The keys that a daemon starts with: the operator's file, what was kept of the last run, and the rotation over both. */
export interface GossipKeys {
  readonly sealing: SealingDeps;
  readonly rotation: Rotation;
  readonly file: RingFile;
}

/** undefined: gossip goes in clear. Throws OverlaydError. */
export function openGossipKeys(config: RunConfig, log: Log): GossipKeys | undefined {
  const { keyringFile, gossipEncryption: mode, nodeName: self, gossipRekeyMs } = config;
  if (keyringFile === undefined || mode === 'off') return undefined;
  const given = readKeyringFile(keyringFile);
  const file = new RingFile(config.stateDir, wallMs, log);
  const saved = file.read();
  const removed = saved === undefined ? new Set<string>() : removedKeys(saved);
  for (const { fingerprint } of given) {
    if (removed.has(fingerprint))
      log.warn(
        { fingerprint },
        'this key was removed from the cluster by hand; delete it from the keyring file',
      );
  }
  const keyring = restoreKeyring(given, saved);
  // Who still gossips in clear could not follow.
  const intervalMs = mode === 'transition' ? Infinity : gossipRekeyMs;
  const crypto = { aead: aesGcm, sha256, hkdf };
  const rotation = new Rotation(keyring, { self, intervalMs, rng: systemRng(), crypto, saved });
  return { sealing: { aead: aesGcm, keyring, mode, announcedKeys }, rotation, file };
}
