/** A core with the tables that the microbench needs: one network, one port, one peer, which owns the destination. */
import { constant, loadCore } from '../agent/dataplane/core.ts';
import type { Core } from '../agent/dataplane/core.ts';

const NETWORK = 1;
/** Upper 16 bits of the MACs that fillFdb makes. */
export const FDB_HIGH = 0x0600;
const VNI = 4096;
const PORT = 0;
const PEER = 1;
const LARGEST_PAYLOAD = 65507;
/** 192.0.2.1 as ::ffff:a.b.c.d. */
const PEER_IP = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1] as const;
const OWNER = [2, 0, 0, 0, 0, 2] as const;
const LOCAL = [2, 0, 0, 0, 0, 1] as const;
const OWNER_IP = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 42, 0, 2] as const;

interface Fields {
  readonly flags?: number;
  readonly a?: number;
  readonly b?: number;
  readonly c?: number;
  readonly mac?: readonly number[];
  readonly ip?: readonly number[];
}

export class Tables {
  readonly core: Core = loadCore();

  constructor() {
    const of = (name: string): number => constant(this.core.constants, name);
    this.core.exports.tick(1000);
    this.command('NETWORK_PUT', { a: NETWORK, b: VNI, flags: of('NETWORK_SUPPRESS') });
    this.command('PORT_PUT', { a: PORT, b: NETWORK, c: 64, flags: of('PORT_OFFLOAD') | of('PORT_USO') });
    this.command('PEER_PUT', { a: PEER, b: 4789, c: LARGEST_PAYLOAD, ip: PEER_IP });
    this.command('FDB_PUT', { a: NETWORK, b: PEER, mac: OWNER });
    this.command('NEIGHBOUR_PUT', { a: NETWORK, mac: OWNER, ip: OWNER_IP });
  }

  command(op: string, fields: Fields): void {
    const { constants, view, bytes, exports } = this.core;
    const head = view.getUint32(constant(constants, 'COMMAND_HEAD'), true);
    const at = constant(constants, 'COMMAND_RING') + (head % constant(constants, 'COMMAND_SLOTS')) * 64;
    bytes.fill(0, at, at + 64);
    view.setUint16(at, constant(constants, `OP_${op}`), true);
    view.setUint16(at + 2, fields.flags ?? 0, true);
    view.setUint32(at + 4, fields.a ?? 0, true);
    view.setUint32(at + 8, fields.b ?? 0, true);
    view.setUint32(at + 12, fields.c ?? 0, true);
    bytes.set(fields.mac ?? [], at + 16);
    bytes.set(fields.ip ?? [], at + 24);
    view.setUint32(constant(constants, 'COMMAND_HEAD'), head + 1, true);
    exports.runCommands(1);
  }

  /** The message that waits, as sendmmsg would take it. */
  firstMessage(): { bytes: Uint8Array; segment: number } {
    const { constants, exports, view, bytes } = this.core;
    for (let table = 0; table < constant(constants, 'TX_SOCKETS'); table++) {
      if (exports.txCount(table) === 0) continue;
      const header = exports.txTable(table);
      const iov = Number(view.getBigUint64(header + 16, true));
      const control = Number(view.getBigUint64(header + 32, true));
      const data = Number(view.getBigUint64(iov, true));
      const length = Number(view.getBigUint64(iov + 8, true));
      return { bytes: bytes.slice(data, data + length), segment: view.getUint16(control + 16, true) };
    }
    throw new Error('the core sent nothing');
  }

  /** Makes the peer's run of datagrams the received message `index`, and its destination a local one. */
  receive(index: number, data: Uint8Array, segment: number): void {
    const { constants, view, bytes } = this.core;
    if (index === 0) {
      this.command('FDB_PUT', { a: NETWORK, b: PORT, mac: OWNER, flags: constant(constants, 'FDB_LOCAL') });
      this.command('FDB_PUT', { a: NETWORK, b: PEER, mac: LOCAL });
    }
    const header = constant(constants, 'RX_TABLE') + index * 64;
    const name = constant(constants, 'RX_NAME_BASE') + index * constant(constants, 'RX_NAME_SIZE');
    const control = constant(constants, 'RX_CONTROL_BASE') + index * constant(constants, 'RX_CONTROL_SIZE');
    bytes.set([2, 0, 0, 0, ...PEER_IP.slice(12)], name);
    view.setUint32(header + 8, 16, true);
    bytes.set(data, constant(constants, 'RX_DATA_BASE') + index * constant(constants, 'RX_DATA_SIZE'));
    view.setUint32(header + 56, data.length, true);
    view.setUint32(header + 40, 24, true);
    view.setBigUint64(control, 20n, true);
    view.setUint32(control + 8, 17, true);
    view.setUint32(control + 12, 104, true);
    view.setUint32(control + 16, segment, true);
  }
}

/** Fills the table up to `entries` and returns the lower 32 bits of MACs that are there, in an order that no cache guesses. */
export function fillFdb(core: Core, entries: number, lookups: number): Uint32Array {
  const { constants, view, bytes, exports } = core;
  const ring = constant(constants, 'COMMAND_RING');
  const slots = constant(constants, 'COMMAND_SLOTS');
  const headAt = constant(constants, 'COMMAND_HEAD');
  const op = constant(constants, 'OP_FDB_PUT');
  // A Weyl sequence through an odd multiplier: distinct MACs, far apart.
  const low = (i: number): number => Math.imul(i + 1, 0x9e3779b1) >>> 0;
  for (let i = exports.fdbCount(); i < entries; i++) {
    const head = view.getUint32(headAt, true);
    const at = ring + (head % slots) * 64;
    bytes.fill(0, at, at + 64);
    view.setUint16(at, op, true);
    view.setUint32(at + 4, NETWORK, true);
    view.setUint32(at + 8, PEER, true);
    view.setUint16(at + 16, FDB_HIGH);
    view.setUint32(at + 18, low(i));
    view.setUint32(headAt, head + 1, true);
    exports.runCommands(1);
  }
  if (exports.fdbCount() !== entries) throw new Error('the forwarding table did not take all entries');
  const first = 1;
  const present = entries - first;
  const pick = (i: number): number => first + ((Math.imul(i, 0x85ebca6b) >>> 0) % present);
  return Uint32Array.from({ length: lookups }, (_, i) => low(pick(i)));
}
