/**
 * What of networks is on this host, kept over a restart: TAPs that were attached by a word, and endpoints, a file for each.
 *
 * Written before a TAP is made and removed after it went, so that no interface is ever there that nobody knows of.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { readState, replaceFile, stateFolderError } from '../control/state-file.ts';
import type { Log } from '../log.ts';
import type { EndpointSpec } from './interface.ts';

const networkId = z.string().regex(/^[0-9a-f]{32}$/);
const attachmentSchema = z.object({ network: networkId, tap: z.string(), byHand: z.boolean() });
/** A TAP for a whole network, on which containers hang (macvlan). */
export type Attachment = z.infer<typeof attachmentSchema>;
const attachmentsSchema = z.object({ version: z.literal(1), attached: z.array(attachmentSchema).max(1024) });

const endpointSchema = z.object({
  version: z.literal(1),
  id: z.string(),
  network: networkId,
  ifName: z.string(),
  mac: z.string(),
  ips: z.array(z.string()).max(64),
  name: z.string().optional(),
  netns: z.string().optional(),
});

export class LocalFiles {
  readonly #attached: string;
  readonly #endpoints: string;
  readonly #log: Pick<Log, 'error'>;

  constructor(stateDir: string, log: Pick<Log, 'error'>) {
    this.#attached = join(stateDir, 'attached.json');
    this.#endpoints = join(stateDir, 'endpoints');
    this.#log = log;
  }

  attachments(): readonly Attachment[] {
    return this.#read(this.#attached, attachmentsSchema)?.attached ?? [];
  }

  /** Throws OverlaydError. */
  writeAttachments(attached: readonly Attachment[]): void {
    this.#write(this.#attached, { version: 1, attached });
  }

  endpoints(): EndpointSpec[] {
    let names: string[];
    try {
      names = readdirSync(this.#endpoints);
    } catch {
      return [];
    }
    return names
      .filter((name) => name.endsWith('.json'))
      .flatMap((name) => {
        const read = this.#read(join(this.#endpoints, name), endpointSchema);
        if (read === undefined) return [];
        const { version: _, name: shown, netns, ...rest } = read;
        return [
          { ...rest, ...(shown !== undefined && { name: shown }), ...(netns !== undefined && { netns }) },
        ];
      });
  }

  /** Throws OverlaydError. */
  writeEndpoint(spec: EndpointSpec): void {
    this.#write(this.#endpointPath(spec.id), { version: 1, ...spec });
  }

  removeEndpoint(id: string): void {
    rmSync(this.#endpointPath(id), { force: true });
  }

  /** The caller's id may be anything; a file's name may not. */
  #endpointPath(id: string): string {
    return join(this.#endpoints, `${createHash('sha256').update(id).digest('hex').slice(0, 32)}.json`);
  }

  #read<T>(path: string, schema: z.ZodType<T>): T | undefined {
    return readState(path, schema, ({ message }) =>
      this.#log.error({ path, error: message }, 'a file of the state folder could not be read'),
    );
  }

  #write(path: string, content: object): void {
    try {
      mkdirSync(join(path, '..'), { recursive: true, mode: 0o700 });
      replaceFile(path, JSON.stringify(content));
    } catch (cause) {
      throw stateFolderError(`what of networks is on this host in ${path}`, cause);
    }
  }
}
