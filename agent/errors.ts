/** Errors that a person sees: what went wrong, why, and what to do about it. */

export interface OverlaydErrorOptions {
  /** The cure, one sentence in the imperative. */
  readonly hint?: string;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
  /** Exit code of the process when this error ends it (contract: 1 failed, 2 usage, 3 unreachable, 4 not permitted, 5 not found). */
  readonly exitCode?: number;
}

/** Thrown at the edge of an operation, logged once, rendered by the CLI as message, hint and code. */
export class OverlaydError extends Error {
  /** Stable, for programs: `OVL_CONFIG_INVALID`, `OVL_PORT_TAKEN`, … */
  readonly code: string;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;
  readonly exitCode: number;

  constructor(code: string, message: string, options: OverlaydErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'OverlaydError';
    this.code = code;
    this.hint = options.hint;
    this.details = options.details ?? {};
    this.exitCode = options.exitCode ?? 1;
  }
}
