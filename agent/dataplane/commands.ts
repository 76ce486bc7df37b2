/**
 * Table changes as 64-byte records in the core's command ring (layout: core-exports.ts).
 *
 * The main thread is the only producer. A full ring never blocks it: what does not fit waits here and is written when
 * the worker has taken some. Order is kept always.
 */
import { constant } from './core.ts';
import type { Core } from './core.ts';
import type { CoreConstants } from './core-exports.ts';
import type { PortBinding, TableChange, TapSpec } from './dataplane.ts';
import { writeMac } from '../io/mac.ts';
import { ipBytes } from '../io/sockaddr.ts';

/** One record, before it has a sequence number. Absent fields are zero. */
export interface Command {
  readonly op: number;
  readonly flags?: number;
  readonly a?: number;
  readonly b?: number;
  readonly c?: number;
  readonly d?: number;
  /** 48 bits. */
  readonly mac?: number;
  /** Textual. */
  readonly ip?: string;
  /** 16 bytes in place of an IP. */
  readonly raw?: Uint8Array;
}

/** Spells table changes in the op-codes and flags of a loaded core. */
export class CommandEncoder {
  readonly #constants: CoreConstants;

  constructor(constants: CoreConstants) {
    this.#constants = constants;
  }

  change(change: TableChange): Command {
    const code = (name: string): number => constant(this.#constants, name);
    switch (change.op) {
      case 'network-put': {
        const flags =
          (change.suppress ? code('NETWORK_SUPPRESS') : 0) | (change.sealed ? code('NETWORK_SEALED') : 0);
        return { op: code('OP_NETWORK_PUT'), flags, a: change.network, b: change.vni };
      }
      case 'network-del':
        return { op: code('OP_NETWORK_DEL'), a: change.network };
      case 'peer-put': {
        const flags = change.learn ? code('PEER_LEARN') : 0;
        const { peer, addr, port, maxPayload } = change;
        return { op: code('OP_PEER_PUT'), flags, a: peer, b: port, c: maxPayload, ip: addr };
      }
      case 'peer-del':
        return { op: code('OP_PEER_DEL'), a: change.peer };
      case 'flood-put':
        return { op: code('OP_FLOOD_PUT'), a: change.network, b: change.peer };
      case 'flood-del':
        return { op: code('OP_FLOOD_DEL'), a: change.network, b: change.peer };
      case 'fdb-put': {
        const flags = change.pinned ? code('FDB_STATIC') : 0;
        return { op: code('OP_FDB_PUT'), flags, a: change.network, b: change.peer, mac: change.mac };
      }
      case 'fdb-del':
        return { op: code('OP_FDB_DEL'), a: change.network, mac: change.mac };
      default: {
        const op = code(change.op === 'neighbour-put' ? 'OP_NEIGHBOUR_PUT' : 'OP_NEIGHBOUR_DEL');
        return { op, a: change.network, ip: change.ip, mac: change.mac };
      }
    }
  }

  port(spec: TapSpec, offload: boolean, udpOffload: boolean): Command {
    const flags =
      (spec.reflect ? constant(this.#constants, 'PORT_REFLECT') : 0) |
      (offload ? constant(this.#constants, 'PORT_OFFLOAD') : 0) |
      (udpOffload ? constant(this.#constants, 'PORT_USO') : 0);
    return {
      op: constant(this.#constants, 'OP_PORT_PUT'),
      flags,
      a: spec.port,
      b: spec.network,
      c: spec.macQuota,
    };
  }

  /** To be sent before the port's own row, so that no frame is let through unbound. */
  binding(port: number, binding: PortBinding | undefined): Command[] {
    const code = (name: string): number => constant(this.#constants, name);
    if (binding === undefined) return [{ op: code('OP_BINDING_DEL'), a: port }];
    const { mac, ips } = binding;
    return [
      ...ips.map((ip, place): Command => ({ op: code('OP_BINDING_IP'), a: port, b: place, ip })),
      { op: code('OP_BINDING_PUT'), a: port, b: ips.length, mac },
    ];
  }

  portGone(port: number): Command {
    return { op: constant(this.#constants, 'OP_PORT_DEL'), a: port };
  }

  /** A MAC that another worker learnt behind a port. */
  localMac(network: number, mac: number, port: number): Command {
    const flags = constant(this.#constants, 'FDB_LOCAL');
    return { op: constant(this.#constants, 'OP_FDB_PUT'), flags, a: network, b: port, mac };
  }

  localMacGone(network: number, mac: number): Command {
    const flags = constant(this.#constants, 'FDB_LOCAL');
    return { op: constant(this.#constants, 'OP_FDB_DEL'), flags, a: network, mac };
  }
}

const RECORD = { op: 0, flags: 2, a: 4, b: 8, c: 12, mac: 16, ip: 24, d: 40, sequence: 44 } as const;
const RETRY_MS = 1;

/** What a ring needs of a core. */
export type RingCore = Pick<Core, 'constants'> & { readonly memory: Pick<Core['memory'], 'buffer'> };

/** The producer's end of one worker's command ring. */
export class CommandRing {
  readonly #view: DataView;
  readonly #words: Int32Array;
  readonly #base: number;
  readonly #slots: number;
  readonly #size: number;
  readonly #head: number;
  readonly #tail: number;
  readonly #wake: () => void;
  #backlog: Command[] = [];
  #sequence = 0;
  #timer: NodeJS.Timeout | undefined;

  /** `wake` is called after records were written. */
  constructor({ memory, constants }: RingCore, wake: () => void) {
    this.#view = new DataView(memory.buffer);
    this.#words = new Int32Array(memory.buffer);
    this.#base = constant(constants, 'COMMAND_RING');
    this.#slots = constant(constants, 'COMMAND_SLOTS');
    this.#size = constant(constants, 'COMMAND_SIZE');
    this.#head = constant(constants, 'COMMAND_HEAD') >>> 2;
    this.#tail = constant(constants, 'COMMAND_TAIL') >>> 2;
    this.#wake = wake;
  }

  /** Records that wait for room in the ring. */
  get waiting(): number {
    return this.#backlog.length;
  }

  /** Sequence number of the last command that was pushed. */
  get last(): number {
    return (this.#sequence + this.#backlog.length) >>> 0;
  }

  /** The worker has applied, or refused, the command of this number. */
  hasTaken(sequence: number): boolean {
    // Numbers begin with 1, so the tail is that of the last record taken.
    return ((Atomics.load(this.#words, this.#tail) - sequence) | 0) >= 0;
  }

  push(commands: readonly Command[]): void {
    if (commands.length === 0) return;
    this.#backlog = this.#backlog.length === 0 ? [...commands] : this.#backlog.concat(commands);
    this.#pump();
  }

  /** Forgets what waits and stops the timer. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#backlog = [];
  }

  #pump(): void {
    const head = Atomics.load(this.#words, this.#head) >>> 0;
    const tail = Atomics.load(this.#words, this.#tail) >>> 0;
    const room = this.#slots - ((head - tail) >>> 0);
    const count = Math.min(room, this.#backlog.length);
    for (let i = 0; i < count; i++) this.#write((head + i) >>> 0, this.#backlog[i] as Command);
    if (count > 0) {
      Atomics.store(this.#words, this.#head, (head + count) | 0);
      this.#backlog = this.#backlog.slice(count);
      this.#wake();
    }
    if (this.#backlog.length === 0 || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#pump();
    }, RETRY_MS);
  }

  #write(counter: number, command: Command): void {
    const at = this.#base + (counter & (this.#slots - 1)) * this.#size;
    const view = this.#view;
    for (let offset = 0; offset < this.#size; offset += 4) view.setUint32(at + offset, 0, true);
    view.setUint16(at + RECORD.op, command.op, true);
    view.setUint16(at + RECORD.flags, command.flags ?? 0, true);
    view.setUint32(at + RECORD.a, command.a ?? 0, true);
    view.setUint32(at + RECORD.b, command.b ?? 0, true);
    view.setUint32(at + RECORD.c, command.c ?? 0, true);
    if (command.mac !== undefined) writeMac(view, at + RECORD.mac, command.mac);
    if (command.ip !== undefined || command.raw !== undefined) {
      const bytes = command.raw ?? ipBytes(command.ip ?? '');
      for (let i = 0; i < bytes.length; i++) view.setUint8(at + RECORD.ip + i, bytes[i] as number);
    }
    view.setUint32(at + RECORD.d, command.d ?? 0, true);
    view.setUint32(at + RECORD.sequence, (this.#sequence = (this.#sequence + 1) >>> 0), true);
  }
}
