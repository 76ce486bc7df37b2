/**
 * What this host holds of a pool of addresses, and which of them it has handed out: one file for each pool, on the disk
 * before anybody hears of it.
 *
 * A damaged file is put aside: the host begins without its disk then, and gets its ranges back from its guardians.
 */
import { unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Block, Family } from '../../proto/ipam/block.ts';
import { addressText, blockText, parseAddress, parseBlock } from '../../proto/ipam/block.ts';
import type { SavedHolding } from '../../proto/ipam/holding.ts';
import { keepDurably, readKept, readState } from '../control/state-file.ts';
import type { Log } from '../log.ts';

const u32 = z.int().min(0).max(0xffff_ffff);
const count = z.int().min(0);
const block = z.string().transform((text, context): Block => {
  const read = parseBlock(text);
  if (read !== undefined) return read.block;
  context.addIssue('no address block');
  return z.NEVER;
});
const guardian = z.object({ name: z.string(), life: u32, ledger: u32 });
const estate = z.object({
  rev: count,
  isRoot: z.boolean(),
  guardians: z.array(guardian).max(2),
  own: z.array(block),
  gifts: z.array(
    z.object({ id: u32, block, to: z.string(), life: u32, session: count, isFirst: z.boolean() }),
  ),
  taken: z.array(z.object({ id: u32, donor: z.string(), donorLife: u32, donorRev: count })),
  closed: z.array(u32),
  docker: z.array(block),
});
const ward = z.object({
  life: u32,
  session: count,
  beat: count,
  estate,
  fromRev: count,
  isRegistered: z.boolean(),
  isPromised: z.boolean(),
  isOver: z.boolean(),
  isWanted: z.boolean(),
});
const fileSchema = z.object({
  version: z.literal(1),
  subnet: z.string(),
  holding: z.object({
    session: count,
    ledger: u32,
    life: u32,
    lineage: z.object({ atMs: count, origin: z.string() }).optional(),
    estate,
    isSettled: z.boolean(),
    retained: z.array(z.string()),
    wards: z.record(z.string(), ward),
  }),
  /** Runs of addresses: the first, and how many. */
  used: z.array(
    z.tuple([
      z.string(),
      z
        .int()
        .min(1)
        .max(1 << 24),
    ]),
  ),
  /** Handed out here, and another host's since. */
  reclaimed: z.array(z.string()),
});

export interface RangeFileContent {
  readonly holding: SavedHolding;
  readonly used: Iterable<bigint>;
  readonly reclaimed: Iterable<bigint>;
}

export class RangeFile {
  readonly #path: string;
  readonly #family: Family;
  readonly #subnet: Block;
  readonly #log: Pick<Log, 'error' | 'warn'>;

  constructor(
    stateDir: string,
    pool: { id: string; family: Family; subnet: Block },
    log: Pick<Log, 'error' | 'warn'>,
  ) {
    this.#path = join(stateDir, 'ranges', `${pool.id}-${pool.family}.json`);
    this.#family = pool.family;
    this.#subnet = pool.subnet;
    this.#log = log;
  }

  /** undefined: there is none, or it was of another subnet. Throws OverlaydError where it cannot be read at all. */
  read(): RangeFileContent | undefined {
    return readKept(this.#path, 'address ranges', this.#schema, ({ message }, aside) =>
      this.#log.error(
        { error: message },
        `the address ranges of this host could not be read: what was there is in ${aside}; the ranges come back from the hosts that keep a copy`,
      ),
    );
  }

  /** For who only looks: a file that cannot be read stays where it is. */
  peek(): RangeFileContent | undefined {
    return readState(this.#path, this.#schema, () => undefined);
  }

  get #schema(): z.ZodType<RangeFileContent | undefined> {
    return fileSchema.transform((file) => this.#contentOf(file));
  }

  #contentOf(file: z.infer<typeof fileSchema>): RangeFileContent | undefined {
    if (file.subnet !== blockText(this.#subnet, this.#family)) return undefined;
    const { wards, lineage, ...rest } = file.holding;
    const holding = { ...rest, lineage, wards: new Map(Object.entries(wards)) };
    const used = file.used.flatMap(([first, length]) => {
      const from = this.#address(first);
      return Array.from({ length }, (_, i) => from + BigInt(i));
    });
    return { holding, used, reclaimed: file.reclaimed.map((each) => this.#address(each)) };
  }

  #address(text: string): bigint {
    const address = parseAddress(text, this.#family);
    if (address === undefined) throw new RangeError(`no address: ${text}`);
    return address;
  }

  /** Throws OverlaydError: what cannot be kept must not be announced. */
  write({ holding, used, reclaimed }: RangeFileContent): void {
    const text = (address: bigint): string => addressText(address, this.#family);
    const content = {
      version: 1,
      subnet: blockText(this.#subnet, this.#family),
      holding: { ...holding, wards: Object.fromEntries(holding.wards) },
      used: runsOf(used).map(([first, length]) => [text(first), length]),
      reclaimed: [...reclaimed].map(text),
    };
    const json = JSON.stringify(content, (_, part: unknown) =>
      isBlock(part) ? blockText(part, this.#family) : part,
    );
    keepDurably(this.#path, 'address ranges', json);
  }

  /** The network is no more. */
  remove(): void {
    try {
      unlinkSync(this.#path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        this.#log.warn({ error: (error as Error).message }, 'an address file could not be removed');
    }
  }
}

const isBlock = (part: unknown): part is Block =>
  typeof part === 'object' && part !== null && 'bits' in part && 'base' in part;

function runsOf(addresses: Iterable<bigint>): [bigint, number][] {
  const sorted = [...addresses].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const runs: [bigint, number][] = [];
  for (const address of sorted) {
    const last = runs.at(-1);
    if (last !== undefined && last[0] + BigInt(last[1]) === address) last[1]++;
    else runs.push([address, 1]);
  }
  return runs;
}
