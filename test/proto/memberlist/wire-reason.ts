import { WireError } from '../../../proto/memberlist/wire-error.ts';

/** The reason of the WireError that `run` throws; undefined when it throws none. Any other error passes through. */
export function wireReason(run: () => unknown): string | undefined {
  try {
    run();
  } catch (error) {
    if (error instanceof WireError) return error.reason;
    throw error;
  }
  return undefined;
}
