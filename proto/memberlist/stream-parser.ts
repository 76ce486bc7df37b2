import { unwrapCompressed } from './compress.ts';
import { MESSAGE_TYPE, PUSH_PULL_HEADER, PUSH_PULL_NODE, USER_HEADER, decodeMessage } from './messages.ts';
import type { Message, PushPullNode } from './messages.ts';
import { MsgpackReader } from './msgpack-reader.ts';
import { stripLabel } from './packet.ts';
import type { Opener } from './sealed-block.ts';
import { FRAME_HEADER_BYTES, frameAad } from './stream-frame.ts';
import { readStruct } from './struct.ts';
import { WireError, limitLength } from './wire-error.ts';

/**
 * Reads the one message of a memberlist TCP stream (gossip.md 1.10), from chunks of any size down to a byte.
 *
 * Plain streams have no outer length. The parser keeps what is done (header, nodes) and the length it needs before the
 * next attempt, so a message costs time linear in its size however it was cut. All or nothing: a message is given out
 * when it is whole, and an error ends the stream.
 */
export type StreamMessage =
  | Extract<Message, { type: 'ping' | 'ack' | 'err' }>
  | { readonly type: 'user'; readonly bytes: Uint8Array; readonly signedInts: boolean }
  | PushPull;

export interface PushPull {
  readonly type: 'pushPull';
  readonly join: boolean;
  /** Their byte fields are views of the stream: to be copied by who keeps them. */
  readonly nodes: readonly PushPullNode[];
  /** Further nodes: when sending, as ready bytes; when received, those that `known` recognised. */
  readonly packed?: { readonly count: number; readonly wires: readonly Uint8Array[] };
  readonly userState: Uint8Array;
  /** Lengths came in go-msgpack 2's signed form; for encoding to the same bytes. */
  readonly signedInts: boolean;
}

export interface StreamParserOptions {
  readonly maxBytes?: number;
  /** Opens sealed frames. None: a sealed stream is an error, 'encrypted'. */
  readonly open?: Opener | undefined;
  /** The cluster's label, associated data of the seal also where the stream does not begin with it. */
  readonly sealLabel?: Uint8Array;
  /** A stream in clear is an error, 'clear'. */
  readonly isSealRequired?: boolean;
  /** Tells nodes of a push/pull that say nothing new: they are counted, not decoded. */
  readonly known?: KnownNodes | undefined;
}

export interface KnownNodes {
  /** Length of the node that begins at `at` when it is, byte for byte, one that the reader holds just so; else 0. */
  match(bytes: Uint8Array, at: number): number;
}

const MAX_STREAM_BYTES = 20 << 20;
const MAX_INFLATED_BYTES = 40 << 20;
const MAX_NODES = 65_536;
const NO_LABEL = new Uint8Array(0);
/** A header or one node; a well-formed node has 2.7 kB at most, unknown fields may come on top. */
const MAX_STRUCT_BYTES = 16_384;

export class StreamParser {
  #buffer: Uint8Array = new Uint8Array(256);
  #length = 0;
  /** No attempt before this many bytes are there. */
  #need = 1;
  /** Where the message starts (after the label), and how far it has been read. */
  #at = 0;
  #labelDone = false;
  #header: { join: boolean; nodes: number; userStateLen: number; signedInts: boolean } | undefined;
  readonly #nodes: PushPullNode[] = [];
  #knownCount = 0;
  readonly #label: Uint8Array;
  readonly #options: StreamParserOptions;
  readonly #maxBytes: number;

  /** `label` is what the stream must begin with; empty for none. */
  constructor(label: Uint8Array, options: StreamParserOptions = {}) {
    this.#label = label;
    this.#options = options;
    this.#maxBytes = options.maxBytes ?? MAX_STREAM_BYTES;
  }

  /** Bytes held, for a bound over all streams. */
  get bufferedBytes(): number {
    return this.#length;
  }

