import { KEY_BYTES, concat, label } from './crypto.ts';
import type { TunnelCrypto } from './crypto.ts';
import { MAC_BYTES } from './messages.ts';
import { Secret } from './secret.ts';

/**
 * What the cluster key is for tunnels: the psk of the handshake, the name it goes by on the wire, and the keys of the MACs.
 *
 * A psk and its id are HKDF (RFC 5869, no salt) of the cluster key under two labels: neither tells of the cluster key, nor
 * the id of the psk. Only who has the psk can make a mac1, so nobody outside the cluster costs a host a Diffie-Hellman.
 */
export interface TunnelPsk {
  /** 32 bits; two keys may share one, by chance. */
  readonly id: number;
  readonly key: Secret;
}

const PSK_LABEL = label('overlayd tunnel psk v1');
const ID_LABEL = label('overlayd tunnel psk id v1');
const MAC1_LABEL = label('overlayd tunnel mac1 v1');
const COOKIE_LABEL = label('overlayd tunnel cookie v1');

/** The psk of a cluster key of 16 to 32 bytes. */
export function tunnelPsk(crypto: TunnelCrypto, clusterKey: Uint8Array): TunnelPsk {
  const extracted = crypto.hmac(new Uint8Array(KEY_BYTES), clusterKey);
  const expand = (info: Uint8Array): Uint8Array => crypto.hmac(extracted, concat(info, Uint8Array.of(1)));
  const id = expand(ID_LABEL);
  const psk = { id: new DataView(id.buffer, id.byteOffset).getUint32(0), key: new Secret(expand(PSK_LABEL)) };
  extracted.fill(0);
  return psk;
}

/** Of messages to who has this static key. */
export interface MacKeys {
  readonly mac1: Secret;
  readonly cookie: Secret;
}

export function macKeysOf(crypto: TunnelCrypto, psk: TunnelPsk, receiverStatic: Uint8Array): MacKeys {
  const derive = (use: Uint8Array): Secret =>
    new Secret(crypto.hmac(psk.key.reveal(), concat(use, receiverStatic)));
  return { mac1: derive(MAC1_LABEL), cookie: derive(COOKIE_LABEL) };
}

export function macOf(crypto: Pick<TunnelCrypto, 'hmac'>, key: Uint8Array, bytes: Uint8Array): Uint8Array {
  return crypto.hmac(key, bytes).subarray(0, MAC_BYTES);
}
