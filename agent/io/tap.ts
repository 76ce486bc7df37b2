/**
 * The TAP: the Ethernet interface that containers hang on (macvlan parent, checklist T5 and T6), or the one that a
 * container has for itself.
 *
 * Kernel: Documentation/networking/tuntap.rst, include/uapi/linux/if_tun.h, virtio_net_hdr (virtio 1.2 §5.1.6).
 * Invariants: persistent, so that a daemon's death takes no container's interface away; every read and write carries a
 * 12-byte virtio_net_hdr; descriptors are non-blocking; nothing is left behind when opening fails half-way.
 * It neither reads nor writes frames: the loops do.
 */
import { close } from 'node:fs';
import { promisify } from 'node:util';
import { OverlaydError } from '../errors.ts';
import { describeHolders, tapHolders } from './holders.ts';
import {
  interfaceIndex,
  interfaceMtu,
  interfaceOfMac,
  isInterfaceName,
  setInterfaceMtu,
  setInterfaceUp,
  setQueueLength,
} from './ifreq.ts';
import * as libc from './libc.ts';
import { inNamespace, inNamespaceOf } from './netns.ts';
import { setGsoMaxSegs } from './rtnetlink.ts';
import { holdsCapability, missingCapability, systemError } from './system-error.ts';
import * as tun from './tun.ts';

const closeFd = promisify(close);

const ETHERNET_HEADER_SIZE = 14;
const VXLAN_HEADER_SIZE = 8;
const UDP_PAYLOAD_MAX = 65_507;
/** GSO_MAX_SEGS of the kernel: no limit. */
const GSO_MAX_SEGS = 65_535;
/** The default of 1,000 small frames is 5 ms of them: one pause of the scheduler, and some are lost. */
const QUEUE_FRAMES = 8_192;
/** One container's share: the kernel keeps 8 bytes for each, and a host may have thousands. */
export const ENDPOINT_QUEUE_FRAMES = 2_048;

export interface TapRequest {
  readonly name: string;
  readonly mtu: number;
  /** Descriptors to open; more than one makes a multi-queue TAP. */
  readonly queues: number;
  /** Take super-frames and unfinished checksums. Off: the kernel hands over finished frames of at most MTU + 14. */
  readonly offload: boolean;
  readonly persist: boolean;
  /** Given: the interface of one container. It is brought up there; up on this host, the host itself would speak from it. */
  readonly endpoint?: EndpointTap;
}

export interface EndpointTap {
  /** 48 bits. */
  readonly mac?: number;
  /**
   * Segments of the super-frames that its owner may send: here on the TAP itself, because the container's own stack
   * sends through it and sizes them by it. A TAP with children is another matter: tap-children.ts.
   */
  readonly gsoMaxSegs: number;
  /** Path of the namespace that it has been moved to. It must be there; by its MAC if that is given, for movers rename. */
  readonly netns?: string;
}

export interface Tap {
  readonly name: string;
  readonly index: number;
  readonly mtu: number;
  /** One per queue. */
  readonly fds: readonly number[];
  readonly offload: boolean;
  readonly udpOffload: boolean;
  readonly existed: boolean;
  /** What a person should know about how it was opened; for the log. */
  readonly notes: readonly string[];
}

/** Opens the TAP, or attaches to the one left by an earlier run, and brings it up. Throws OverlaydError. */
export function openTap(request: TapRequest): Tap {
  if (!isInterfaceName(request.name)) {
    throw new OverlaydError('OVL_TAP_NAME', `"${request.name}" is no interface name`, {
      hint: 'Choose at most 15 characters without blanks, "/" and ":".',
      exitCode: 2,
    });
  }
  const netns = request.endpoint?.netns;
  if (netns === undefined) return open(request);
  return inNamespace(netns, () => open({ ...request, name: nameThere(request, netns) }));
}

