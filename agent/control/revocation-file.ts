import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { SavedRevocation } from '../../proto/state/revocations.ts';
import type { Log } from '../log.ts';
import { readOrPutAside, replaceFileDurably, stateFolderError } from './state-file.ts';

/**
 * Which keys are void, as signed words, kept over a restart: a host that comes back while all others are away must not take
 * a revoked one for a member.
 *
 * A damaged file is told and put aside; the others say again what they know.
 */
const fileSchema = z.object({
  version: z.literal(1),
  words: z.array(z.object({ word: z.base64(), takenMs: z.number().min(0) })).max(65_536),
});

export class RevocationFile {
  readonly #path: string;
  readonly #log: Log;
  #written: number | undefined;

  constructor(stateDir: string, log: Log) {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
    this.#path = join(stateDir, 'revocations.json');
    this.#log = log;
  }

  read(): SavedRevocation[] {
    const file = readOrPutAside(this.#path, fileSchema, ({ message }, aside) =>
      this.#log.error(
        { error: message },
        `the list of revoked hosts could not be read; it is kept as ${aside}, and learnt anew from the others`,
      ),
    );
    const words = file?.words ?? [];
    return words.map(({ word, takenMs }) => ({
      bytes: new Uint8Array(Buffer.from(word, 'base64')),
      takenMs,
    }));
  }

  /** Writes if `version` is another than last time; on the disk when it returns. Throws OverlaydError. */
  write(version: number, saved: () => readonly SavedRevocation[]): void {
    if (version === this.#written) return;
    const words = saved().map(({ bytes, takenMs }) => {
      return { word: Buffer.from(bytes).toString('base64'), takenMs };
    });
    try {
      // None yet: no file, so that an empty one is never taken for a known nothing.
      if (words.length > 0 || this.#written !== undefined)
        replaceFileDurably(this.#path, JSON.stringify({ version: 1, words }));
      this.#written = version;
    } catch (cause) {
      throw stateFolderError(`revocations in ${this.#path}`, cause);
    }
  }
}
