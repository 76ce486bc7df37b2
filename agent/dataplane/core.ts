/**
 * Loads the packet core: its shared memory, typed exports, constants and the names of its counters and reasons.
 *
 * No I/O of packets and no FFI here: the process address of the memory is asked of the caller, and 0 will do wherever
 * no kernel reads the memory (tests, benches, the dgram path). Several threads may load over one memory; one of them
 * initialises and runs it, the others (`attach`) only read.
 */
import { readFileSync } from 'node:fs';
import { OverlaydError } from '../errors.ts';
import type { CoreConstants, CoreExports } from './core-exports.ts';

/** 64 KiB pages, as in asconfig.json: shared memories must match in initial and maximum. */
const MEMORY_PAGES = 2560;

export interface CoreOptions {
  /** The debug build keeps its assertions. */
  readonly build?: 'release' | 'debug';
  /** A memory made earlier; a new one otherwise. */
  readonly memory?: WebAssembly.Memory;
  /** Only read: another instance runs this memory. */
  readonly attach?: boolean;
  /** Process address of the memory's first byte, for the pointers that the kernel follows. */
  readonly addressOf?: (memory: WebAssembly.Memory) => number;
  /** Secret of the hash functions. */
  readonly seed?: number;
}

export interface Core {
  readonly exports: CoreExports;
  readonly memory: WebAssembly.Memory;
  /** Every exported constant by name. */
  readonly constants: CoreConstants;
  /** Reason and counter names as shown to people (`unknown-vni`, `from-tap`), by index. */
  readonly reasons: readonly (string | undefined)[];
  readonly counters: readonly (string | undefined)[];
  /** Op-code and event names, by number. */
  readonly ops: readonly (string | undefined)[];
  readonly events: readonly (string | undefined)[];
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/** Exports that share a prefix with a family of names but are layout. */
const LAYOUT_NAMES = new Set([
  'COUNTER_BASE',
  'EVENT_HEAD',
  'EVENT_RING',
  'EVENT_SIZE',
  'EVENT_SLOTS',
  'EVENT_TAIL',
]);

/** The compiled core, to be handed to worker threads or instantiated here. */
export function compileCore(build: 'release' | 'debug' = 'release'): WebAssembly.Module {
  const file = build === 'release' ? 'core.wasm' : 'core.debug.wasm';
  return new WebAssembly.Module(readFileSync(new URL(`../../core-wasm/${file}`, import.meta.url)));
}

export function createCoreMemory(): WebAssembly.Memory {
  return new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_PAGES, shared: true });
}

/** Instantiates the core. Throws OVL_INTERNAL when the module and this file disagree about the memory. */
export function loadCore(options: CoreOptions = {}): Core {
  const memory = options.memory ?? createCoreMemory();
  const instance = new WebAssembly.Instance(compileCore(options.build), { env: { memory } });
  const exports = instance.exports as unknown as CoreExports;
  const constants = constantsOf(instance.exports);
  if (constant(constants, 'LAYOUT_END') > memory.buffer.byteLength) {
    throw new OverlaydError('OVL_INTERNAL', 'the packet core does not fit its memory');
  }
  if (!options.attach) exports.init(options.addressOf?.(memory) ?? 0, options.seed ?? 0);
  return {
    exports,
    memory,
    constants,
    reasons: family(constants, 'REASON_'),
    counters: family(constants, 'COUNTER_'),
    ops: family(constants, 'OP_'),
    events: family(constants, 'EVENT_'),
    bytes: new Uint8Array(memory.buffer),
    view: new DataView(memory.buffer),
  };
}

/** A constant that must be there: a missing one is a core older than its host. */
export function constant(constants: CoreConstants, name: string): number {
  const value = constants[name];
  if (value === undefined) throw new OverlaydError('OVL_INTERNAL', `the packet core exports no ${name}`);
  return value;
}

/** The u64 at a multiple of 8, as a number: exact below 2^53. */
export function readU64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
}

/** All counters by name. */
export function readCounters(core: Core): Record<string, number> {
  return readBlock(core, core.counters, constant(core.constants, 'COUNTER_BASE'));
}

/** All drop counts by reason, zeros included. */
export function readDrops(core: Core): Record<string, number> {
  const drops = readBlock(core, core.reasons, constant(core.constants, 'DROP_BASE'));
  delete drops['none'];
  return drops;
}

function readBlock(core: Core, names: readonly (string | undefined)[], base: number): Record<string, number> {
  const block: Record<string, number> = {};
  names.forEach((name, index) => {
    if (name !== undefined) block[name] = readU64(core.view, base + index * 8);
  });
  return block;
}

function constantsOf(exports: WebAssembly.Exports): CoreConstants {
  const constants: Record<string, number> = {};
  for (const [name, value] of Object.entries(exports)) {
    if (value instanceof WebAssembly.Global) constants[name] = Number(value.value) >>> 0;
  }
  return constants;
}

function family(constants: CoreConstants, prefix: string): (string | undefined)[] {
  const names: (string | undefined)[] = [];
  for (const [name, value] of Object.entries(constants)) {
    if (!name.startsWith(prefix) || LAYOUT_NAMES.has(name)) continue;
    names[value] = name.slice(prefix.length).toLowerCase().replaceAll('_', '-');
  }
  return names;
}
