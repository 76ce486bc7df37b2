/**
 * The worker's side of sealing: does what the core's job tables ask (core-wasm/sealed.ts), in place.
 *
 * Hot path: `seal` and `open` allocate nothing with OpenSSL. With node:crypto, the fall-back, they do.
 */
import { gcmOpen, gcmSeal } from '../crypto/gcm.ts';
import { loadOpenSsl } from '../io/openssl.ts';
import type { OpenSsl } from '../io/openssl.ts';
import { constant } from './core.ts';
import type { Core } from './core.ts';
import type { CoreExports } from './core-exports.ts';
import { KEY_PAIR_BYTES } from './session-keys.ts';
import type { CipherName } from './session-keys.ts';

export interface Cipher {
  /** All jobs of the seal table. Throws when one cannot be done: what was not sealed must not be sent. */
  seal(jobs: number): void;
  /** All jobs of the open table; writes OPEN_OK where the tag was right. */
  open(jobs: number): void;
}

/** Before anything of the transmit tables is sent: seals what the core has listed. */
export function sealListed(core: CoreExports, cipher: Cipher): void {
  const jobs = core.sealJobs();
  if (jobs === 0) return;
  cipher.seal(jobs);
  core.sealReset();
}

/** Before fromTunnel, with the same messages: opens what is sealed among them. */
export function openSealed(core: CoreExports, cipher: Cipher, messages: number): void {
  const jobs = core.queueSealed(messages);
  if (jobs > 0) cipher.open(jobs);
}

/** Layout of a job, in bytes. */
const SEAL = { at: 8, stride: 12, count: 16, bytes: 20, lastBytes: 24, aad: 32, lastAad: 48 } as const;
const OPEN = { at: 8, bytes: 12, aad: 24 } as const;

const KEY_BYTES = KEY_PAIR_BYTES / 2;
const COUNTER_BYTES = 8;
const TAG_BYTES = 16;
const AAD_BYTES = 13;
const LENGTH_AT = 11;
const NONCE_BYTES = 12;

/** `base` is the process address of the core's memory; `keys` what SessionKeys shares for the engine that needs it. */
export function openCipher(name: CipherName, core: Core, base: number, keys: SharedArrayBuffer): Cipher {
  const openSsl = name === 'openssl' ? loadOpenSsl() : undefined;
  return openSsl === undefined ? new NodeCipher(core, keys) : new OpenSslCipher(core, base, openSsl);
}

class OpenSslCipher implements Cipher {
  readonly #openSsl: OpenSsl;
  readonly #base: number;
  readonly #handles: Float64Array;
  readonly #words: Int32Array;
  readonly #sealTable: number;
  readonly #openTable: number;
  readonly #jobSize: number;
  readonly #status: number;
  readonly #ok: number;

  constructor(core: Core, base: number, openSsl: OpenSsl) {
    this.#openSsl = openSsl;
    this.#base = base;
    this.#handles = new Float64Array(core.memory.buffer);
    this.#words = new Int32Array(core.memory.buffer);
    this.#sealTable = constant(core.constants, 'SEAL_TABLE');
    this.#openTable = constant(core.constants, 'OPEN_TABLE');
    this.#jobSize = constant(core.constants, 'JOB_SIZE');
    this.#status = constant(core.constants, 'OPEN_STATUS');
    this.#ok = constant(core.constants, 'OPEN_OK');
  }

  seal(jobs: number): void {
    for (let i = 0; i < jobs; i++) this.#sealRun(this.#sealTable + i * this.#jobSize);
  }

  #sealRun(job: number): void {
    const words = this.#words;
    const context = this.#handles[job >>> 3] as number;
    const stride = words[(job + SEAL.stride) >>> 2] as number;
    const bytes = words[(job + SEAL.bytes) >>> 2] as number;
    const last = (words[(job + SEAL.count) >>> 2] as number) - 1;
    const aad = this.#base + job + SEAL.aad;
    let at = this.#base + (words[(job + SEAL.at) >>> 2] as number);
    for (let i = 0; i < last; i++) {
      if (!this.#openSsl.run(context, at, bytes, aad)) throw new Error('OpenSSL did not seal');
      at += stride;
    }
    const lastBytes = words[(job + SEAL.lastBytes) >>> 2] as number;
    if (!this.#openSsl.run(context, at, lastBytes, this.#base + job + SEAL.lastAad)) {
      throw new Error('OpenSSL did not seal');
    }
  }