function nameThere({ name, endpoint }: TapRequest, netns: string): string {
  const byMac = endpoint?.mac === undefined ? undefined : interfaceOfMac(endpoint.mac);
  if (byMac !== undefined) return byMac;
  if (interfaceIndex(name) !== undefined) return name;
  throw new OverlaydError('OVL_TAP_GONE', `TAP ${name} is not in the network namespace ${netns}`, {
    hint: 'Start the container again, or disconnect and connect it.',
    details: { tap: name, netns },
  });
}

function open(request: TapRequest): Tap {
  const existed = interfaceIndex(request.name) !== undefined;
  const fds: number[] = [];
  try {
    for (let queue = 0; queue < request.queues; queue++) fds.push(attachQueue(request, existed));
    return configure(request, existed, fds);
  } catch (error) {
    closeQueues(fds, !existed);
    throw error;
  }
}

/**
 * Closes every queue, on threads of Node's: with the last one the kernel takes the interface down, which takes 20 ms on
 * a busy machine. A persistent TAP stays with its children unless `remove`.
 */
export async function closeTap({ fds }: Tap, remove: boolean): Promise<void> {
  if (remove && fds[0] !== undefined) tun.setPersistent(fds[0], false);
  await Promise.all(fds.map((fd) => closeFd(fd)));
}

/**
 * Sets its MTU, wherever it has been moved and whatever it is called there. In another namespace that takes CAP_SYS_ADMIN:
 * rtnetlink reads interfaces of a namespace by its id (IFLA_TARGET_NETNSID), but looks for what it is to change in its own
 * alone, and a tun descriptor has no call for it. Throws OverlaydError.
 */
export function setTapMtu({ name, fds }: Pick<Tap, 'name' | 'fds'>, mtu: number): void {
  const fd = fds[0] as number;
  const there = tun.attachedTo(fd);
  if (there === undefined) throw systemError('OVL_LINK', `cannot find TAP ${name}`);
  const namespace = tun.namespaceOf(fd);
  // Where that cannot be told it is taken to be here.
  if (namespace === undefined) {
    setInterfaceMtu(there.name, mtu);
    return;
  }
  try {
    inNamespaceOf(namespace, `of TAP ${name}`, () => setInterfaceMtu(there.name, mtu));
  } finally {
    libc.close(namespace);
  }
}

/** Segments of a super-frame that still fit one UDP_SEGMENT send when every segment becomes a datagram; `seal`: bytes around it. */
export function gsoMaxSegments(mtu: number, seal = 0): number {
  return Math.max(1, Math.floor(UDP_PAYLOAD_MAX / (mtu + ETHERNET_HEADER_SIZE + VXLAN_HEADER_SIZE + seal)));
}

/** At once; a new TAP goes with them. */
export function closeQueues(fds: readonly number[], remove: boolean): void {
  if (remove && fds[0] !== undefined) tun.setPersistent(fds[0], false);
  for (const fd of fds) libc.close(fd);
}

function attachQueue(request: TapRequest, existed: boolean): number {
  const fd = openTunDevice();
  if (tun.attach(fd, request.name, tun.tapMode(request.queues))) return fd;
  const number = libc.errno();
  try {
    throw attachError(request, existed, number, fd);
  } finally {
    libc.close(fd);
  }
}

function openTunDevice(): number {
  const fd = libc.open(tun.TUN_DEVICE, libc.O_RDWR | libc.O_NONBLOCK | libc.O_CLOEXEC);
  if (fd >= 0) return fd;
  const number = libc.errno();
  if (number === libc.ENOENT || number === libc.ENODEV || number === libc.ENXIO) {
    throw systemError(
      'OVL_TUN_MISSING',
      `cannot open ${tun.TUN_DEVICE}`,
      'Load the driver with "modprobe tun"; in a container add "--device /dev/net/tun".',
      number,
    );
  }
  throw systemError(
    'OVL_TUN_OPEN',
    `cannot open ${tun.TUN_DEVICE}`,
    'Run as root; in a container add "--device /dev/net/tun --cap-add NET_ADMIN".',
    number,
  );
}

