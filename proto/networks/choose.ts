/**
 * VNI and subnet for who gave none. The search begins where the name points to: two hosts that make the same network in
 * a split come to the same answer, and it is one network afterwards.
 */
import { encodeText } from '../state/bytes.ts';
import { Hash64 } from '../state/hash.ts';
import { VNI_MAX } from '../state/values/interest.ts';
import { parsePrefix } from './cidr.ts';

/** Lower ones are what people type. */
const VNI_FIRST = 4097;
const VNI_COUNT = VNI_MAX - VNI_FIRST + 1;
/** The pool: each /20 of 10.43.0.0 to 10.127.255.255. 10.42.0.0/16 is that of the default network. */
const POOL_FIRST = (10 << 24) | (43 << 16);
const POOL_PREFIX = 20;
const SUBNET_SIZE = 2 ** (32 - POOL_PREFIX);
export const POOL_COUNT = ((128 - 43) * 65_536) / SUBNET_SIZE;

/** undefined when all are taken. */
export function chooseVni(name: string, isTaken: (vni: number) => boolean): number | undefined {
  const start = start32(name, 'vni') % VNI_COUNT;
  for (let step = 0; step < VNI_COUNT; step++) {
    const vni = VNI_FIRST + ((start + step) % VNI_COUNT);
    if (!isTaken(vni)) return vni;
  }
  return undefined;
}

/** A subnet of the pool that overlaps none of `busy`; undefined when there is none. */
export function chooseSubnet(name: string, busy: Iterable<string>): string | undefined {
  const isTaken = new Uint8Array(POOL_COUNT);
  for (const subnet of busy) {
    const { first, last } = poolRange(subnet);
    if (first <= last) isTaken.fill(1, first, last + 1);
  }
  const start = start32(name, 'subnet') % POOL_COUNT;
  for (let step = 0; step < POOL_COUNT; step++) {
    const index = (start + step) % POOL_COUNT;
    if (isTaken[index] === 0) return poolSubnet(index);
  }
  return undefined;
}

/** The subnets of the pool that another one touches; none when the last is before the first. */
function poolRange(subnet: string): { first: number; last: number } {
  const prefix = parsePrefix(subnet);
  if (prefix?.bytes.length !== 4) return { first: 0, last: -1 };
  const size = 2 ** (32 - prefix.length);
  const address = prefix.bytes.reduce((value, byte) => value * 256 + byte, 0);
  const start = address - (address % size) - POOL_FIRST;
  const first = Math.max(0, Math.floor(start / SUBNET_SIZE));
  return { first, last: Math.min(POOL_COUNT - 1, Math.floor((start + size - 1) / SUBNET_SIZE)) };
}

function poolSubnet(index: number): string {
  const address = POOL_FIRST + index * SUBNET_SIZE;
  return `${address >>> 24}.${(address >> 16) & 255}.${(address >> 8) & 255}.0/${POOL_PREFIX}`;
}

function start32(name: string, what: string): number {
  return Number(new Hash64().bytes(encodeText(what)).bytes(encodeText(name)).finish() & 0xffff_ffffn);
}
