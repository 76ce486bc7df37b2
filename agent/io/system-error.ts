/** A failed system call as an error that a person can act on: what, why (the kernel's word), and the cure. */
import { readFileSync } from 'node:fs';
import { OverlaydError } from '../errors.ts';
import { EACCES, EMFILE, ENFILE, EPERM, errno, errnoName } from './libc.ts';

const EXIT_FAILED = 1;
const EXIT_NOT_PERMITTED = 4;

/** Bits of the capability sets in /proc/self/status; capabilities(7). */
const CAPABILITIES = { CAP_NET_BIND_SERVICE: 10, CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21 } as const;
export type Capability = keyof typeof CAPABILITIES;

/** Whatever it was that wanted one more descriptor. */
const DESCRIPTORS_HINT = 'Raise the limit of open files: systemd LimitNOFILE=, ulimit -Hn.';

/** Wraps the error number of the call that just failed. Give `number` when another call came in between. */
export function systemError(code: string, what: string, hint?: string, number = errno()): OverlaydError {
  const name = errnoName(number);
  const cure = number === EMFILE || number === ENFILE ? DESCRIPTORS_HINT : hint;
  return new OverlaydError(code, `${what}: ${name}`, {
    ...(cure === undefined ? {} : { hint: cure }),
    details: { errno: name },
    exitCode: number === EPERM || number === EACCES ? EXIT_NOT_PERMITTED : EXIT_FAILED,
  });
}

/** The error for a call that the kernel refused for want of `capability`. */
export function missingCapability(capability: Capability, what: string): OverlaydError {
  return new OverlaydError('OVL_CAPABILITY', `${what}: this process lacks ${capability}`, {
    hint: `Run as root or grant it: systemd AmbientCapabilities=${capability}, docker run --cap-add ${capability.slice('CAP_'.length)}.`,
    details: { capability },
    exitCode: EXIT_NOT_PERMITTED,
  });
}

/** Whether the capability is in this process's effective set. Unknown counts as held: the call itself will tell. */
export function holdsCapability(capability: Capability): boolean {
  try {
    const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    return mask === undefined || ((BigInt(`0x${mask}`) >> BigInt(CAPABILITIES[capability])) & 1n) === 1n;
  } catch {
    return true;
  }
}
