import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { RestoredEndpoint } from '../../proto/view/endpoints.ts';
import type { Log } from '../log.ts';
import { readState, replaceFile } from './state-file.ts';

/**
 * The endpoints of this host, kept over a restart: silent containers stay reachable though they have not yet said
 * anything to the new daemon. A hint, not a truth: a damaged or missing file costs one round of ARP, so it is never an error.
 */
const fileSchema = z.object({
  version: z.literal(1),
  endpoints: z
    .array(z.object({ vni: z.int(), mac: z.int(), ips: z.array(z.string()).max(16) }))
    .max(1_000_000),
});

export class EndpointFile {
  readonly #path: string;
  readonly #log: Log;
  #written = '';

  constructor(stateDir: string, log: Log) {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
    this.#path = join(stateDir, 'endpoints.json');
    this.#log = log;
  }

  read(): readonly RestoredEndpoint[] {
    const file = readState(this.#path, fileSchema, ({ message }) =>
      this.#log.warn({ error: message }, 'the list of endpoints could not be read; learning them anew'),
    );
    return file?.endpoints ?? [];
  }

  /** Writes if something changed. */
  write(endpoints: Iterable<RestoredEndpoint>): void {
    const text = JSON.stringify({ version: 1, endpoints: [...endpoints] });
    if (text === this.#written) return;
    try {
      replaceFile(this.#path, text);
      this.#written = text;
    } catch (error) {
      this.#log.warn({ error: (error as Error).message }, 'the list of endpoints could not be written');
    }
  }
}
