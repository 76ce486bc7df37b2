/**
 * Reads back a struct msghdr that the core prepared for sendmmsg: where to, which bytes, and the UDP_SEGMENT size.
 * For the portable loop only; layouts of 64-bit little-endian Linux.
 */
const MMSGHDR_SIZE = 64;
const MSGHDR = { name: 0, iov: 16, iovLength: 24, control: 32, controlLength: 40 } as const;
const IOVEC = { base: 0, length: 8, size: 16 } as const;
const CMSG = { type: 12, data: 16, minimum: 18 } as const;
const SOCKADDR = { port: 2, ipv4: 4, ipv6: 8 } as const;
const AF_INET = 2;
const UDP_SEGMENT = 103;

export interface OutgoingMessage {
  /** 4 or 16 bytes. */
  readonly ip: Uint8Array;
  readonly port: number;
  /** Copies: the core's memory is reused before an asynchronous send ends. */
  readonly datagrams: readonly Uint8Array[];
}

export class MessageReader {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #base: number;

  /** `base` is the process address of `memory`, subtracted from every pointer. */
  constructor(memory: SharedArrayBuffer | ArrayBuffer, base: number) {
    this.#view = new DataView(memory);
    this.#bytes = new Uint8Array(memory);
    this.#base = base;
  }

  read(table: number, index: number): OutgoingMessage {
    const at = table + index * MMSGHDR_SIZE;
    const name = this.#pointer(at + MSGHDR.name);
    const isIpv4 = this.#view.getUint16(name, true) === AF_INET;
    const ip = name + (isIpv4 ? SOCKADDR.ipv4 : SOCKADDR.ipv6);
    const payload = this.#gather(at);
    return {
      ip: this.#bytes.slice(ip, ip + (isIpv4 ? 4 : 16)),
      port: this.#view.getUint16(name + SOCKADDR.port),
      datagrams: cut(payload, this.#segmentSize(at) ?? payload.length),
    };
  }

  #gather(at: number): Uint8Array {
    const count = this.#view.getUint32(at + MSGHDR.iovLength, true);
    const first = this.#pointer(at + MSGHDR.iov);
    const parts: Uint8Array[] = [];
    for (let i = 0; i < count; i++) {
      const iov = first + i * IOVEC.size;
      const start = this.#pointer(iov + IOVEC.base);
      parts.push(this.#bytes.subarray(start, start + this.#view.getUint32(iov + IOVEC.length, true)));
    }
    return Buffer.concat(parts);
  }

  #segmentSize(at: number): number | undefined {
    if (this.#view.getUint32(at + MSGHDR.controlLength, true) < CMSG.minimum) return undefined;
    const control = this.#pointer(at + MSGHDR.control);
    if (this.#view.getInt32(control + CMSG.type, true) !== UDP_SEGMENT) return undefined;
    return this.#view.getUint16(control + CMSG.data, true);
  }

  #pointer(at: number): number {
    const high = this.#view.getUint32(at + 4, true);
    return high * 0x1_0000_0000 + this.#view.getUint32(at, true) - this.#base;
  }
}

function cut(payload: Uint8Array, size: number): Uint8Array[] {
  const datagrams: Uint8Array[] = [];
  for (let at = 0; at < payload.length; at += size) datagrams.push(payload.subarray(at, at + size));
  return datagrams;
}
