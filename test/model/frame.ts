/** Builds frames from their fields: Ethernet, tags, IPv4, IPv6, TCP, UDP, ARP, neighbour discovery, virtio header. */
import { concat, ip, mac, onesSum, u16, u32, write16 } from './bytes.ts';

export interface FlowSpec {
  readonly to?: string;
  readonly from?: string;
  /** 802.1Q tags, outermost first. */
  readonly tags?: readonly number[];
  readonly version: 4 | 6;
  readonly source?: string;
  readonly destination?: string;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly id?: number;
  readonly doNotFragment?: boolean;
  /**
   * IPv4 options; or IPv6 extension headers, a hop-by-hop one and destination options of at most 2,048 bytes each, whose first
   * two bytes are overwritten. A multiple of eight bytes.
   */
  readonly extra?: Uint8Array;
  readonly payload: Uint8Array;
}

export interface TcpSpec extends FlowSpec {
  readonly sequence?: number;
  readonly acknowledgement?: number;
  readonly flags?: number;
  readonly window?: number;
  /** A multiple of four bytes. */
  readonly options?: Uint8Array;
}

/** What the length field of an IPv6 extension header can say; and its kind. */
const LARGEST_EXTENSION = 2048;
const DESTINATION_OPTIONS = 60;

/** How a checksum is left: done, or as the kernel leaves it for an offload (the pseudo-header's sum only). */
export type Finish = 'finished' | 'partial';

export const MAC_A = '02:00:00:00:00:0a';
export const MAC_B = '02:00:00:00:00:0b';

export interface Built {
  readonly frame: Uint8Array;
  readonly l3: number;
  readonly l4: number;
  readonly headers: number;
}

export function ethernet(to: string, from: string, type: number, payload: Uint8Array): Uint8Array {
  return concat(mac(to), mac(from), u16(type), payload);
}

function link(spec: FlowSpec): Uint8Array {
  const tags = (spec.tags ?? []).map((tag) => concat(u16(0x8100), u16(tag)));
  return concat(
    mac(spec.to ?? MAC_B),
    mac(spec.from ?? MAC_A),
    ...tags,
    u16(spec.version === 4 ? 0x0800 : 0x86dd),
  );
}

function addresses(spec: FlowSpec): Uint8Array {
  const four = spec.version === 4;
  const source = ip(spec.source ?? (four ? '10.42.0.1' : 'fd00::1'));
  const destination = ip(spec.destination ?? (four ? '10.42.0.2' : 'fd00::2'));
  return four ? concat(source.subarray(12), destination.subarray(12)) : concat(source, destination);
}

function pseudo(spec: FlowSpec, protocol: number, length: number): Uint8Array {
  return spec.version === 4
    ? concat(addresses(spec), Uint8Array.of(0, protocol), u16(length))
    : concat(addresses(spec), u32(length), u32(protocol));
}

function network(spec: FlowSpec, protocol: number, length: number): Uint8Array {
  const extra = spec.extra?.slice() ?? new Uint8Array();
  if (spec.version === 6) {
    const next = extra.length === 0 ? protocol : 0;
    for (let at = 0; at < extra.length; at += LARGEST_EXTENSION) {
      const left = extra.length - at;
      const isLast = left <= LARGEST_EXTENSION;
      extra.set([isLast ? protocol : DESTINATION_OPTIONS, Math.min(left, LARGEST_EXTENSION) / 8 - 1], at);
    }
    return concat(
      u32(0x60012345),
      u16(extra.length + length),
      Uint8Array.of(next, 64),
      addresses(spec),
      extra,
    );
  }
  const fragment = (spec.doNotFragment ?? true) ? 0x4000 : 0;
  const header = concat(
    Uint8Array.of(0x45 + extra.length / 4, 0),
    u16(20 + extra.length + length),
    u16(spec.id ?? 0x1234),
    u16(fragment),
    Uint8Array.of(64, protocol, 0, 0),
    addresses(spec),
    extra,
  );
  write16(header, 10, 0xffff - onesSum(header));
  return header;
}

function assemble(
  spec: FlowSpec,
  protocol: number,
  transport: Uint8Array,
  sumAt: number,
  finish: Finish,
): Built {
  const length = transport.length + spec.payload.length;
  const partial = onesSum(pseudo(spec, protocol, length));
  write16(transport, sumAt, partial);
  if (finish === 'finished') {
    const sum = 0xffff - onesSum(transport, spec.payload);
    write16(transport, sumAt, sum === 0 && protocol === 17 ? 0xffff : sum);
  }
  const lower = link(spec);
  const middle = network(spec, protocol, length);
  const frame = concat(lower, middle, transport, spec.payload);
  const l4 = lower.length + middle.length;
  return { frame, l3: lower.length, l4, headers: l4 + transport.length };
}

