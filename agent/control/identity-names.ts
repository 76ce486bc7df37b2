import { fromHex } from '../../proto/state/bytes.ts';
import { canonicalHex } from '../../proto/state/revocation.ts';
import { sha256 } from '../crypto/aes-gcm.ts';

/**
 * How people see the key of a host. The fingerprint is over the canonical form (revocation.ts), so that two ways to write one key
 * have one name: 32 hex digits of SHA-256, with a domain of its own.
 */
const DOMAIN = 'overlayd identity fingerprint v1\0';

export function identityFingerprint(keyHex: string): string {
  const hash = sha256(Buffer.concat([Buffer.from(DOMAIN), fromHex(canonicalHex(keyHex))]));
  return Buffer.from(hash).toString('hex').slice(0, 32);
}

/** As it stands in the operator's list. */
export const keyText = (keyHex: string): string => Buffer.from(keyHex, 'hex').toString('base64');
