/**
 * A table on disk: one JSON line `[kind, key, value]` a change, value null where it is deleted; the last line on a key
 * stands. Appending is one write, so that thousands of endpoints cost what one does; rewritten when most of it is old.
 *
 * A line cut short by a crash is the last one, and what it was about was not answered yet: it is left out. Written lines
 * survive the death of the daemon; over a power cut Docker itself starts anew.
 */
import { closeSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { replaceFile, stateFolderError } from '../../control/state-file.ts';

const SLACK_LINES = 256;

type Line = readonly [kind: string, key: string, value: unknown];

export class Journal {
  readonly #path: string;
  readonly #live = new Map<string, Line>();
  #lines = 0;
  #fd = -1;

  /** Throws OverlaydError when the file cannot be read or written. */
  constructor(path: string) {
    this.#path = path;
    try {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      for (const line of linesOf(path)) this.#apply(line);
      this.#rewrite();
    } catch (error) {
      throw stateFolderError('what Docker has on this host', error);
    }
  }

  *entries(): Generator<Line> {
    yield* this.#live.values();
  }

  put(kind: string, key: string, value: unknown): void {
    this.#append([kind, key, value]);
  }

  delete(kind: string, key: string): void {
    if (this.#live.has(`${kind} ${key}`)) this.#append([kind, key, null]);
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  #append(line: Line): void {
    try {
      writeSync(this.#fd, `${JSON.stringify(line)}\n`);
      this.#apply(line);
      this.#lines++;
      if (this.#lines > 2 * this.#live.size + SLACK_LINES) this.#rewrite();
    } catch (error) {
      throw stateFolderError('what Docker has on this host', error);
    }
  }

  #apply(line: Line): void {
    const id = `${line[0]} ${line[1]}`;
    if (line[2] === null) this.#live.delete(id);
    else this.#live.set(id, line);
  }

  #rewrite(): void {
    this.close();
    replaceFile(this.#path, [...this.#live.values()].map((line) => `${JSON.stringify(line)}\n`).join(''));
    this.#lines = this.#live.size;
    this.#fd = openSync(this.#path, 'a', 0o600);
  }
}

function linesOf(path: string): Line[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return text.split('\n').flatMap((line) => {
    try {
      const read: unknown = JSON.parse(line);
      return isLine(read) ? [read] : [];
    } catch {
      return [];
    }
  });
}

function isLine(read: unknown): read is Line {
  return (
    Array.isArray(read) && read.length === 3 && typeof read[0] === 'string' && typeof read[1] === 'string'
  );
}
