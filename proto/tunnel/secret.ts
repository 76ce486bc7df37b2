/**
 * Key bytes that leave only by `reveal`: JSON, inspection and text show nothing of them. `destroy` overwrites them;
 * who needs them longer makes a copy and answers for it.
 */
const INSPECT: unique symbol = Symbol.for('nodejs.util.inspect.custom');

export class Secret {
  readonly #bytes: Uint8Array;

  /** Takes the bytes over: they are overwritten by `destroy`. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  reveal(): Uint8Array {
    return this.#bytes;
  }

  destroy(): void {
    this.#bytes.fill(0);
  }

  toJSON(): string {
    return this.toString();
  }

  toString(): string {
    return 'secret';
  }

  [INSPECT](): string {
    return this.toString();
  }
}
