import { ByteWriter } from './byte-writer.ts';
import { MsgpackReader } from './msgpack-reader.ts';
import { MsgpackWriter } from './msgpack-writer.ts';
import { readStruct, schema, writeStruct } from './struct.ts';
import type { Schema, Shape, Struct } from './struct.ts';
import { WireError } from './wire-error.ts';

/**
 * memberlist's messages (protocol 1 to 5): the type byte and the msgpack map behind it (gossip.md 1.1 and 1.3).
 *
 * Covers what stands alone in a packet, and ping, ack and err on streams. Wrappers are in packet.ts, lengths and
 * push/pull in stream-parser.ts. A decoded message encodes to the same bytes, because it keeps what Go keeps apart:
 * nil and empty byte fields, omitted fields (zero here), unsigned and signed lengths.
 */
export const MESSAGE_TYPE = {
  ping: 0,
  indirectPing: 1,
  ack: 2,
  suspect: 3,
  alive: 4,
  dead: 5,
  pushPull: 6,
  compound: 7,
  user: 8,
  compress: 9,
  encrypt: 10,
  nack: 11,
  crc: 12,
  err: 13,
  label: 244,
} as const;

/** Longest node name taken; Go has no limit, but a name this long is an attack or a mistake. */
const MAX_NAME = 512;
const MAX_ADDR_BYTES = 16;
/** Meta of others: Go bounds only its own to 512. */
const MAX_META_BYTES = 2048;
const MAX_LENGTHS = {
  node: MAX_NAME,
  name: MAX_NAME,
  from: MAX_NAME,
  sourceNode: MAX_NAME,
  addr: MAX_ADDR_BYTES,
  target: MAX_ADDR_BYTES,
  sourceAddr: MAX_ADDR_BYTES,
  meta: MAX_META_BYTES,
  vsn: 64,
  /** Words for an operator. */
  error: 4096,
};

const SOURCE = { sourceAddr: 'bytes?', sourceNode: 'text?', sourcePort: 'u16?' } as const;

export const PING = schema({ node: 'text', seqNo: 'u32', ...SOURCE }, MAX_LENGTHS);
export const INDIRECT_PING = schema(
  {
    nack: 'bool',
    node: 'text',
    port: 'u16',
    seqNo: 'u32',
    ...SOURCE,
    target: 'bytes',
  },
  MAX_LENGTHS,
);
export const ACK = schema({ payload: 'bytes', seqNo: 'u32' });
export const NACK = schema({ seqNo: 'u32' });
export const ERR = schema({ error: 'text' }, MAX_LENGTHS);
/** Suspect and dead have the same fields: who says so, of whom, at which incarnation. */
export const ACCUSATION = schema({ from: 'text', incarnation: 'u32', node: 'text' }, MAX_LENGTHS);
export const ALIVE = schema(
  {
    addr: 'bytes',
    incarnation: 'u32',
    meta: 'bytes',
    node: 'text',
    port: 'u16',
    vsn: 'bytes',
  },
  MAX_LENGTHS,
);
export const PUSH_PULL_HEADER = schema({ join: 'bool', nodes: 'int', userStateLen: 'int' });
export const PUSH_PULL_NODE = schema(
  {
    addr: 'bytes',
    incarnation: 'u32',
    meta: 'bytes',
    name: 'text',
    port: 'u16',
    state: 'int',
    vsn: 'bytes',
  },
  MAX_LENGTHS,
);
export const USER_HEADER = schema({ userMsgLen: 'int' });
export const COMPRESS = schema({ algo: 'u8', buf: 'bytes' });

type Of<T> = T extends Schema<infer S> ? Struct<S> : never;
export type Ping = Of<typeof PING>;
export type IndirectPing = Of<typeof INDIRECT_PING>;
export type Ack = Of<typeof ACK>;
export type Nack = Of<typeof NACK>;
export type Accusation = Of<typeof ACCUSATION>;
export type Alive = Of<typeof ALIVE>;
export type PushPullNode = Of<typeof PUSH_PULL_NODE>;

export type Message =
  | ({ readonly type: 'ping' } & Ping)
  | ({ readonly type: 'indirectPing' } & IndirectPing)
  | ({ readonly type: 'ack' } & Ack)
  | ({ readonly type: 'nack' } & Nack)
  | ({ readonly type: 'suspect' | 'dead' } & Accusation)
  | ({ readonly type: 'alive' } & Alive)
  | ({ readonly type: 'err' } & Of<typeof ERR>)
  /** Over UDP: everything to the end of the part. */
  | { readonly type: 'user'; readonly bytes: Uint8Array };

export type MessageName = Message['type'];

const SCHEMAS = {
  ping: PING,
  indirectPing: INDIRECT_PING,
  ack: ACK,
  nack: NACK,
  suspect: ACCUSATION,
  dead: ACCUSATION,
  alive: ALIVE,
  err: ERR,
} as const;

const NAME_OF_TYPE: ReadonlyMap<number, MessageName> = new Map(
  [...Object.keys(SCHEMAS), 'user'].map((name) => [MESSAGE_TYPE[name as MessageName], name as MessageName]),
);

/** One whole message, type byte first. What follows the map is ignored, as Go does. Throws WireError. */
export function decodeMessage(bytes: Uint8Array): Message {
  const first = bytes[0];
  if (first === undefined) throw new WireError('empty', 'message without a type');
  const type = NAME_OF_TYPE.get(first);
  if (type === undefined) throw new WireError('unknown-type', `message type ${first} is not known here`);
  if (type === 'user') return { type, bytes: bytes.subarray(1) };
  const fields = readStruct(new MsgpackReader(bytes, 1), SCHEMAS[type] as Schema<Shape>);
  return { type, ...fields } as Message;
}

export function encodeMessage(message: Message): Uint8Array {
  const out = new ByteWriter();
  out.u8(MESSAGE_TYPE[message.type]);
  if (message.type === 'user') {
    out.bytes(message.bytes);
  } else {
    writeStruct(new MsgpackWriter(out), SCHEMAS[message.type] as Schema<Shape>, message as never);
  }
  return out.finish();
}
