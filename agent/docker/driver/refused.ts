/** What the user asked of Docker that cannot be had. */
import { OverlaydError } from '../../errors.ts';

export function refused(code: string, message: string, hint: string | undefined): OverlaydError {
  return new OverlaydError(code, message, { exitCode: 2, ...(hint !== undefined && { hint }) });
}
