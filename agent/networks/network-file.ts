/**
 * The networks that were made and removed, kept over a restart: with all hosts down, what they know is all there is.
 *
 * On the disk before anybody hears of it. A damaged file is put aside and said: the others still know most of it.
 */
import { join } from 'node:path';
import { z } from 'zod';
import type { SavedNetworks } from '../../proto/networks/registry.ts';
import { GONE_MAX, NETWORKS_MAX } from '../../proto/networks/registry.ts';
import { keepDurably, readKept, readState } from '../control/state-file.ts';
import type { Log } from '../log.ts';

const id = z.string().regex(/^[0-9a-f]{32}$/);
const fileSchema = z.object({
  version: z.literal(1),
  made: z
    .array(
      z.object({
        name: z.string(),
        vni: z.int(),
        subnet: z.string(),
        gateway: z.string(),
        mtu: z.int(),
        encrypted: z.boolean(),
        made: z.object({
          id,
          creator: z.string(),
          hlc: z
            .string()
            .regex(/^\d{1,20}$/)
            .transform(BigInt),
          revision: z.int(),
          subnet6: z.string(),
          gateway6: z.string(),
          internal: z.boolean(),
          labels: z.record(z.string(), z.string()),
          chosen: z.object({ vni: z.boolean(), subnet: z.boolean(), mtu: z.boolean() }),
        }),
      }),
    )
    .max(NETWORKS_MAX),
  gone: z.array(z.object({ id, atMs: z.number(), name: z.string(), by: z.string() })).max(GONE_MAX),
});

export class NetworkFile {
  readonly #path: string;
  readonly #log: Pick<Log, 'error'>;

  constructor(stateDir: string, log: Pick<Log, 'error'>) {
    this.#path = join(stateDir, 'networks.json');
    this.#log = log;
  }

  /** Throws OverlaydError when it cannot be read at all. */
  read(): SavedNetworks | undefined {
    return readKept(this.#path, 'networks', fileSchema, ({ message }, aside) =>
      this.#log.error(
        { error: message },
        `the networks of this host could not be read: learning them from the others; what was there is in ${aside}`,
      ),
    );
  }

  /** For who only looks: a file that cannot be read stays where it is. */
  peek(): SavedNetworks | undefined {
    return readState(this.#path, fileSchema, () => undefined);
  }

  /** Throws OverlaydError: what cannot be kept must not be announced. */
  write({ made, gone }: SavedNetworks): void {
    const plain = made.map((network) => ({
      ...network,
      made: { ...network.made, hlc: String(network.made.hlc) },
    }));
    keepDurably(this.#path, 'networks', JSON.stringify({ version: 1, made: plain, gone }));
  }
}