  /** The message once it is whole, else undefined. Throws WireError; the parser is of no use afterwards. */
  push(chunk: Uint8Array): StreamMessage | undefined {
    this.#append(chunk);
    while (this.#length >= this.#need) {
      try {
        return this.#parse();
      } catch (error) {
        if (!(error instanceof WireError) || error.reason !== 'truncated') throw error;
        this.#need = Math.max(error.needBytes, this.#length + 1);
        limitLength('stream', this.#need, this.#maxBytes);
      }
    }
    return undefined;
  }

  #append(chunk: Uint8Array): void {
    const length = this.#length + chunk.length;
    limitLength('stream', length, this.#maxBytes);
    if (length > this.#buffer.length) {
      const bigger = new Uint8Array(Math.min(this.#maxBytes, Math.max(length, this.#buffer.length * 2)));
      bigger.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = bigger;
    }
    this.#buffer.set(chunk, this.#length);
    this.#length = length;
  }

  #parse(): StreamMessage {
    const bytes = this.#buffer.subarray(0, this.#length);
    if (!this.#labelDone) {
      this.#at = bytes.length - stripLabel(bytes, this.#label).length;
      this.#labelDone = true;
    }
    if (this.#header !== undefined) return this.#pushPull(bytes);
    const type = bytes[this.#at];
    if (type === undefined) throw new WireError('truncated', 'stream without a message', this.#at + 1);
    if (type === MESSAGE_TYPE.encrypt) return this.#unseal(bytes);
    if (this.#options.isSealRequired === true) throw new WireError('clear', 'stream is not encrypted');
    if (type === MESSAGE_TYPE.compress) return this.#inflate(bytes);
    if (type === MESSAGE_TYPE.pushPull) return this.#pushPull(bytes);
    if (type === MESSAGE_TYPE.user) return this.#user(bytes);
    return this.#single(bytes);
  }

  /** A frame tells its length: it is opened once, when it is whole. */
  #unseal(bytes: Uint8Array): StreamMessage {
    const { open, sealLabel = this.#label } = this.#options;
    if (open === undefined) throw new WireError('encrypted', 'stream is encrypted, no key is configured');
    const start = this.#at + FRAME_HEADER_BYTES;
    if (bytes.length < start) throw new WireError('truncated', 'frame ends early', start);
    const header = bytes.subarray(this.#at, start);
    const end = start + new DataView(header.buffer, header.byteOffset).getUint32(1);
    limitLength('frame', end - start, this.#maxBytes);
    if (bytes.length < end) throw new WireError('truncated', 'frame is not whole yet', end);
    const plain = open(bytes.subarray(start, end), frameAad(header, sealLabel));
    if (plain[0] === MESSAGE_TYPE.encrypt) throw new WireError('too-deep', 'sealed twice');
    const message = new StreamParser(NO_LABEL, { maxBytes: this.#maxBytes, known: this.#options.known }).push(
      plain,
    );
    if (message === undefined) throw new WireError('range', 'sealed message is cut short');
    return message;
  }

  /** A wrapper tells its length, so what is inside is whole: parse it at once, and only once. */
  #inflate(bytes: Uint8Array): StreamMessage {
    const wrapped = bytes.subarray(this.#at);
    try {
      const { inner } = unwrapCompressed(wrapped, MAX_INFLATED_BYTES);
      const type = inner[0];
      if (type === MESSAGE_TYPE.compress || type === MESSAGE_TYPE.encrypt)
        throw new WireError('too-deep', 'wrapped twice');
      const message = new StreamParser(NO_LABEL, { maxBytes: MAX_INFLATED_BYTES }).push(inner);
      if (message === undefined) throw new WireError('range', 'compressed message is cut short');
      return message;
    } catch (error) {
      throw shifted(error, this.#at);
    }
  }

  #pushPull(bytes: Uint8Array): PushPull {
    if (this.#header === undefined) {
      const reader = new MsgpackReader(bytes, this.#at + 1);
      const { join, nodes, userStateLen } = bounded(this.#at, () => readStruct(reader, PUSH_PULL_HEADER));
      if (nodes > MAX_NODES) throw new WireError('too-long', `push/pull of ${nodes} nodes`);
      limitLength('user state', userStateLen, this.#maxBytes);
      this.#header = { join, nodes, userStateLen, signedInts: reader.sawSignedInt };
      this.#at = reader.position;
    }
    const { join, nodes, userStateLen, signedInts } = this.#header;
    while (this.#nodes.length + this.#knownCount < nodes) {
      // The first is the speaker: always read.
      const length = this.#nodes.length === 0 ? 0 : (this.#options.known?.match(bytes, this.#at) ?? 0);
      if (length > 0) {
        this.#knownCount += 1;
        this.#at += length;
        continue;
      }
      const reader = new MsgpackReader(bytes, this.#at);
      const node = bounded(this.#at, () => readStruct(reader, PUSH_PULL_NODE));
      // Also bounds what a stream of empty maps could make us allocate.
      if (node.name === '') throw new WireError('range', 'push/pull node without a name');
      this.#nodes.push(node);
      this.#at = reader.position;
    }
    const end = this.#at + userStateLen;
    if (end > bytes.length) throw new WireError('truncated', 'user state is not whole yet', end);
    const userState = bytes.slice(this.#at, end);
    const message = { type: 'pushPull', join, nodes: this.#nodes, userState, signedInts } as const;
    return this.#knownCount === 0 ? message : { ...message, packed: { count: this.#knownCount, wires: [] } };
  }

  #user(bytes: Uint8Array): StreamMessage {
    const reader = new MsgpackReader(bytes, this.#at + 1);
    const { userMsgLen } = bounded(this.#at, () => readStruct(reader, USER_HEADER));
    limitLength('user message', userMsgLen, this.#maxBytes);
    const end = reader.position + userMsgLen;
    if (end > bytes.length) throw new WireError('truncated', 'user message is not whole yet', end);
    return { type: 'user', bytes: bytes.slice(reader.position, end), signedInts: reader.sawSignedInt };
  }

  #single(bytes: Uint8Array): StreamMessage {
    const at = this.#at;
    const message = bounded(at, () => {
      try {
        // A copy, for the buffer goes on; of no more than a struct may have.
        return decodeMessage(bytes.slice(at, at + MAX_STRUCT_BYTES));
      } catch (error) {
        throw shifted(error, at);
      }
    });
    if (message.type === 'ping' || message.type === 'ack' || message.type === 'err') return message;
    throw new WireError('unknown-type', `${message.type} does not belong on a stream`);
  }
}

/** Refuses to wait for a struct that claims more bytes than any real one has. */
function bounded<T>(start: number, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof WireError && error.reason === 'truncated') {
      limitLength('struct', error.needBytes - start, MAX_STRUCT_BYTES);
    }
    throw error;
  }
}

function shifted(error: unknown, by: number): unknown {
  if (!(error instanceof WireError) || error.reason !== 'truncated') return error;
  return new WireError('truncated', error.message, error.needBytes + by);
}
