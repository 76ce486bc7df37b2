/**
 * One packet core on a bench: commands as function calls, TAP reads and datagrams as byte arrays, and what it wrote as
 * values. Base address 0, so pointers are offsets. `check` holds the core to its accounting identity.
 */
import { constant, loadCore, readCounters, readDrops } from '../../agent/dataplane/core.ts';
import type { Core } from '../../agent/dataplane/core.ts';
import { concat, ip, read16, read32, u16, u32 } from './bytes.ts';

export interface Datagram {
  readonly peerAddress: Uint8Array;
  readonly table: number;
  readonly bytes: Uint8Array;
}

export interface Message {
  readonly name: Uint8Array;
  readonly table: number;
  readonly index: number;
  /** UDP_SEGMENT, when the message asks for it. */
  readonly segment: number | undefined;
  readonly bytes: Uint8Array;
}

export interface Written {
  readonly port: number;
  readonly frames: number;
  readonly vnet: Uint8Array;
  readonly frame: Uint8Array;
}

export interface CoreEvent {
  readonly type: string;
  readonly network: number;
  readonly port: number;
  readonly c: number;
  readonly d: number;
  readonly mac: Uint8Array;
  readonly ip: Uint8Array;
}

interface Command {
  readonly flags?: number;
  readonly a?: number;
  readonly b?: number;
  readonly c?: number;
  readonly mac?: Uint8Array;
  readonly ip?: Uint8Array;
  readonly d?: number;
  readonly sequence?: number;
}

export class Harness {
  readonly core: Core;
  #nowMs = 1_000_000;
  #slot = 0;
  readonly #written: Written[] = [];