export const ACK = 0x10;
export const PSH = 0x08;
export const FIN = 0x01;
export const CWR = 0x80;
export const ECE = 0x40;

export function tcp(spec: TcpSpec, finish: Finish = 'finished'): Built {
  const options = spec.options ?? new Uint8Array();
  const header = concat(
    u16(spec.sourcePort ?? 40000),
    u16(spec.destinationPort ?? 5201),
    u32(spec.sequence ?? 0xfffff000),
    u32(spec.acknowledgement ?? 77),
    Uint8Array.of(((20 + options.length) / 4) << 4, spec.flags ?? ACK),
    u16(spec.window ?? 512),
    u16(0),
    u16(0),
    options,
  );
  return assemble(spec, 6, header, 16, finish);
}

export function udp(spec: FlowSpec, finish: Finish = 'finished'): Built {
  const header = concat(
    u16(spec.sourcePort ?? 40000),
    u16(spec.destinationPort ?? 5201),
    u16(8 + spec.payload.length),
    u16(0),
  );
  return assemble(spec, 17, header, 6, finish);
}

export interface Vnet {
  readonly flags?: number;
  readonly gsoType?: number;
  readonly headerLength?: number;
  readonly gsoSize?: number;
  readonly csumStart?: number;
  readonly csumOffset?: number;
}

export const GSO = { none: 0, tcpv4: 1, tcpv6: 4, udp: 5, ecn: 0x80 } as const;

function little(value = 0): Uint8Array {
  return Uint8Array.of(value & 255, (value >>> 8) & 255);
}

/** struct virtio_net_hdr_v1, little-endian. */
export function vnet(fields: Vnet = {}): Uint8Array {
  return concat(
    Uint8Array.of(fields.flags ?? 0, fields.gsoType ?? 0),
    little(fields.headerLength),
    little(fields.gsoSize),
    little(fields.csumStart),
    little(fields.csumOffset),
    little(0),
  );
}

export function readVnet(bytes: Uint8Array): Required<Vnet> {
  const field = (at: number): number => (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
  return {
    flags: bytes[0] ?? 0,
    gsoType: bytes[1] ?? 0,
    headerLength: field(2),
    gsoSize: field(4),
    csumStart: field(6),
    csumOffset: field(8),
  };
}

export interface ArpSpec {
  readonly to?: string;
  readonly from?: string;
  readonly operation?: number;
  readonly senderMac?: string;
  readonly senderIp: string;
  readonly targetMac?: string;
  readonly targetIp: string;
}

export const BROADCAST = 'ff:ff:ff:ff:ff:ff';

export function arp(spec: ArpSpec): Uint8Array {
  const from = spec.from ?? MAC_A;
  const body = concat(
    u16(1),
    u16(0x0800),
    Uint8Array.of(6, 4),
    u16(spec.operation ?? 1),
    mac(spec.senderMac ?? from),
    ip(spec.senderIp).subarray(12),
    mac(spec.targetMac ?? '00:00:00:00:00:00'),
    ip(spec.targetIp).subarray(12),
  );
  return ethernet(spec.to ?? BROADCAST, from, 0x0806, body);
}

export interface NdpSpec {
  readonly to: string;
  readonly from?: string;
  readonly source: string;
  readonly destination: string;
  readonly type: 135 | 136;
  readonly flags?: number;
  readonly target: string;
  /** Link-layer address option; undefined: none. */
  readonly option?: string;
}

export function ndp(spec: NdpSpec): Uint8Array {
  const option =
    spec.option === undefined
      ? new Uint8Array()
      : concat(Uint8Array.of(spec.type === 135 ? 1 : 2, 1), mac(spec.option));
  const icmp = concat(Uint8Array.of(spec.type, 0, 0, 0), u32(spec.flags ?? 0), ip(spec.target), option);
  const ends = concat(ip(spec.source), ip(spec.destination));
  write16(icmp, 2, 0xffff - onesSum(ends, u32(icmp.length), u32(58), icmp));
  const header = concat(u32(0x60000000), u16(icmp.length), Uint8Array.of(58, 255), ends);
  return ethernet(spec.to, spec.from ?? MAC_A, 0x86dd, concat(header, icmp));
}

/** Bytes that differ from their neighbours and from run to run of the pattern. */
export function pattern(length: number, start = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) * 7 + start) & 255);
}