  open(jobs: number): void {
    const words = this.#words;
    for (let i = 0; i < jobs; i++) {
      const job = this.#openTable + i * this.#jobSize;
      const context = this.#handles[job >>> 3] as number;
      if (context === 0) continue;
      const at = this.#base + (words[(job + OPEN.at) >>> 2] as number);
      const bytes = words[(job + OPEN.bytes) >>> 2] as number;
      if (this.#openSsl.run(context, at, bytes, this.#base + job + OPEN.aad)) {
        words[(job + this.#status) >>> 2] = this.#ok;
      }
    }
  }
}

/** The same by node:crypto, for a Node that does not export OpenSSL: seven times slower, as safe. */
class NodeCipher implements Cipher {
  readonly #core: Core;
  readonly #keys: Uint8Array;
  readonly #constant: (name: string) => number;

  constructor(core: Core, keys: SharedArrayBuffer) {
    this.#core = core;
    this.#keys = new Uint8Array(keys);
    this.#constant = (name) => constant(core.constants, name);
  }

  seal(jobs: number): void {
    const { view } = this.#core;
    for (let i = 0; i < jobs; i++) {
      const job = this.#constant('SEAL_TABLE') + i * this.#constant('JOB_SIZE');
      const key = this.#key(view.getFloat64(job, true), 0);
      const count = view.getUint32(job + SEAL.count, true);
      let at = view.getUint32(job + SEAL.at, true);
      for (let left = count; left > 0; left--) {
        const bytes = view.getUint32(job + (left > 1 ? SEAL.bytes : SEAL.lastBytes), true);
        this.#sealOne(key, at, bytes, job + (left > 1 ? SEAL.aad : SEAL.lastAad));
        at += view.getUint32(job + SEAL.stride, true);
      }
      key.fill(0);
    }
  }

  #sealOne(key: Uint8Array, at: number, bytes: number, aad: number): void {
    const text = this.#bytes(at + COUNTER_BYTES, bytes - COUNTER_BYTES - TAG_BYTES);
    const sealed = gcmSeal('aes-256-gcm', key, this.#nonce(at), this.#aad(aad, text.length), text);
    this.#core.bytes.set(sealed, at + COUNTER_BYTES);
  }

  open(jobs: number): void {
    const { view } = this.#core;
    for (let i = 0; i < jobs; i++) {
      const job = this.#constant('OPEN_TABLE') + i * this.#constant('JOB_SIZE');
      const handle = view.getFloat64(job, true);
      if (handle === 0) continue;
      const key = this.#key(handle, 1);
      const at = view.getUint32(job + OPEN.at, true);
      if (this.#openOne(key, at, view.getUint32(job + OPEN.bytes, true), job + OPEN.aad)) {
        view.setUint32(job + this.#constant('OPEN_STATUS'), this.#constant('OPEN_OK'), true);
      }
      key.fill(0);
    }
  }

  #openOne(key: Uint8Array, at: number, bytes: number, aad: number): boolean {
    const sealed = this.#bytes(at + COUNTER_BYTES, bytes - COUNTER_BYTES);
    const text = gcmOpen(
      'aes-256-gcm',
      key,
      this.#nonce(at),
      this.#aad(aad, sealed.length - TAG_BYTES),
      sealed,
    );
    if (text === undefined) return false;
    this.#core.bytes.set(text, at + COUNTER_BYTES);
    return true;
  }

  /** A copy: node:crypto takes no shared memory. */
  #bytes(at: number, length: number): Uint8Array {
    return this.#core.bytes.slice(at, at + length);
  }

  #nonce(at: number): Uint8Array {
    const nonce = new Uint8Array(NONCE_BYTES);
    nonce.set(this.#bytes(at, COUNTER_BYTES), NONCE_BYTES - COUNTER_BYTES);
    return nonce;
  }

  /** The core's length field counts what OpenSSL's TLS form would take off. */
  #aad(at: number, length: number): Uint8Array {
    const aad = this.#bytes(at, AAD_BYTES);
    aad[LENGTH_AT] = length >>> 8;
    aad[LENGTH_AT + 1] = length & 0xff;
    return aad;
  }

  /** `which`: 0 seals, 1 opens. */
  #key(handle: number, which: number): Uint8Array {
    const at = (handle - 1) * KEY_PAIR_BYTES + which * KEY_BYTES;
    return this.#keys.slice(at, at + KEY_BYTES);
  }
}