  constructor(build: 'release' | 'debug' = 'release', memory?: WebAssembly.Memory) {
    this.core = loadCore({ build, seed: 0.7310585786300049, ...(memory ? { memory } : {}) });
    this.core.exports.tick(this.#nowMs);
  }

  constant(name: string): number {
    return constant(this.core.constants, name);
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Lets time pass, in ticks short enough that ageing keeps up. */
  pass(milliseconds: number, step = 250): void {
    const end = this.#nowMs + milliseconds;
    while (this.#nowMs < end) {
      this.#nowMs = Math.min(end, this.#nowMs + step);
      this.core.exports.tick(this.#nowMs);
    }
  }

  /** Queues a command without running it. */
  queue(op: string, command: Command = {}): void {
    const { view, bytes } = this.core;
    const head = view.getUint32(this.constant('COMMAND_HEAD'), true);
    const at =
      this.constant('COMMAND_RING') + (head % this.constant('COMMAND_SLOTS')) * this.constant('COMMAND_SIZE');
    bytes.fill(0, at, at + 64);
    view.setUint16(at, this.constant(`OP_${op}`), true);
    view.setUint16(at + 2, command.flags ?? 0, true);
    view.setUint32(at + 4, command.a ?? 0, true);
    view.setUint32(at + 8, command.b ?? 0, true);
    view.setUint32(at + 12, command.c ?? 0, true);
    if (command.mac) bytes.set(command.mac, at + 16);
    if (command.ip) bytes.set(command.ip, at + 24);
    view.setUint32(at + 40, command.d ?? 0, true);
    view.setUint32(at + 44, command.sequence ?? 0, true);
    view.setUint32(this.constant('COMMAND_HEAD'), head + 1, true);
  }

  /** Runs one command; false when the core refused it. */
  command(op: string, command: Command = {}): boolean {
    const failed = this.counter('commands-failed');
    this.queue(op, command);
    this.core.exports.runCommands(1);
    return this.counter('commands-failed') === failed;
  }

  network(network: number, vni: number, suppress = true): boolean {
    return this.command('NETWORK_PUT', {
      a: network,
      b: vni,
      flags: suppress ? this.constant('NETWORK_SUPPRESS') : 0,
    });
  }

  /** A port with all offloads unless `flags` says otherwise. */
  port(port: number, network: number, flags = this.flags('PORT_OFFLOAD', 'PORT_USO'), quota = 100): boolean {
    return this.command('PORT_PUT', { a: port, b: network, c: quota, flags });
  }

  flags(...names: readonly string[]): number {
    return names.reduce((all, name) => all | this.constant(name), 0);
  }

  /** A network whose frames go, and are taken, sealed only. */
  sealedNetwork(network: number, vni: number): boolean {
    return this.command('NETWORK_PUT', { a: network, b: vni, flags: this.constant('NETWORK_SEALED') });
  }

  /** A session with a peer; `handle` is what the cipher knows its keys by. */
  session(session: number, localIndex: number, remoteIndex: number, peer: number, handle: number): boolean {
    const handles = new Uint8Array(new Float64Array([handle, handle]).buffer);
    return this.command('SESSION_PUT', { a: session, b: localIndex, c: remoteIndex, d: peer, ip: handles });
  }

  peer(peer: number, address: string, maxPayload = 1472, flags = 0): boolean {
    return this.command('PEER_PUT', { a: peer, b: 4789, c: maxPayload, ip: ip(address), flags });
  }

  flood(network: number, peer: number): boolean {
    return this.command('FLOOD_PUT', { a: network, b: peer });
  }

  fdb(network: number, address: Uint8Array, destination: number, flags = 0): boolean {
    return this.command('FDB_PUT', { a: network, b: destination, mac: address, flags });
  }

  /** The FDB row of a MAC. */
  destination(network: number, address: Uint8Array): { destination: number; flags: number } | undefined {
    const entry = this.core.exports.fdbFind(network, read16(address, 0), read32(address, 2)) >>> 0;
    if (entry === 0) return undefined;
    const { view } = this.core;
    return { destination: view.getUint16(entry + 8, true), flags: view.getUint16(entry + 10, true) };
  }

  /** One TAP read: virtio header and frame. Returns what fromTap said. */
  tap(port: number, header: Uint8Array, frame: Uint8Array): number {
    const slot =
      this.constant('TAP_SLOT_BASE') +
      (this.#slot++ % this.constant('TAP_SLOTS')) * this.constant('TAP_SLOT_SIZE');
    this.core.bytes.set(header, slot);
    this.core.bytes.set(frame, slot + header.length);
    return this.core.exports.fromTap(port, slot, header.length + frame.length);
  }

  /** Puts a received message into place `index`: `segment` is what UDP_GRO would say. */
  receive(index: number, from: string, data: Uint8Array, segment?: number): void {
    const { view, bytes } = this.core;
    const header = this.constant('RX_TABLE') + index * 64;
    const address = ip(from);
    const name = this.constant('RX_NAME_BASE') + index * this.constant('RX_NAME_SIZE');
    if (from.includes('.')) {
      bytes.set(concat(Uint8Array.of(2, 0), u16(50000), address.subarray(12), new Uint8Array(8)), name);
      view.setUint32(header + 8, 16, true);
    } else {
      bytes.set(concat(Uint8Array.of(10, 0), u16(50000), u32(0), address, u32(0)), name);
      view.setUint32(header + 8, 28, true);
    }
    bytes.set(data, this.constant('RX_DATA_BASE') + index * this.constant('RX_DATA_SIZE'));
    view.setUint32(header + 56, data.length, true);
    const control = this.constant('RX_CONTROL_BASE') + index * this.constant('RX_CONTROL_SIZE');
    view.setUint32(header + 40, segment === undefined ? 0 : 24, true);
    if (segment === undefined) return;
    view.setBigUint64(control, 20n, true);
    view.setUint32(control + 8, 17, true);
    view.setUint32(control + 12, 104, true);
    view.setUint32(control + 16, segment, true);
  }

  /** One datagram, or a run of them that UDP_GRO merged; `open` does what is to be done before fromTunnel. */
  tunnel(from: string, data: Uint8Array, segment?: number, open?: (messages: number) => void): void {
    this.receive(0, from, data, segment);
    if (open === undefined) this.core.exports.queueSealed(1);
    else open(1);
    this.#written.length = 0;
    while (this.core.exports.fromTunnel(1) !== 0) {
      this.#written.push(...this.#outs());
      this.core.exports.outReset();
    }
  }

  messages(): Message[] {
    const { exports, view, bytes } = this.core;
    const found: Message[] = [];
    for (let table = 0; table < this.constant('TX_SOCKETS'); table++) {
      for (let index = 0; index < exports.txCount(table); index++) {
        const at = exports.txTable(table) + index * 64;
        const pointer = (offset: number): number => Number(view.getBigUint64(offset, true));
        const iov = pointer(at + 16);
        const control = pointer(at + 32);
        const data = pointer(iov);
        found.push({
          table,
          index,
          name: bytes.slice(pointer(at), pointer(at) + view.getUint32(at + 8, true)),
          segment: pointer(at + 40) === 0 ? undefined : view.getUint16(control + 16, true),
          bytes: bytes.slice(data, data + pointer(iov + 8)),
        });
      }
    }
    return found;
  }

  /** What the kernel would put on the wire. */
  datagrams(): Datagram[] {
    return this.messages().flatMap((message) => {
      const size = message.segment ?? message.bytes.length;
      const count = Math.ceil(message.bytes.length / size);
      return Array.from({ length: count }, (_, i) => ({
        peerAddress: message.name,
        table: message.table,
        bytes: message.bytes.slice(i * size, (i + 1) * size),
      }));
    });
  }

  /** What there is to be written to ports; of the last `tunnel` also what was written amid it. */
  outs(): Written[] {
    return [...this.#written, ...this.#outs()];
  }

  #outs(): Written[] {
    const { exports, view, bytes } = this.core;
    return Array.from({ length: exports.outCount() }, (_, i) => {
      const at = this.constant('OUT_TABLE') + i * this.constant('OUT_RECORD_SIZE');
      const iov = view.getUint32(at + 12, true);
      const part = (which: number): Uint8Array => {
        const start = Number(view.getBigUint64(iov + which * 16, true));
        return bytes.slice(start, start + Number(view.getBigUint64(iov + which * 16 + 8, true)));
      };
      return {
        port: view.getUint32(at, true),
        frames: view.getUint32(at + 4, true),
        vnet: part(0),
        frame: part(1),
      };
    });
  }

  reset(): void {
    this.#written.length = 0;
    this.core.exports.txReset();
    this.core.exports.outReset();
  }

  events(): CoreEvent[] {
    const { view, bytes, events } = this.core;
    const found: CoreEvent[] = [];
    let tail = view.getUint32(this.constant('EVENT_TAIL'), true);
    for (; tail !== view.getUint32(this.constant('EVENT_HEAD'), true); tail++) {
      const at =
        this.constant('EVENT_RING') + (tail % this.constant('EVENT_SLOTS')) * this.constant('EVENT_SIZE');
      found.push({
        type: events[view.getUint16(at, true)] ?? '?',
        network: view.getUint32(at + 4, true),
        port: view.getUint32(at + 8, true),
        c: view.getUint32(at + 12, true),
        d: view.getUint32(at + 40, true),
        mac: bytes.slice(at + 16, at + 22),
        ip: bytes.slice(at + 24, at + 40),
      });
    }
    view.setUint32(this.constant('EVENT_TAIL'), tail, true);
    return found;
  }

  counter(name: string): number {
    return readCounters(this.core)[name] ?? Number.NaN;
  }

  drops(name: string): number {
    return readDrops(this.core)[name] ?? Number.NaN;
  }

  /** Frames in, minus frames accounted for: 0, always. */
  imbalance(): number {
    const counters = readCounters(this.core);
    const of = (name: string): number => counters[name] ?? Number.NaN;
    const verdicts = of('sent') + of('delivered') + of('answered') + of('punted');
    const dropped = Object.values(readDrops(this.core)).reduce((sum, count) => sum + count, 0);
    return of('from-tap') + of('from-tunnel') - verdicts - dropped;
  }
}

/** VXLAN header in front of a frame. */
export function vxlan(vni: number, frame: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(8, 0, 0, 0), u32(vni * 256), frame);
}
