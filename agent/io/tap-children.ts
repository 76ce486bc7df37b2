/**
 * Watches for interfaces that are made on top of a TAP (macvlan children: containers) and limits their super-frames to
 * what fits one UDP_SEGMENT send.
 *
 * Why here and not on the TAP: a child does not take over `gso_max_segs` (Linux ≥ 5.19 passes on only what a driver
 * sets), and a TAP whose limit is lower than the child's makes the kernel cut each super-frame into single frames before
 * we read it (measured: a tenth of the speed). So the TAP takes everything and the child sends less at once. Docker
 * moves the child into the container milliseconds after it made it; if it is gone before we get to it, its larger
 * super-frames cost a second send each, nothing more. rtnetlink(7), RTMGRP_LINK.
 */
import * as libc from './libc.ts';
import {
  AF_NETLINK,
  IFINFOMSG_SIZE,
  IFLA_GSO_MAX_SEGS,
  NETLINK_ROUTE,
  RTM_NEWLINK,
  netlinkMessages,
  setGsoMaxSegs,
  u32Attribute,
} from './rtnetlink.ts';

const RTMGRP_LINK = 1;
const SOCKADDR_NL_SIZE = 12;
const IFLA_LINK = 5;
const IFI_INDEX = 4;
const BUFFER_SIZE = 64 * 1024;
/** Messages taken at a stretch; the rest waits for the next turn of the event loop. */
const MESSAGES_PER_TURN = 64;

/** A new or changed interface that stands on another one. */
export interface Child {
  readonly index: number;
  readonly parent: number;
  readonly gsoMaxSegs: number | undefined;
}

/** `limits`: segments by interface index of the TAP. Returns what ends the watch; does nothing where there is no netlink. */
export function limitTapChildren(limits: ReadonlyMap<number, number>): () => void {
  const fd = libc.socket(AF_NETLINK, libc.SOCK_RAW | libc.SOCK_CLOEXEC | libc.SOCK_NONBLOCK, NETLINK_ROUTE);
  if (fd < 0) return () => undefined;
  const address = new DataView(new ArrayBuffer(SOCKADDR_NL_SIZE));
  address.setUint16(0, AF_NETLINK, true);
  address.setUint32(8, RTMGRP_LINK, true);
  if (libc.bind(fd, new Uint8Array(address.buffer), SOCKADDR_NL_SIZE) < 0) {
    libc.close(fd);
    return () => undefined;
  }
  const buffer = new Uint8Array(BUFFER_SIZE);
  const stopWatching = libc.watchReadable(fd, () => {
    for (let i = 0; i < MESSAGES_PER_TURN; i++) {
      const length = libc.recv(fd, buffer, buffer.length, libc.MSG_DONTWAIT);
      // ENOBUFS, too: messages were lost, so a child keeps its own limit.
      if (length <= 0) return;
      for (const child of childrenIn(buffer.subarray(0, length))) limit(child, limits);
    }
  });
  return () => {
    stopWatching();
    libc.close(fd);
  };
}

function limit(child: Child, limits: ReadonlyMap<number, number>): void {
  const segments = limits.get(child.parent);
  if (segments === undefined || (child.gsoMaxSegs ?? Infinity) <= segments) return;
  // An error means that it has moved away already.
  setGsoMaxSegs(child.index, segments);
}

/** The stacked interfaces that a buffer of netlink messages tells of; a message cut short ends the walk. */
export function childrenIn(bytes: Uint8Array): Child[] {
  const found: Child[] = [];
  for (const { type, body } of netlinkMessages(bytes).messages) {
    if (type !== RTM_NEWLINK || body.length < IFINFOMSG_SIZE) continue;
    const attributes = body.subarray(IFINFOMSG_SIZE);
    const parent = u32Attribute(attributes, IFLA_LINK);
    if (parent === undefined) continue;
    const index = new DataView(body.buffer, body.byteOffset).getInt32(IFI_INDEX, true);
    found.push({ index, parent, gsoMaxSegs: u32Attribute(attributes, IFLA_GSO_MAX_SEGS) });
  }
  return found;
}
