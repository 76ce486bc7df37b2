/** Errors over HTTP: RFC 9457 problem details, with our stable code and the cure. */
import { z } from 'zod';
import { OverlaydError } from '../errors.ts';

export const PROBLEM_TYPE = 'application/problem+json';

export const problemSchema = z.object({
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  /** Stable, for programs: `OVL_NOT_FOUND`, … */
  code: z.string(),
  hint: z.string().optional(),
});
export type Problem = z.infer<typeof problemSchema>;

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad request',
  403: 'Not permitted',
  404: 'Not found',
  409: 'Conflict',
  500: 'Failed',
};

/** Exit codes of the contract and the HTTP status that carries them; everything else is 500 and 1. */
const STATUS_OF_EXIT: Readonly<Record<number, number>> = { 2: 400, 4: 403, 5: 404 };

/** Refused for what there is, not failed. */
const CONFLICTS = new Set([
  'OVL_ENDPOINT_EXISTS',
  'OVL_JOIN_ALL',
  'OVL_NETWORK_ATTACHED',
  'OVL_NETWORK_EXISTS',
  'OVL_NETWORK_IN_USE',
  'OVL_NETWORK_CONFIGURED',
  'OVL_NETWORK_LIMIT',
  'OVL_NETWORK_NOT_ATTACHED',
  'OVL_NETWORK_POOL_EMPTY',
  'OVL_VNI_TAKEN',
]);

export function problemOf(error: unknown): Problem {
  if (error instanceof OverlaydError) {
    const status = CONFLICTS.has(error.code) ? 409 : (STATUS_OF_EXIT[error.exitCode] ?? 500);
    const { message: detail, code, hint } = error;
    return { title: titleOf(status), status, detail, code, ...(hint !== undefined && { hint }) };
  }
  // Fastify's own refusals (body too large, bad JSON) carry the status; what else is thrown is a fault of ours.
  const { statusCode = 500, message } = error as { statusCode?: number; message?: string };
  const status = statusCode >= 400 && statusCode < 500 ? statusCode : 500;
  const detail = status === 500 ? 'the daemon failed to answer; its log says more' : String(message);
  return {
    title: titleOf(status),
    status,
    detail,
    code: status === 500 ? 'OVL_INTERNAL' : 'OVL_BAD_REQUEST',
  };
}

export function errorOf(problem: Problem): OverlaydError {
  const exit = Object.entries(STATUS_OF_EXIT).find(([, status]) => status === problem.status)?.[0];
  return new OverlaydError(problem.code, problem.detail, {
    exitCode: Number(exit ?? 1),
    ...(problem.hint !== undefined && { hint: problem.hint }),
  });
}

function titleOf(status: number): string {
  return TITLES[status] ?? (status < 500 ? 'Bad request' : 'Failed');
}