function attachError(request: TapRequest, existed: boolean, number: number, fd: number): OverlaydError {
  const { name, queues } = request;
  if (number === libc.EBUSY) {
    const holder = describeHolders(tapHolders(name));
    return new OverlaydError(
      'OVL_TAP_BUSY',
      `TAP ${name} is busy: ${holder ?? 'another process'} has it open`,
      {
        hint:
          request.endpoint === undefined
            ? 'Stop that process, or give this network another TAP (tap=IFNAME).'
            : 'Stop that process. What systemd holds for a unit that was stopped, "systemctl clean --what=fdstore overlayd" lets go.',
        details: { tap: name, ...(holder === undefined ? {} : { holder }) },
      },
    );
  }
  if (number === libc.EPERM && !holdsCapability('CAP_NET_ADMIN')) {
    return missingCapability('CAP_NET_ADMIN', `cannot ${existed ? 'attach to' : 'create'} TAP ${name}`);
  }
  if (number === libc.EINVAL && existed) {
    const other = tun.tapMode(queues > 1 ? 1 : 2);
    // The kernel says EINVAL for both causes; trying the other mode tells them apart (EBUSY: it fits, but is in use).
    const otherMode = tun.attach(fd, name, other) || libc.errno() === libc.EBUSY;
    return new OverlaydError(
      'OVL_TAP_MODE',
      otherMode
        ? `TAP ${name} exists with ${queues > 1 ? 'one queue' : 'several queues'}, but --workers ${queues} needs ${queues > 1 ? 'several' : 'one'}`
        : `interface ${name} exists and is no TAP`,
      {
        hint: otherMode
          ? `Go back to the former --workers, or "ip link delete ${name}" and restart the containers on it.`
          : 'Give this network another TAP (tap=IFNAME).',
        details: { tap: name },
      },
    );
  }
  return systemError(
    'OVL_TAP_ATTACH',
    `cannot ${existed ? 'attach to' : 'create'} TAP ${name}`,
    undefined,
    number,
  );
}

function configure(request: TapRequest, existed: boolean, fds: readonly number[]): Tap {
  const { name, mtu } = request;
  const notes: string[] = [];
  const accepted = prepareQueues(request, name, fds, notes);

  const previousMtu = interfaceMtu(name);
  if (previousMtu !== mtu) {
    setInterfaceMtu(name, mtu);
    if (existed) notes.push(`${name}: MTU changed from ${previousMtu} to ${mtu}`);
  }
  const index = interfaceIndex(name);
  if (index === undefined)
    throw new OverlaydError('OVL_TAP_ATTACH', `TAP ${name} vanished while it was opened`);
  // On a TAP with children a lower limit, left by somebody else, would cut their super-frames: see tap-children.ts.
  const gsoError = setGsoMaxSegs(index, request.endpoint?.gsoMaxSegs ?? GSO_MAX_SEGS);
  if (gsoError !== undefined) notes.push(`${name}: gso_max_segs not set (${gsoError})`);
  setQueueLength(name, request.endpoint === undefined ? QUEUE_FRAMES : ENDPOINT_QUEUE_FRAMES);
  if (request.endpoint === undefined) setInterfaceUp(name);
  else if (request.endpoint.mac !== undefined) tun.setMac(fds[0] as number, name, request.endpoint.mac);

  // Last, so that a failure above takes a new TAP away again.
  if (request.persist && !tun.setPersistent(fds[0] as number, true)) {
    throw systemError('OVL_TAP_ATTACH', `cannot make ${name} persistent`);
  }
  return { name, index, mtu, fds, ...accepted, existed, notes };
}

/** What every queue of ours has, whoever opened it. */
export function prepareQueues(
  { offload: wanted }: Pick<TapRequest, 'offload'>,
  name: string,
  fds: readonly number[],
  notes: string[],
): Pick<Tap, 'offload' | 'udpOffload'> {
  let accepted = { offload: false, udpOffload: false };
  for (const fd of fds) {
    tun.setVnetHeader(fd, name);
    accepted = tun.setOffload(fd, wanted);
  }
  if (wanted && !accepted.offload) notes.push(`${name}: the kernel refuses segmentation offload; slower`);
  return accepted;
}
