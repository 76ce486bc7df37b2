/**
 * An interface in another network namespace, looked at without entering it: rtnetlink(7), RTM_GETLINK with
 * IFLA_TARGET_NETNSID, for which CAP_NET_ADMIN is enough.
 *
 * A namespace has its id from the moment in which an interface of ours was moved there; else one is given, and it goes
 * with the namespace. Nothing can be changed in this way: with the same attribute RTM_SETLINK and RTM_NEWLINK look for
 * the interface in the namespace of the socket, and would move it.
 */
import * as libc from './libc.ts';
import {
  AF_NETLINK,
  IFINFOMSG_SIZE,
  NETLINK_ROUTE,
  NLMSG_HEADER_SIZE,
  NLM_F_ACK,
  RTM_NEWLINK,
  netlinkMessages,
  netlinkRequest,
  u32Attribute,
} from './rtnetlink.ts';

const RTM_GETLINK = 18;
const RTM_NEWNSID = 88;
const RTM_GETNSID = 90;
const RTGENMSG_SIZE = 4; // one byte, padded
const NETNSA_NSID = 1;
const NETNSA_FD = 3;
const NOT_ASSIGNED = 0xffff_ffff;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_TARGET_NETNSID = 46;
const ANSWER_BYTES = 32 * 1024;

export interface ForeignLink {
  /** There. */
  readonly index: number;
  readonly mtu: number;
}

/** Undefined where the kernel does not tell. `namespace` is a descriptor. */
export function foreignLink(namespace: number, name: string): ForeignLink | undefined {
  const fd = libc.socket(AF_NETLINK, libc.SOCK_RAW | libc.SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return undefined;
  try {
    const id = namespaceId(fd, namespace);
    if (id === undefined) return undefined;
    const named = [attribute(IFLA_TARGET_NETNSID, u32(id)), attribute(IFLA_IFNAME, cString(name))];
    const body = ask(fd, RTM_GETLINK, 0, IFINFOMSG_SIZE, named, RTM_NEWLINK);
    const mtu = body && u32Attribute(body.subarray(IFINFOMSG_SIZE), IFLA_MTU);
    if (body === undefined || mtu === undefined) return undefined;
    return { index: new DataView(body.buffer, body.byteOffset).getInt32(4, true), mtu };
  } finally {
    libc.close(fd);
  }
}

function namespaceId(fd: number, namespace: number): number | undefined {
  const which = attribute(NETNSA_FD, u32(namespace));
  const known = (): number | undefined => {
    const body = ask(fd, RTM_GETNSID, 0, RTGENMSG_SIZE, [which], RTM_NEWNSID);
    const id = body && u32Attribute(body.subarray(RTGENMSG_SIZE), NETNSA_NSID);
    return id === NOT_ASSIGNED ? undefined : id;
  };
  const id = known();
  if (id !== undefined) return id;
  ask(fd, RTM_NEWNSID, NLM_F_ACK, RTGENMSG_SIZE, [which, attribute(NETNSA_NSID, u32(NOT_ASSIGNED))]);
  return known();
}

/** The body of the answer, when it is of the type that is wanted. */
function ask(
  fd: number,
  type: number,
  flags: number,
  headBytes: number,
  attributes: readonly Uint8Array[],
  wanted?: number,
): Uint8Array | undefined {
  const rest = Buffer.concat(attributes);
  const request = new Uint8Array(netlinkRequest(type, flags, headBytes + rest.length).buffer);
  request.set(rest, NLMSG_HEADER_SIZE + headBytes);
  if (libc.write(fd, request, request.length) !== request.length) return undefined;
  const answer = new Uint8Array(ANSWER_BYTES);
  const length = libc.recv(fd, answer, answer.length, 0);
  const [first] = netlinkMessages(answer.subarray(0, Math.max(0, length))).messages;
  return first?.type === wanted ? first?.body : undefined;
}

function attribute(type: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array((4 + value.length + 3) & ~3);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 4 + value.length, true);
  view.setUint16(2, type, true);
  bytes.set(value, 4);
  return bytes;
}

function u32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}
