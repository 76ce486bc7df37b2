import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { OverlaydError } from '../errors.ts';

/**
 * A file that the operator writes and that decides who is trusted: an entry a line; empty lines and lines that begin with # are
 * passed over. What is looked at is what is read, by one descriptor.
 */
export interface OperatorFileRules {
  /** Errors are OVL_code_UNREADABLE, _PERMISSIONS and _INVALID. */
  readonly code: string;
  /** In "cannot read …". */
  readonly what: string;
  readonly maxBytes: number;
  /** Mode bits that nobody but the owner may have. */
  readonly forbidden: number;
  readonly unreadableHint: (errno: string | undefined) => string;
  /** What is wrong with such a mode, behind the path, and the cure. */
  readonly exposed: (mode: number) => { readonly message: string; readonly hint: string };
  /** Cures where it is no file, and where it is too large. */
  readonly noFileHint: string;
  readonly tooLargeHint: string;
}

export interface OperatorLine {
  readonly text: string;
  /** File and line, for errors. */
  readonly where: string;
}

export class OperatorFile {
  readonly #path: string;
  readonly #rules: OperatorFileRules;

  constructor(path: string, rules: OperatorFileRules) {
    this.#path = path;
    this.#rules = rules;
  }

  /** Throws OverlaydError, which quotes nothing of the file. */
  lines(): OperatorLine[] {
    return this.#read()
      .split('\n')
      .map((line, index) => ({ text: line.trim(), where: `${this.#path}:${index + 1}` }))
      .filter(({ text }) => text !== '' && !text.startsWith('#'));
  }

  #read(): string {
    const { maxBytes, forbidden, noFileHint, tooLargeHint } = this.#rules;
    const fd = this.#open();
    try {
      const stat = fstatSync(fd);
      if (!stat.isFile()) throw this.#invalid('this is no file', noFileHint);
      if ((stat.mode & forbidden) !== 0) throw this.#exposed(stat.mode & 0o777);
      if (stat.size > maxBytes) throw this.#invalid(`${stat.size} bytes are too many`, tooLargeHint);
      return readFileSync(fd, 'utf8');
    } finally {
      closeSync(fd);
    }
  }

  #open(): number {
    const { code, what, unreadableHint } = this.#rules;
    try {
      return openSync(this.#path, 'r');
    } catch (cause) {
      const { code: errno, message } = cause as NodeJS.ErrnoException;
      throw new OverlaydError(`OVL_${code}_UNREADABLE`, `cannot read ${what}: ${message}`, {
        hint: unreadableHint(errno),
        exitCode: errno === 'EACCES' ? 4 : 2,
        cause,
      });
    }
  }

  #exposed(mode: number): OverlaydError {
    const { code, exposed } = this.#rules;
    const { message, hint } = exposed(mode);
    return new OverlaydError(`OVL_${code}_PERMISSIONS`, `${this.#path} ${message}`, { hint, exitCode: 2 });
  }

  #invalid(message: string, hint: string): OverlaydError {
    const options = { hint, exitCode: 2 } as const;
    return new OverlaydError(`OVL_${this.#rules.code}_INVALID`, `${this.#path}: ${message}`, options);
  }
}
