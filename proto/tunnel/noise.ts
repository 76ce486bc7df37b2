import { KEY_BYTES, NO_BYTES, TAG_BYTES, concat, hkdf, label, nonceOf } from './crypto.ts';
import type { KeyPair, TunnelCrypto } from './crypto.ts';

/**
 * Noise handshakes (The Noise Protocol Framework, revision 34): symmetric state (§5.2) and handshake state (§5.3, psk §9).
 *
 * overlayd speaks one pattern, IKpsk2; the pattern is data, so that the published vectors of others prove the same code.
 * A message that does not fit is undefined, never an exception, and ends the handshake. Ephemeral keys are arguments.
 * Not here: transport, retries, who is allowed in.
 */
export type Token = 'e' | 's' | 'ee' | 'es' | 'se' | 'ss' | 'psk';

export interface Pattern {
  readonly protocolName: string;
  /** Static keys known before the first message; the initiator's is hashed first. */
  readonly known: readonly ('initiator' | 'responder')[];
  /** The initiator writes the first message, then turn by turn. */
  readonly messages: readonly (readonly Token[])[];
}

export const IK_PSK2: Pattern = {
  protocolName: 'Noise_IKpsk2_25519_AESGCM_SHA256',
  known: ['responder'],
  messages: [
    ['e', 'es', 's', 'ss'],
    ['e', 'ee', 'se', 'psk'],
  ],
};

export interface HandshakeOptions {
  readonly crypto: TunnelCrypto;
  readonly pattern: Pattern;
  readonly role: 'initiator' | 'responder';
  readonly prologue: Uint8Array;
  readonly staticKeys: KeyPair;
  readonly remoteStatic?: Uint8Array;
  readonly psk?: Uint8Array;
  /**
   * Asked as soon as the other's static key is known, before anything is computed with it. False ends the handshake;
   * bytes are the shared secret of both static keys, which then is not computed again (it must stay the caller's).
   */
  admit?(remoteStatic: Uint8Array): boolean | Uint8Array;
}

/** Both halves of a session, from the view of who asks. */
export interface SessionKeys {
  readonly send: Uint8Array;
  readonly receive: Uint8Array;
}

class SymmetricState {
  readonly #crypto: TunnelCrypto;
  #chainingKey: Uint8Array;
  #hash: Uint8Array;
  #key: Uint8Array | undefined;
  #counter = 0;

  constructor(crypto: TunnelCrypto, protocolName: string) {
    this.#crypto = crypto;
    const name = label(protocolName);
    const start = new Uint8Array(KEY_BYTES);
    if (name.length <= KEY_BYTES) start.set(name);
    else start.set(crypto.hash(name));
    this.#hash = start;
    this.#chainingKey = start.slice();
  }

  get hash(): Uint8Array {
    return this.#hash;
  }

  mixHash(bytes: Uint8Array): void {
    this.#hash = this.#crypto.hash(concat(this.#hash, bytes));
  }

