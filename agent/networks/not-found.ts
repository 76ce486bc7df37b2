/** A network that nobody knows by that name or id. */
import { OverlaydError } from '../errors.ts';

/** More names are no help. */
const SHOWN_MAX = 32;

export function networkNotFound(nameOrId: string, known: readonly string[]): OverlaydError {
  const names = [...known].sort();
  const more = names.length > SHOWN_MAX ? ', …' : '';
  return new OverlaydError('OVL_NETWORK_NOT_FOUND', `there is no network ${JSON.stringify(nameOrId)}`, {
    hint:
      names.length === 0
        ? 'Make it with "overlayd networks create".'
        : `Networks here: ${names.slice(0, SHOWN_MAX).join(', ')}${more}.`,
    exitCode: 5,
  });
}
