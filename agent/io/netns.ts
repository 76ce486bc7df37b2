/**
 * Work in another network namespace: setns(2), network_namespaces(7).
 *
 * CLONE_NEWNET moves the calling thread alone. What runs here is synchronous, so no other work of this thread can fall
 * into the wrong namespace, and no thread is made that would inherit it; workers and Node's own threads stay where they
 * are. A child that opens descriptors and passes them on would cost a process for each and gain nothing.
 */
import { readlinkSync } from 'node:fs';
import { OverlaydError } from '../errors.ts';
import * as libc from './libc.ts';
import { holdsCapability, missingCapability, systemError } from './system-error.ts';

const OWN = '/proc/thread-self/ns/net';

/**
 * Runs `use` in the namespace that `path` names, and comes back. Throws OverlaydError when it cannot be entered; ends
 * the process when there is no way back, for everything after that would happen in a container.
 */
export function inNamespace<T>(path: string, use: () => T): T {
  const there = openNamespace(path);
  try {
    return inNamespaceOf(there, path, use);
  } finally {
    libc.close(there);
  }
}

/** The same for a namespace that is open already. In our own it just runs. `path` is what errors call it. */
export function inNamespaceOf<T>(there: number, path: string, use: () => T): T {
  if (isOwnNamespace(there)) return use();
  const home = readlinkSync(OWN);
  const back = openNamespace(OWN);
  try {
    if (libc.setns(there, libc.CLONE_NEWNET) < 0) throw enterError(path);
    try {
      return use();
    } finally {
      if (libc.setns(back, libc.CLONE_NEWNET) < 0 || readlinkSync(OWN) !== home) stranded(path);
    }
  } finally {
    libc.close(back);
  }
}

/** The descriptor is of the namespace that this thread is in. */
export function isOwnNamespace(namespace: number): boolean {
  return readlinkSync(`/proc/thread-self/fd/${namespace}`) === readlinkSync(OWN);
}

function openNamespace(path: string): number {
  const fd = libc.open(path, libc.O_RDONLY | libc.O_CLOEXEC);
  if (fd >= 0) return fd;
  throw systemError(
    'OVL_NETNS',
    `cannot open the network namespace ${path}`,
    'It ends with its container; start the container again.',
  );
}

/** A namespace is there, and we may not enter it: a capability lacks, or a filter of system calls forbids it. */
export function isOutOfReach(error: unknown): boolean {
  return (
    error instanceof OverlaydError && (error.code === 'OVL_CAPABILITY' || error.code === 'OVL_NETNS_DENIED')
  );
}

function enterError(path: string): Error {
  const number = libc.errno();
  if (number === libc.EPERM && !holdsCapability('CAP_SYS_ADMIN')) {
    return missingCapability('CAP_SYS_ADMIN', `cannot enter the network namespace ${path}`);
  }
  const code = number === libc.EPERM ? 'OVL_NETNS_DENIED' : 'OVL_NETNS';
  return systemError(code, `cannot enter the network namespace ${path}`, undefined, number);
}

function stranded(path: string): never {
  process.stderr.write(`overlayd: cannot leave the network namespace ${path}; ending, to be started anew\n`);
  process.abort();
}
