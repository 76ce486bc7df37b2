/**
 * A table on disk: one JSON line `[kind, key, value]` a change, value null where it is deleted; the last line on a key
 * stands. Appending is one write, so that thousands of endpoints cost what one does; rewritten when most of it is old.
 * What could not be written (a full disk) is not in it, not in part either, and what comes later is.
 *
 * A line cut short by a crash is the last one, and what it was about was not answered yet: it is left out. Written lines
 * survive the death of the daemon; over a power cut Docker itself starts anew.
 */
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { replaceFile, stateFolderError } from '../../control/state-file.ts';

const WHAT = 'what Docker has on this host';
const SLACK_LINES = 256;

type Line = readonly [kind: string, key: string, value: unknown];

/** All of it or an error, and a part of it perhaps; writeSync may write a part, and call that done. */
type Append = (fd: number, text: string) => void;

export class Journal {
  readonly #path: string;
  readonly #write: Append;
  readonly #live = new Map<string, Line>();
  #lines = 0;
  #rewriteAt = 0;
  #sizeBytes = 0;
  #fd = -1;
  #isClosed = false;

  /** Throws OverlaydError when the file cannot be read or written. */
  constructor(path: string, write: Append = writeFileSync) {
    this.#path = path;
    this.#write = write;
    try {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      for (const line of linesOf(path)) this.#apply(line);
      this.#rewrite();
    } catch (error) {
      throw stateFolderError(WHAT, error);
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

  /** What comes later is refused: the next run may have the file. */
  close(): void {
    this.#isClosed = true;
    this.#release();
  }

  #release(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  #append(line: Line): void {
    const text = `${JSON.stringify(line)}\n`;
    try {
      if (this.#isClosed) throw new Error('it is closed');
      // Its file was replaced, and the new one could not be opened then.
      if (this.#fd < 0) this.#fd = openSync(this.#path, 'a', 0o600);
      this.#write(this.#fd, text);
    } catch (error) {
      this.#takeBack();
      throw stateFolderError(WHAT, error);
    }
    this.#apply(line);
    this.#lines++;
    this.#sizeBytes += Buffer.byteLength(text);
    if (this.#lines > this.#rewriteAt) this.#shorten();
  }

  /** The next line must not stand behind a part of this one. */
  #takeBack(): void {
    try {
      if (this.#fd >= 0) ftruncateSync(this.#fd, this.#sizeBytes);
    } catch {
      // Why it could not be written is the better reason to give.
    }
  }

  /** The line that was the occasion is written; it is only long. */
  #shorten(): void {
    try {
      this.#rewrite();
    } catch {
      this.#rewriteAt = this.#lines + SLACK_LINES;
    }
  }

  #apply(line: Line): void {
    const id = `${line[0]} ${line[1]}`;
    if (line[2] === null) this.#live.delete(id);
    else this.#live.set(id, line);
  }

  #rewrite(): void {
    const text = [...this.#live.values()].map((line) => `${JSON.stringify(line)}\n`).join('');
    replaceFile(this.#path, text);
    this.#release();
    this.#lines = this.#live.size;
    this.#rewriteAt = 2 * this.#lines + SLACK_LINES;
    this.#sizeBytes = Buffer.byteLength(text);
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
