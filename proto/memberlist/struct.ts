import type { MsgpackReader } from './msgpack-reader.ts';
import type { MsgpackWriter } from './msgpack-writer.ts';
import { textToBytes } from './text.ts';
import { WireError } from './wire-error.ts';

/**
 * Go structs as msgpack maps, driven by a schema. Keys on the wire are the Go field names, sorted; here they are the
 * same with a small first letter (`seqNo` is `SeqNo`). A kind with "?" is `omitempty`: left out when it is zero.
 *
 * Decoding takes keys in any order, skips unknown ones and gives missing ones their zero value.
 */
type Kind = 'text' | 'bytes' | 'bool' | 'u8' | 'u16' | 'u32' | 'int';
export type Shape = Readonly<Record<string, Kind | `${Kind}?`>>;

type Value<K> = K extends `text${string}`
  ? string
  : K extends `bytes${string}`
    ? Uint8Array | null
    : K extends `bool${string}`
      ? boolean
      : number;

export type Struct<S extends Shape> = { readonly [F in keyof S]: Value<S[F]> };

interface Field {
  readonly name: string;
  readonly wireName: string;
  /** The key as it is written: a fixstr. */
  readonly key: Uint8Array;
  readonly kind: Kind;
  readonly omitEmpty: boolean;
  /** Longest text or bytes taken. */
  readonly maxLength: number;
}

export interface Schema<S extends Shape> {
  readonly fields: readonly Field[];
  readonly byWireName: ReadonlyMap<string, Field>;
  /** All fields at zero: what a struct starts from. */
  readonly zero: Struct<S>;
  /** Never set: carries the type. */
  readonly shape?: S;
}

/** Far above what any version has, and low enough that reading a struct again and again costs little. */
const MAX_PAIRS = 256;
/** Field names that a version may have: the longest has 12 bytes. */
const MAX_KEY_BYTES = 64;
const MAX_TEXT_BYTES = 512;
const MAX_UINT = { u8: 0xff, u16: 0xffff, u32: 0xffff_ffff, int: 0x7fff_ffff } as const;

/**
 * Fields must be listed in wire order, which is byte order of the Go names. `maxLengths`, in bytes, bounds text and bytes
 * whose length the format itself leaves open; longer ones are refused by the length that they announce. Text has a bound
 * always: it is built from its bytes.
 */
export function schema<const S extends Shape>(
  shape: S,
  maxLengths: Readonly<Record<string, number>> = {},
): Schema<S> {
  const fields = Object.entries(shape).map(([name, spelled]): Field => {
    const omitEmpty = spelled.endsWith('?');
    const kind = (omitEmpty ? spelled.slice(0, -1) : spelled) as Kind;
    const wireName = name.charAt(0).toUpperCase() + name.slice(1);
    const key = Uint8Array.of(0xa0 | wireName.length, ...textToBytes(wireName));
    return {
      name,
      wireName,
      key,
      kind,
      omitEmpty,
      maxLength: maxLengths[name] ?? (kind === 'text' ? MAX_TEXT_BYTES : Infinity),
    };
  });
  const zeros = Object.fromEntries(fields.map(({ name, kind }) => [name, zero(kind)])) as Struct<S>;
  return { fields, byWireName: new Map(fields.map((field) => [field.wireName, field])), zero: zeros };
}

/** Reads one struct. The `int` fields' dialect is left in `reader.sawSignedInt`. */
export function readStruct<S extends Shape>(
  reader: MsgpackReader,
  { fields, byWireName, zero: zeros }: Schema<S>,
): Struct<S> {
  const values: Record<string, unknown> = { ...zeros };
  const pairs = reader.mapLength();
  if (pairs > MAX_PAIRS) throw new WireError('too-long', `struct with ${pairs} fields`);
  let next = 0;
  for (let i = 0; i < pairs; i++) {
    // Go writes known keys in order: comparing bytes finds them without making strings.
    let at = next;
    while (at < fields.length && !reader.skipExactly((fields[at] as Field).key)) at += 1;
    const field = at < fields.length ? fields[at] : byWireName.get(reader.text('key', MAX_KEY_BYTES));
    if (at < fields.length) next = at + 1;
    if (field === undefined) reader.skip();
    else values[field.name] = readValue(reader, field);
  }
  return values as Struct<S>;
}

export function writeStruct<S extends Shape>(
  writer: MsgpackWriter,
  { fields }: Schema<S>,
  values: Struct<S>,
  signedInts = false,
): void {
  let pairs = 0;
  for (const { name, omitEmpty } of fields) if (!omitEmpty || !isZero(values[name])) pairs += 1;
  writer.map(pairs);
  for (const { name, key, kind, omitEmpty } of fields) {
    const value: unknown = values[name];
    if (omitEmpty && isZero(value)) continue;
    writer.out.bytes(key);
    if (kind === 'text') writer.text(value as string);
    else if (kind === 'bytes') writer.bytesOrNil(value as Uint8Array | null);
    else if (kind === 'bool') writer.bool(value as boolean);
    else if (kind === 'int' && signedInts) writer.signedInt(value as number);
    else writer.uint(value as number);
  }
}

function readValue(reader: MsgpackReader, { name, kind, maxLength }: Field): unknown {
  switch (kind) {
    case 'text':
      return reader.text(name, maxLength);
    case 'bytes':
      return reader.bytesOrNil(name, maxLength);
    case 'bool':
      return reader.bool();
    default:
      return reader.uint(MAX_UINT[kind]);
  }
}

function zero(kind: Kind): unknown {
  if (kind === 'text') return '';
  if (kind === 'bytes') return null;
  return kind === 'bool' ? false : 0;
}

function isZero(value: unknown): boolean {
  return value instanceof Uint8Array
    ? value.length === 0
    : value === null || value === '' || value === 0 || value === false;
}
