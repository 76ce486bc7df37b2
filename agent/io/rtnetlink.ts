/**
 * One rtnetlink request: the largest number of segments that the stack may put into a super-frame for an interface. And
 * what is needed to write others, and to read messages.
 * rtnetlink(7), IFLA_GSO_MAX_SEGS (if_link.h).
 */
import { errnoName, recv, write, close, socket, SOCK_CLOEXEC, SOCK_RAW } from './libc.ts';

export const AF_NETLINK = 16;
export const NETLINK_ROUTE = 0;
export const RTM_NEWLINK = 16;
const NLM_F_REQUEST = 1;
export const NLM_F_ACK = 4;
export const NLMSG_ERROR = 2;
export const NLMSG_HEADER_SIZE = 16;
export const IFINFOMSG_SIZE = 16;
const ATTRIBUTE_HEADER_SIZE = 4;
const ATTRIBUTE_SIZE = 8; // length, type, one u32
export const IFLA_GSO_MAX_SEGS = 40;
const ACK_SIZE = 256;

/** Sets it for interface `index`; returns undefined, or the kernel's error name (old kernels cannot). */
export function setGsoMaxSegs(index: number, segments: number): string | undefined {
  const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return 'no netlink socket';
  try {
    const request = newLinkRequest(index, IFLA_GSO_MAX_SEGS, segments);
    if (write(fd, request, request.length) !== request.length) return 'netlink write failed';
    const answer = new Uint8Array(ACK_SIZE);
    const length = recv(fd, answer, answer.length, 0);
    return acknowledgement(answer.subarray(0, Math.max(0, length)));
  } finally {
    close(fd);
  }
}

/** One message of a buffer that netlink filled. */
export interface NetlinkMessage {
  readonly type: number;
  /** What is behind its header. */
  readonly body: Uint8Array;
}

/** The messages in a buffer, up to the first that is cut short or lies about its length; then it is not whole. */
export function netlinkMessages(bytes: Uint8Array): { messages: NetlinkMessage[]; isWhole: boolean } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at + NLMSG_HEADER_SIZE <= bytes.length;) {
    const length = view.getUint32(at, true);
    if (length < NLMSG_HEADER_SIZE || at + length > bytes.length) return { messages, isWhole: false };
    messages.push({
      type: view.getUint16(at + 4, true),
      body: bytes.subarray(at + NLMSG_HEADER_SIZE, at + length),
    });
    at += (length + 3) & ~3;
  }
  return { messages, isWhole: true };
}

/** A request with its header written; what is behind that stays zero. */
export function netlinkRequest(type: number, flags: number, bodyBytes: number): DataView {
  const length = NLMSG_HEADER_SIZE + bodyBytes;
  const view = new DataView(new ArrayBuffer(length));
  view.setUint32(0, length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, NLM_F_REQUEST | flags, true);
  view.setUint32(8, 1, true); // sequence
  return view;
}

/** RTM_NEWLINK for an existing interface with one u32 attribute. */
export function newLinkRequest(index: number, attribute: number, value: number): Uint8Array {
  const view = netlinkRequest(RTM_NEWLINK, NLM_F_ACK, IFINFOMSG_SIZE + ATTRIBUTE_SIZE);
  view.setInt32(NLMSG_HEADER_SIZE + 4, index, true); // ifi_index; family, flags and change mask stay zero
  const at = NLMSG_HEADER_SIZE + IFINFOMSG_SIZE;
  view.setUint16(at, ATTRIBUTE_SIZE, true);
  view.setUint16(at + 2, attribute, true);
  view.setUint32(at + 4, value, true);
  return new Uint8Array(view.buffer);
}

/** Value of the u32 attribute `type` in a row of attributes; undefined when it is not there or not four bytes long. */
export function u32Attribute(attributes: Uint8Array, type: number): number | undefined {
  const value = bytesAttribute(attributes, type);
  if (value?.length !== 4) return undefined;
  return new DataView(value.buffer, value.byteOffset, value.byteLength).getUint32(0, true);
}

/** Value of the attribute `type` in a row of attributes; undefined when it is not there. */
export function bytesAttribute(attributes: Uint8Array, type: number): Uint8Array | undefined {
  const view = new DataView(attributes.buffer, attributes.byteOffset, attributes.byteLength);
  for (let at = 0; at + ATTRIBUTE_HEADER_SIZE <= attributes.length;) {
    const length = view.getUint16(at, true);
    if (length < ATTRIBUTE_HEADER_SIZE || at + length > attributes.length) return undefined;
    if (view.getUint16(at + 2, true) === type) {
      return attributes.subarray(at + ATTRIBUTE_HEADER_SIZE, at + length);
    }
    at += (length + 3) & ~3;
  }
  return undefined;
}

/** undefined when the message is an ACK (an NLMSG_ERROR whose error is 0), else the error's name. */
export function acknowledgement(message: Uint8Array): string | undefined {
  if (message.length < NLMSG_HEADER_SIZE + 4) return 'short netlink answer';
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  if (view.getUint16(4, true) !== NLMSG_ERROR) return 'unexpected netlink answer';
  const error = view.getInt32(NLMSG_HEADER_SIZE, true);
  return error === 0 ? undefined : errnoName(-error);
}
