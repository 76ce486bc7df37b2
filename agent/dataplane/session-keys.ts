/**
 * The main thread's side of sealing: where the keys of sessions are, and by which handles the core names them.
 *
 * With OpenSSL a handle is the address of a cipher context, made here and used by the worker alone. With node:crypto it
 * is a place in a block of memory that both threads share. Either way keys never lie in the core's memory.
 */
import { loadOpenSsl } from '../io/openssl.ts';

export type CipherName = 'openssl' | 'node';

export interface SessionKeyPair {
  /** 32 bytes each. */
  readonly sealKey: Uint8Array;
  readonly openKey: Uint8Array;
}

export interface Handles {
  readonly seal: number;
  readonly open: number;
}

export const KEY_PAIR_BYTES = 64;
const KEY_BYTES = KEY_PAIR_BYTES / 2;

/** The fastest that this Node has. */
export function bestCipher(): CipherName {
  return loadOpenSsl() === undefined ? 'node' : 'openssl';
}

export class SessionKeys {
  readonly name: CipherName;
  readonly shared: SharedArrayBuffer;
  readonly #block: Uint8Array;
  readonly #contexts = new Map<number, Handles>();

  /** `sessions`: places for the core's sessions. */
  constructor(name: CipherName, sessions: number) {
    this.name = name;
    this.shared = new SharedArrayBuffer(name === 'node' ? sessions * KEY_PAIR_BYTES : 0);
    this.#block = new Uint8Array(this.shared);
  }

  /** `session` is the core's index; its keys are there until `remove`. */
  add(session: number, { sealKey, openKey }: SessionKeyPair): Handles {
    const handles =
      this.name === 'openssl' ? contexts(sealKey, openKey) : this.#place(session, sealKey, openKey);
    this.#contexts.set(session, handles);
    return handles;
  }

  /** Only when no worker uses it any more. */
  remove(session: number): void {
    const handles = this.#contexts.get(session);
    if (handles === undefined) return;
    this.#contexts.delete(session);
    if (this.name === 'openssl') {
      loadOpenSsl()?.free(handles.seal);
      loadOpenSsl()?.free(handles.open);
    } else {
      this.#block.fill(0, session * KEY_PAIR_BYTES, (session + 1) * KEY_PAIR_BYTES);
    }
  }

  removeAll(): void {
    for (const session of this.#contexts.keys()) this.remove(session);
  }

  #place(session: number, sealKey: Uint8Array, openKey: Uint8Array): Handles {
    if (sealKey.length !== KEY_BYTES || openKey.length !== KEY_BYTES) {
      throw new RangeError('a session key has 32 bytes');
    }
    this.#block.set(sealKey, session * KEY_PAIR_BYTES);
    this.#block.set(openKey, session * KEY_PAIR_BYTES + KEY_BYTES);
    // 0 means refused, in the core.
    return { seal: session + 1, open: session + 1 };
  }
}

function contexts(sealKey: Uint8Array, openKey: Uint8Array): Handles {
  const openSsl = loadOpenSsl();
  if (openSsl === undefined) throw new Error('OpenSSL is gone');
  const seal = openSsl.sealer(sealKey);
  try {
    return { seal, open: openSsl.opener(openKey) };
  } catch (error) {
    openSsl.free(seal);
    throw error;
  }
}
