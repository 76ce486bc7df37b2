import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Pin } from '../../proto/state/identities.ts';
import type { Log } from '../log.ts';
import { readOrPutAside, replaceFile } from './state-file.ts';

/**
 * Which key each host of the cluster has, and from which epoch on it is believed, kept over a restart: without it the
 * first to speak under a name after a restart would be taken for its owner, and recorded traffic for news.
 *
 * A damaged file is told and put aside, not guessed at: the daemon then trusts first sight again.
 */
const fileSchema = z.object({
  version: z.literal(1),
  hosts: z
    .array(
      z.object({
        name: z.string().min(1),
        key: z.string().regex(/^[0-9a-f]{64}$/),
        epoch: z.string().regex(/^[0-9]{1,19}$/),
      }),
    )
    .max(65_536),
});

export class PinFile {
  readonly #path: string;
  readonly #log: Log;
  #written = -1;

  constructor(stateDir: string, log: Log) {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
    this.#path = join(stateDir, 'identities.json');
    this.#log = log;
  }

  read(): Pin[] {
    const file = readOrPutAside(this.#path, fileSchema, ({ message }, aside) =>
      this.#log.warn(
        { error: message },
        `the list of known identities could not be read; it is kept as ${aside}, and keys are pinned anew`,
      ),
    );
    const hosts = file?.hosts ?? [];
    return hosts.map(({ name, key, epoch }) => ({ name, keyHex: key, minEpoch: BigInt(epoch) }));
  }

  /** Writes if `version` is another than last time. */
  write(version: number, pins: Iterable<Pin>): void {
    if (version === this.#written) return;
    const hosts = Array.from(pins, ({ name, keyHex, minEpoch }) => ({
      name,
      key: keyHex,
      epoch: `${minEpoch}`,
    }));
    try {
      replaceFile(this.#path, JSON.stringify({ version: 1, hosts }));
      this.#written = version;
    } catch (error) {
      this.#log.warn(
        { error: (error as Error).message },
        'the list of known identities could not be written',
      );
    }
  }
}
