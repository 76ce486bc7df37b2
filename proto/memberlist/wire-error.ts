/**
 * The one error that decoders of the memberlist wire format throw. Whatever arrives, a decoder returns a value or
 * throws this; callers turn it into a drop counter named after `reason`.
 */
export type WireReason =
  | 'truncated'
  | 'type'
  | 'range'
  | 'too-long'
  | 'too-deep'
  | 'crc'
  | 'lzw'
  | 'label'
  | 'encrypted'
  | 'undecryptable'
  | 'clear'
  | 'muted'
  | 'unknown-type'
  | 'empty';

export class WireError extends Error {
  readonly reason: WireReason;
  /** For 'truncated': the length the buffer must have before another attempt makes sense. */
  readonly needBytes: number;

  constructor(reason: WireReason, message: string, needBytes = 0) {
    // One for every malformed packet, and every piece of a stream: the walk over the stack costs more than all the rest.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(message);
    Error.stackTraceLimit = stackTraceLimit;
    this.name = 'WireError';
    this.reason = reason;
    this.needBytes = needBytes;
  }
}

/** Throws unless so many bytes are few enough; for what the format itself leaves open. */
export function limitLength(what: string, length: number, max: number): void {
  if (length > max) throw new WireError('too-long', `${what} has ${length} bytes, more than ${max}`);
}
