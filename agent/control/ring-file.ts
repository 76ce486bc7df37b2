import { join } from 'node:path';
import { z } from 'zod';
import type { SavedRing } from '../../proto/keyring/saved-ring.ts';
import { SecretKey } from '../../proto/keyring/secret-key.ts';
import { sha256 } from '../crypto/aes-gcm.ts';
import type { Log } from '../log.ts';
import { keepDurably, readState } from './state-file.ts';

/**
 * Keys that came by hand or by rotation, and the plan about all keys, kept over a restart (on
 * the disk before any other host hears of it). Without it the host starts with the operator's file and learns the rest anew.
 */
const fingerprint = z.string().regex(/^[0-9a-f]{16}$/);
const keySchema = z
  .object({ key: z.base64(), origin: z.enum(['hand', 'rotated']) })
  .transform(({ key, origin }) => ({ key: new SecretKey(Buffer.from(key, 'base64'), sha256), origin }));
const plannedSchema = z.object({
  fingerprint,
  action: z.enum(['add', 'use', 'remove']),
  isRotated: z.boolean(),
  stamp: z.int().min(0),
  isMine: z.boolean(),
});
const fileSchema = z.object({
  version: z.literal(1),
  /** Each by its own schema: one that is bad must not cost the keys beside it. */
  keys: z.array(z.unknown()).max(64),
  planned: z.array(z.unknown()).max(1024),
  primary: fingerprint,
  base: fingerprint,
  primaryAgeMs: z.number().min(0),
  savedAtMs: z.number(),
  /** Absent in files of versions that forgot it. */
  isRenewalDue: z.boolean().default(false),
});

export class RingFile {
  readonly #path: string;
  readonly #wall: () => number;
  readonly #log: Log;

  constructor(stateDir: string, wall: () => number, log: Log) {
    this.#path = join(stateDir, 'keyring.json');
    this.#wall = wall;
    this.#log = log;
  }

  read(): SavedRing | undefined {
    // What is wrong with it may quote it, and so is not told.
    return readState(this.#path, fileSchema.transform(this.#ringOf), () =>
      this.#log.warn({ path: this.#path }, 'kept gossip keys could not be read; learning them anew'),
    );
  }

  readonly #ringOf = (file: z.infer<typeof fileSchema>): SavedRing => {
    const keys = file.keys.flatMap((key) => read(keySchema, key));
    const planned = file.planned.flatMap((plan) => read(plannedSchema, plan));
    const skipped = file.keys.length + file.planned.length - keys.length - planned.length;
    if (skipped > 0)
      this.#log.warn({ path: this.#path, count: skipped }, 'some of the kept gossip keys could not be read');
    // A clock that was put back tells of no time; one that was put forward costs one early rotation.
    const awayMs = Math.max(0, this.#wall() - file.savedAtMs);
    return { ...file, keys, planned, primaryAgeMs: file.primaryAgeMs + awayMs };
  };

  /** Throws OverlaydError: a key that cannot be kept must not be announced. */
  write({ keys, ...saved }: SavedRing): void {
    const plain = keys.map(({ key, origin }) => {
      return { key: Buffer.from(key.reveal()).toString('base64'), origin };
    });
    const text = JSON.stringify({ version: 1, ...saved, keys: plain, savedAtMs: this.#wall() });
    keepDurably(this.#path, 'gossip keys', text);
  }
}

/** In a list, or nothing. */
function read<T>(schema: z.ZodType<T>, entry: unknown): T[] {
  try {
    return [schema.parse(entry)];
  } catch {
    return [];
  }
}