  mixKey(input: Uint8Array): void {
    const [chainingKey, key] = hkdf(this.#crypto, this.#chainingKey, input, 2);
    this.#turn(chainingKey as Uint8Array, key as Uint8Array);
  }

  mixKeyAndHash(input: Uint8Array): void {
    const [chainingKey, hash, key] = hkdf(this.#crypto, this.#chainingKey, input, 3);
    this.mixHash(hash as Uint8Array);
    this.#turn(chainingKey as Uint8Array, key as Uint8Array);
  }

  /** How much longer a text gets by `seal` now. */
  get sealBytes(): number {
    return this.#key === undefined ? 0 : TAG_BYTES;
  }

  seal(plain: Uint8Array): Uint8Array {
    const text =
      this.#key === undefined
        ? plain
        : this.#crypto.seal(this.#key, nonceOf(this.#counter++), this.#hash, plain);
    this.mixHash(text);
    return text;
  }

  open(text: Uint8Array): Uint8Array | undefined {
    const plain =
      this.#key === undefined
        ? text
        : this.#crypto.open(this.#key, nonceOf(this.#counter++), this.#hash, text);
    this.mixHash(text);
    return plain;
  }

  /** Two keys from the secrets so far; another input gives others, that tell nothing of the first. */
  split(input: Uint8Array): [Uint8Array, Uint8Array] {
    return hkdf(this.#crypto, this.#chainingKey, input, 2) as [Uint8Array, Uint8Array];
  }

  destroy(): void {
    this.#chainingKey.fill(0);
    this.#key?.fill(0);
  }

  #turn(chainingKey: Uint8Array, key: Uint8Array): void {
    this.destroy();
    this.#chainingKey = chainingKey;
    this.#key = key;
    this.#counter = 0;
  }
}

export class Handshake {
  readonly #options: HandshakeOptions;
  readonly #state: SymmetricState;
  readonly #hasPsk: boolean;
  #psk: Uint8Array | undefined;
  #ephemeral: KeyPair | undefined;
  #remoteStatic: Uint8Array | undefined;
  #remoteEphemeral: Uint8Array | undefined;
  #staticShared: Uint8Array | undefined;
  #turn = 0;
  #isOver = false;

  constructor(options: HandshakeOptions) {
    const { crypto, pattern, prologue, staticKeys, role } = options;
    this.#options = options;
    this.#hasPsk = pattern.messages.some((tokens) => tokens.includes('psk'));
    this.#psk = options.psk;
    this.#state = new SymmetricState(crypto, pattern.protocolName);
    this.#state.mixHash(prologue);
    for (const who of pattern.known) {
      const key = who === role ? staticKeys.publicKey : options.remoteStatic;
      if (key === undefined)
        throw new RangeError(`${pattern.protocolName} needs the static key of the ${who}`);
      this.#state.mixHash(key);
    }
    if (options.remoteStatic !== undefined && !this.#admits(options.remoteStatic)) this.destroy();
  }

  get remoteStatic(): Uint8Array | undefined {
    return this.#remoteStatic;
  }

  /** The handshake hash h: equal on both sides, and different for every handshake (channel binding, Noise §11.2). */
  get hash(): Uint8Array {
    return this.#state.hash;
  }

  /** The responder may come to know which one only by the first message. */
  set psk(psk: Uint8Array) {
    this.#psk = psk;
  }

  /** The next message, with a fresh ephemeral key pair where the pattern has one; undefined when a key is worthless. */
  write(payload: Uint8Array, ephemeral: KeyPair | undefined): Uint8Array | undefined {
    const parts: Uint8Array[] = [];
    for (const token of this.#nextTokens()) {
      if (token === 'e') {
        this.#ephemeral = ephemeral as KeyPair;
        parts.push(this.#ephemeral.publicKey);
        this.#mixEphemeral(this.#ephemeral.publicKey);
      } else if (token === 's') parts.push(this.#state.seal(this.#options.staticKeys.publicKey));
      else if (!this.#mixSecret(token)) return this.#fail();
    }
    if (this.#isOver) return undefined;
    parts.push(this.#state.seal(payload));
    return concat(...parts);
  }

  /** The payload of the other's next message; undefined when it is not one. */
  read(message: Uint8Array): Uint8Array | undefined {
    let rest = message;
    for (const token of this.#nextTokens()) {
      if (token === 'e' || token === 's') {
        const size = KEY_BYTES + (token === 's' ? this.#state.sealBytes : 0);
        if (rest.length < size || !this.#readKey(token, rest.slice(0, size))) return this.#fail();
        rest = rest.subarray(size);
      } else if (!this.#mixSecret(token)) return this.#fail();
    }
    if (this.#isOver || rest.length < this.#state.sealBytes) return this.#fail();
    return this.#state.open(rest) ?? this.#fail();
  }

  /** The session's keys, after the last message. Without input it is Noise's Split; each input gives keys of its own. */
  split(input: Uint8Array = NO_BYTES): SessionKeys {
    const [first, second] = this.#state.split(input);
    return this.#options.role === 'initiator'
      ? { send: first, receive: second }
      : { send: second, receive: first };
  }

  /** Forgets all secrets that are its own. */
  destroy(): void {
    this.#isOver = true;
    this.#state.destroy();
    this.#ephemeral?.secretKey.fill(0);
  }

  #nextTokens(): readonly Token[] {
    return this.#isOver ? [] : (this.#options.pattern.messages[this.#turn++] ?? []);
  }

  #fail(): undefined {
    this.destroy();
    return undefined;
  }

  #mixEphemeral(publicKey: Uint8Array): void {
    this.#state.mixHash(publicKey);
    if (this.#hasPsk) this.#state.mixKey(publicKey);
  }

  #readKey(token: 'e' | 's', text: Uint8Array): boolean {
    if (token === 'e') {
      this.#remoteEphemeral = text;
      this.#mixEphemeral(text);
      return true;
    }
    const key = this.#state.open(text);
    return key !== undefined && this.#admits(key);
  }

  #admits(remoteStatic: Uint8Array): boolean {
    this.#remoteStatic = remoteStatic;
    const answer = this.#options.admit?.(remoteStatic) ?? true;
    if (typeof answer === 'boolean') return answer;
    this.#staticShared = answer;
    return true;
  }

  #mixSecret(token: 'ee' | 'es' | 'se' | 'ss' | 'psk'): boolean {
    const secret = token === 'psk' ? this.#psk : this.#shared(token);
    if (secret === undefined) return false;
    if (token === 'psk') this.#state.mixKeyAndHash(secret);
    else this.#state.mixKey(secret);
    if (token !== 'psk' && secret !== this.#staticShared) secret.fill(0);
    return true;
  }

  #shared(token: 'ee' | 'es' | 'se' | 'ss'): Uint8Array | undefined {
    if (token === 'ss' && this.#staticShared !== undefined) return this.#staticShared;
    // The first letter is the initiator's key, the second the responder's.
    const [ours, theirs] = this.#options.role === 'initiator' ? [token[0], token[1]] : [token[1], token[0]];
    const own = ours === 'e' ? this.#ephemeral : this.#options.staticKeys;
    const other = theirs === 'e' ? this.#remoteEphemeral : this.#remoteStatic;
    if (own === undefined || other === undefined) return undefined;
    return this.#options.crypto.x25519(own.secretKey, other);
  }
}
