import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Address } from '../../proto/env.ts';
import { ipToBytes } from '../../proto/memberlist/address.ts';
import type { Member } from '../../proto/swim/interface.ts';
import type { Log } from '../log.ts';
import { readState, replaceFile } from './state-file.ts';

/**
 * The members seen in the last 72 hours, kept over a restart: a host that comes back while its seeds are down still finds
 * its cluster (gossip.md 7.9). A hint, not a truth: a damaged or missing file is never an error.
 */
const KEEP_MS = 72 * 3600 * 1000;
const MAX_PEERS = 512;
/** How old the file may get while nothing but the times in it changes. */
const REFRESH_MS = 600_000;

const fileSchema = z.object({
  version: z.literal(1),
  peers: z
    .array(
      z.object({
        name: z.string().min(1).max(512),
        ip: z.string().refine((ip) => ipToBytes(ip) !== undefined, 'is no IP address'),
        port: z.int().min(1).max(65_535),
        seenMs: z.number(),
      }),
    )
    .max(MAX_PEERS),
});

interface KnownPeer {
  readonly ip: string;
  readonly port: number;
  /** Wall clock, ms since 1970. */
  readonly seenMs: number;
}

export class KnownPeers {
  readonly #path: string;
  readonly #log: Log;
  /** By name, seen longest ago first. */
  readonly #peers = new Map<string, KnownPeer>();
  #writtenKey = '';
  #writtenMs = -Infinity;

  /** Reads what an earlier run has left. `wallMs`: ms since 1970. */
  constructor(stateDir: string, wallMs: number, log: Log) {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
    this.#path = join(stateDir, 'peers.json');
    this.#log = log;
    for (const { name, ...peer } of this.#read()) {
      // From the future: written under a clock that was wrong.
      if (Math.abs(wallMs - peer.seenMs) < KEEP_MS) this.#peers.set(name, peer);
    }
  }

  get addresses(): readonly Address[] {
    return Array.from(this.#peers.values(), ({ ip, port }) => ({ ip, port }));
  }

  /** To be called now and then with all members; writes when there is news. */
  note(wallMs: number, members: readonly Member[], self: string): void {
    for (const { name, addr, state } of members) {
      if (name === self || state === 'dead') continue;
      this.#peers.delete(name);
      // Who left on purpose is not looked for.
      if (state !== 'left') this.#peers.set(name, { ...addr, seenMs: Math.floor(wallMs) });
    }
    for (const [name, { seenMs }] of this.#peers) {
      if (this.#peers.size <= MAX_PEERS && wallMs - seenMs < KEEP_MS) break;
      this.#peers.delete(name);
    }
    this.#write(wallMs);
  }

  #read(): z.infer<typeof fileSchema>['peers'] {
    const file = readState(this.#path, fileSchema, ({ message }) =>
      this.#log.warn(
        { error: message },
        'the list of known peers could not be read; only the seeds will be tried',
      ),
    );
    return file?.peers ?? [];
  }

  #write(wallMs: number): void {
    const peers = Array.from(this.#peers, ([name, peer]) => ({ name, ...peer }));
    const key = peers
      .map(({ name, ip, port }) => `${name} ${ip} ${port}`)
      .sort()
      .join();
    if (key === this.#writtenKey && wallMs - this.#writtenMs < REFRESH_MS) return;
    try {
      replaceFile(this.#path, JSON.stringify({ version: 1, peers }));
      this.#writtenKey = key;
      this.#writtenMs = wallMs;
    } catch (error) {
      this.#log.warn({ error: (error as Error).message }, 'the list of known peers could not be written');
    }
  }
}
