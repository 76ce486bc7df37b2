/**
 * What `overlayd doctor` finds: one thing that is wrong, or worth knowing, and its cure.
 *
 * error: traffic does not pass, or nothing works; warn: it will come to that, or holds for a part; info: good to know.
 * Nothing secret goes into a finding: keys are named by file or fingerprint.
 */
import { z } from 'zod';
import { OverlaydError } from '../errors.ts';

export const findingSchema = z.object({
  /** Which check found it: `rights`, `data-port`, `docker-t1`, … */
  check: z.string(),
  severity: z.enum(['error', 'warn', 'info']),
  what: z.string(),
  cure: z.string().optional(),
});
export type Finding = z.infer<typeof findingSchema>;

export const degraded = (findings: readonly Finding[]): boolean =>
  findings.some(({ severity }) => severity !== 'info');

/** By check, then by text: the same order every time. */
export function sorted(findings: readonly Finding[]): Finding[] {
  const key = ({ check, what }: Finding): string => `${check}\0${what}`;
  return [...findings].sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
}

/** An error of ours says the same three things. */
export function findingOf(check: string, error: unknown): Finding {
  const what = error instanceof Error ? error.message : String(error);
  const cure = error instanceof OverlaydError ? error.hint : undefined;
  return { check, severity: 'error', what, ...(cure !== undefined && { cure }) };
}
