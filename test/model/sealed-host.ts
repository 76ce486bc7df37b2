/** Two packet cores with real ciphers between them: what one seals, the other is to open. */
import { addressOf } from '../../agent/io/libc.ts';
import { openCipher, openSealed, sealListed } from '../../agent/dataplane/cipher.ts';
import type { Cipher } from '../../agent/dataplane/cipher.ts';
import { SessionKeys } from '../../agent/dataplane/session-keys.ts';
import type { CipherName } from '../../agent/dataplane/session-keys.ts';
import { mac } from './bytes.ts';
import { MAC_A, MAC_B } from './frame.ts';
import { Harness } from './harness.ts';

export const SEALED_NET = 3;
export const SEALED_VNI = 0xabcdef;

export class SealedHost {
  readonly h: Harness;
  readonly #cipher: Cipher;
  readonly #keys: SessionKeys;

  constructor(build: 'release' | 'debug', cipher: CipherName) {
    this.h = new Harness(build);
    this.#keys = new SessionKeys(cipher, this.h.constant('SESSION_MAX'));
    this.#cipher = openCipher(cipher, this.h.core, addressOf(this.h.core.bytes), this.#keys.shared);
    this.h.sealedNetwork(SEALED_NET, SEALED_VNI);
    this.h.port(0, SEALED_NET);
  }

  /** Session `place` with peer 7; receives under `local`, sends under `remote`. */
  session(place: number, local: number, remote: number, sealKey: Uint8Array, openKey: Uint8Array): boolean {
    const { seal, open } = this.#keys.add(place, { sealKey, openKey });
    const raw = new Uint8Array(new Float64Array([open, seal]).buffer);
    return this.h.command('SESSION_PUT', { a: place, b: local, c: remote, d: 7, ip: raw });
  }

  /** What would be on the wire, and the tables empty again. */
  sent(): Uint8Array[] {
    sealListed(this.h.core.exports, this.#cipher);
    const datagrams = this.h.datagrams().map(({ bytes }) => bytes);
    this.h.reset();
    return datagrams;
  }

  receive(from: string, data: Uint8Array, segment?: number): void {
    this.h.tunnel(from, data, segment, (messages) => openSealed(this.h.core.exports, this.#cipher, messages));
  }

  close(): void {
    this.#keys.removeAll();
  }
}

/** A at 192.0.2.1 and B at 192.0.2.2, with one session both ways; MAC_A behind A, MAC_B behind B. */
export function sealedPair(
  build: 'release' | 'debug',
  ciphers: readonly [CipherName, CipherName] = ['openssl', 'openssl'],
): { a: SealedHost; b: SealedHost } {
  const a = new SealedHost(build, ciphers[0]);
  const b = new SealedHost(build, ciphers[1]);
  const [there, back] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
  a.h.peer(7, '192.0.2.2');
  b.h.peer(7, '192.0.2.1');
  a.session(0, 0x0a0a0a0a, 0x0b0b0b0b, there, back);
  b.session(0, 0x0b0b0b0b, 0x0a0a0a0a, back, there);
  for (const { h } of [a, b]) {
    h.command('SESSION_USE', { a: 0 });
    h.flood(SEALED_NET, 7);
  }
  a.h.fdb(SEALED_NET, mac(MAC_B), 7);
  b.h.fdb(SEALED_NET, mac(MAC_A), 7);
  b.h.fdb(SEALED_NET, mac(MAC_B), 0, b.h.constant('FDB_LOCAL'));
  return { a, b };
}
