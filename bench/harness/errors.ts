/** What ends a bench, or takes one peer out of it, said for people. */

export class BenchError extends Error {
  /** The cure, one sentence. */
  readonly hint: string | undefined;

  constructor(message: string, options: { readonly hint?: string; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'BenchError';
    this.hint = options.hint;
  }
}

/** The peer's program is not here and can't be had: noted in the result, the other peers are measured. */
export class PeerUnavailable extends BenchError {
  override readonly name = 'PeerUnavailable';
}

/** One line without paths of this machine: messages end in published results. */
export function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const line = message.trim().split('\n', 1)[0] ?? '';
  return line.replaceAll(/(?<![\w/])\/(?:[\w.+@-]+\/)+/g, '');
}
