/**
 * The unicast MACs that an interface takes for others: those of the macvlan children on it that are up, in whatever network
 * namespace they are (each puts its own into its parent's filter). It is the one sign of a container that has never spoken.
 * rtnetlink(7), RTM_GETNEIGH with AF_BRIDGE, as `bridge fdb show dev` asks.
 */
import * as libc from './libc.ts';
import { readMac } from './mac.ts';
import {
  AF_NETLINK,
  IFINFOMSG_SIZE,
  NETLINK_ROUTE,
  NLMSG_ERROR,
  NLMSG_HEADER_SIZE,
  bytesAttribute,
  netlinkMessages,
  netlinkRequest,
} from './rtnetlink.ts';

const AF_BRIDGE = 7;
const RTM_NEWNEIGH = 28;
const RTM_GETNEIGH = 30;
const NLM_F_DUMP = 0x300;
const NLMSG_DONE = 3;
const NDMSG_SIZE = 12;
const NDM_IFINDEX = 4;
const NDA_LLADDR = 2;
const MAC_SIZE = 6;
const BUFFER_SIZE = 64 * 1024;
/** Far more than an interface has; a kernel that never says "done" must not hold us. */
const READS_MAX = 1_024;

/** undefined where the kernel cannot be asked. */
export function childMacs(interfaceIndex: number): number[] | undefined {
  const fd = libc.socket(AF_NETLINK, libc.SOCK_RAW | libc.SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return undefined;
  try {
    const request = neighboursRequest(interfaceIndex);
    if (libc.write(fd, request, request.length) !== request.length) return undefined;
    const buffer = new Uint8Array(BUFFER_SIZE);
    const found: number[] = [];
    for (let i = 0; i < READS_MAX; i++) {
      const length = libc.recv(fd, buffer, buffer.length, libc.MSG_DONTWAIT);
      if (length <= 0) return undefined;
      const { macs, isLast } = macsIn(buffer.subarray(0, length), interfaceIndex);
      found.push(...macs);
      if (isLast) return found;
    }
    return undefined;
  } finally {
    libc.close(fd);
  }
}

function neighboursRequest(interfaceIndex: number): Uint8Array {
  const view = netlinkRequest(RTM_GETNEIGH, NLM_F_DUMP, IFINFOMSG_SIZE);
  view.setUint8(NLMSG_HEADER_SIZE, AF_BRIDGE);
  view.setInt32(NLMSG_HEADER_SIZE + 4, interfaceIndex, true);
  return new Uint8Array(view.buffer);
}

/** Those of one interface in a buffer of netlink messages; a message cut short ends the walk. */
export function macsIn(bytes: Uint8Array, interfaceIndex: number): { macs: number[]; isLast: boolean } {
  const { messages, isWhole } = netlinkMessages(bytes);
  const macs: number[] = [];
  for (const { type, body } of messages) {
    if (type === NLMSG_DONE || type === NLMSG_ERROR) return { macs, isLast: true };
    if (type !== RTM_NEWNEIGH || body.length < NDMSG_SIZE) continue;
    if (viewOf(body).getInt32(NDM_IFINDEX, true) !== interfaceIndex) continue;
    const mac = bytesAttribute(body.subarray(NDMSG_SIZE), NDA_LLADDR);
    if (mac?.length === MAC_SIZE && (mac[0]! & 1) === 0) macs.push(readMac(viewOf(mac), 0));
  }
  return { macs, isLast: !isWhole };
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}
