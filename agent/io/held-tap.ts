/**
 * A TAP that an earlier run has left open with the service manager (descriptor-store.ts): its descriptors serve again,
 * wherever its interface is by now, and no namespace has to be entered.
 *
 * What had waited to be read while no daemon ran is thrown away: it is as old as the outage, and at this moment the
 * forwarding table is empty, so it would be flooded to every host at once. Without a descriptor held the interface would
 * have had no carrier, and the same frames would have been lost in the container.
 */
import type { DescriptorStore } from './descriptor-store.ts';
import { foreignLink } from './foreign-link.ts';
import { interfaceIndex, interfaceMtu } from './ifreq.ts';
import * as libc from './libc.ts';
import { isOwnNamespace } from './netns.ts';
import { ENDPOINT_QUEUE_FRAMES, closeQueues, openTap, prepareQueues, setTapMtu } from './tap.ts';
import type { Tap, TapRequest } from './tap.ts';
import * as tun from './tun.ts';

/** The start of a frame is enough to have it taken away. */
const SCRAP_BYTES = 64;
/** A container that goes on sending must not hold up the start. */
const SCRAPS_MAX = 2 * ENDPOINT_QUEUE_FRAMES;

/**
 * Opens the interface of a container: by what an earlier run has left of it, else where it is. Its descriptors are stored
 * from now on, if it is to outlive us. Throws OverlaydError.
 */
export function openStoredTap(request: TapRequest, store: DescriptorStore): Tap {
  const held = store.take(request.name);
  let adopted: Tap | undefined;
  try {
    adopted = adoptTap(request, held);
  } finally {
    if (adopted === undefined && held.length > 0) {
      store.drop(request.name);
      closeQueues(held, false);
    }
  }
  if (adopted !== undefined) return adopted;
  const tap = openTap(request);
  if (!request.persist || store.keep(request.name, tap.fds)) return tap;
  const note = `${tap.name}: the service manager could not be given its descriptor to hold over a restart`;
  return { ...tap, notes: [...tap.notes, note] };
}

/** Undefined: these are no TAP of this kind, or its interface is gone. Throws OverlaydError. */
function adoptTap(request: TapRequest, fds: readonly number[]): Tap | undefined {
  const name = sharedName(request, fds);
  if (name === undefined) return undefined;
  const first = fds[0] as number;
  const notes: string[] = [];
  const offloads = prepareQueues(request, name, fds, notes);
  const { endpoint, mtu: wanted } = request;
  if (endpoint?.mac !== undefined) tun.setMac(first, name, endpoint.mac);
  for (const fd of fds) drain(fd);
  const link = linkOf(first, name);
  let mtu = link?.mtu ?? wanted;
  if (mtu !== wanted) {
    try {
      setTapMtu({ name, fds }, wanted);
      notes.push(`${request.name}: MTU changed from ${mtu} to ${wanted}`);
      mtu = wanted;
    } catch (error) {
      const { message } = error as Error;
      notes.push(
        `${request.name}: MTU stays ${mtu} instead of ${wanted} until its container is restarted (${message})`,
      );
    }
  }
  return { name, index: link?.index ?? 0, mtu, fds, ...offloads, existed: true, notes };
}

/** All queues of one TAP, and of the mode that is asked for. */
function sharedName({ queues }: TapRequest, fds: readonly number[]): string | undefined {
  if (fds.length !== queues) return undefined;
  const found = fds.map((fd) => tun.attachedTo(fd));
  const name = found[0]?.name;
  return found.every((each) => each?.name === name && each?.mode === tun.tapMode(queues)) ? name : undefined;
}

function linkOf(fd: number, name: string): { index: number; mtu: number } | undefined {
  const namespace = tun.namespaceOf(fd);
  if (namespace === undefined) return undefined;
  try {
    if (!isOwnNamespace(namespace)) return foreignLink(namespace, name);
    const index = interfaceIndex(name);
    return index === undefined ? undefined : { index, mtu: interfaceMtu(name) };
  } finally {
    libc.close(namespace);
  }
}

function drain(fd: number): void {
  const scrap = new Uint8Array(SCRAP_BYTES);
  for (let frames = 0; frames < SCRAPS_MAX; frames++) {
    if (libc.read(fd, scrap, scrap.length) < 0 && libc.errno() !== libc.EFAULT) return;
  }
}
