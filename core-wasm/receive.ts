/**
 * The receive table: struct mmsghdr[RX_VLEN] prepared for recvmmsg, each with a data buffer, a sockaddr and room for
 * control messages.
 *
 * The kernel overwrites the lengths of name and control on every receive, so each message is armed again after use.
 */
import {
  RX_CONTROL_BASE,
  RX_CONTROL_SIZE,
  RX_DATA_BASE,
  RX_DATA_SIZE,
  RX_IOV_BASE,
  RX_NAME_BASE,
  RX_NAME_SIZE,
  RX_TABLE,
  RX_VLEN,
  STATE_ADDRESS,
} from './layout';

const SOL_UDP: u32 = 17;
const UDP_GRO: u32 = 104;
const CMSG_HEADER: u32 = 16;
const MSG_TRUNC: u32 = 0x20;

/** sizeof struct sockaddr_in6. */
const NAME_ROOM: u32 = 28;

function headerAt(message: u32): usize {
  return RX_TABLE + (message << 6);
}

export function messageData(message: u32): usize {
  return RX_DATA_BASE + message * RX_DATA_SIZE;
}

export function messageName(message: u32): usize {
  return RX_NAME_BASE + message * RX_NAME_SIZE;
}

export function messageNameLength(message: u32): u32 {
  return load<u32>(headerAt(message), 8);
}

/** Bytes received, of which the buffer may hold fewer. */
export function messageLength(message: u32): u32 {
  return load<u32>(headerAt(message), 56);
}

export function messageTruncated(message: u32): bool {
  return (load<u32>(headerAt(message), 48) & MSG_TRUNC) != 0 || messageLength(message) > RX_DATA_SIZE;
}

/** Size of the datagrams that UDP_GRO merged into this message; 0 when it is a single one. */
export function messageSegment(message: u32): u32 {
  const control: usize = RX_CONTROL_BASE + message * RX_CONTROL_SIZE;
  const there = load<u64>(headerAt(message), 40);
  const end: u32 = there < RX_CONTROL_SIZE ? (there as u32) : RX_CONTROL_SIZE;
  let at: u32 = 0;
  while (at + CMSG_HEADER + 4 <= end) {
    const length = load<u64>(control + at);
    if (length < CMSG_HEADER || length > ((end - at) as u64)) return 0;
    if (load<u32>(control + at, 8) == SOL_UDP && load<u32>(control + at, 12) == UDP_GRO) {
      const size = load<i32>(control + at, 16);
      return size > 0 ? size : 0;
    }
    at += ((length as u32) + 7) & ~7;
  }
  return 0;
}

/** Bytes of each datagram in this message but the last, which may be shorter. */
export function datagramSize(message: u32): u32 {
  const length = messageLength(message);
  const segment = messageSegment(message);
  return segment == 0 || segment > length ? length : segment;
}

/** Makes a message ready for the next recvmmsg. */
export function arm(message: u32): void {
  const base = load<u64>(STATE_ADDRESS);
  const header = headerAt(message);
  const iov: usize = RX_IOV_BASE + (message << 4);
  store<u64>(iov, base + (messageData(message) as u64));
  store<u64>(iov, RX_DATA_SIZE, 8);
  store<u64>(header, base + (messageName(message) as u64));
  store<u64>(header, NAME_ROOM, 8);
  store<u64>(header, base + (iov as u64), 16);
  store<u64>(header, 1, 24);
  store<u64>(header, base + ((RX_CONTROL_BASE + message * RX_CONTROL_SIZE) as u64), 32);
  store<u64>(header, RX_CONTROL_SIZE, 40);
  store<u64>(header, 0, 48);
  store<u64>(header, 0, 56);
}

export function armAll(): void {
  for (let message: u32 = 0; message < RX_VLEN; message++) arm(message);
}
