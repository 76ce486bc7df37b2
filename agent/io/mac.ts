/** A MAC as the wire has it, six bytes, and as tables have it, a number of 48 bits. */

export function readMac(view: DataView, at: number): number {
  return view.getUint16(at) * 0x1_0000_0000 + view.getUint32(at + 2);
}

export function writeMac(view: DataView, at: number, mac: number): void {
  view.setUint16(at, Math.floor(mac / 0x1_0000_0000));
  view.setUint32(at + 2, mac >>> 0);
}
