/**
 * Microbench of the packet core: nanoseconds per packet of each stage, and of the forwarding table by size.
 *
 *   node build/bench/core.js [--filter TEXT] [--runs N] [--json FILE]
 *
 * Every row is the median of several runs, with the least and the largest beside it; runs of all rows alternate, so
 * that a neighbour on the machine disturbs all alike. What a row includes besides the stage is said in its name: calls
 * across the boundary cost some 10 ns, and "less the call" has them taken off.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname } from 'node:path';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { constant } from '../agent/dataplane/core.ts';
import type { Core } from '../agent/dataplane/core.ts';
import { median } from './harness/statistics.ts';
import { BROADCAST_ARP, SMALL_UDP, partialFrame, superFrame } from './core-frames.ts';
import type { Read } from './core-frames.ts';
import { FDB_HIGH, Tables, fillFdb } from './core-tables.ts';

const SEGMENTS = 44;
const ROUNDS = 400;
const LOOKUPS = 400_000;
/** Look-ups between two looks at the clock. */
const BATCH = 1000;
const FDB_SIZES = [1_000, 100_000, 1_000_000] as const;
const NS_PER_MS = 1e6;

interface Row {
  readonly name: string;
  /** One run: nanoseconds per unit. */
  readonly run: () => number;
}

interface Result {
  readonly name: string;
  readonly unit: 'ns';
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly runs: number;
}

/**
 * Nanoseconds that `work` takes, without what `prepare` takes, per unit: the median of the rounds, each too short to
 * be interrupted often.
 */
function timed(rounds: number, units: number, prepare: () => void, work: () => void): number {
  const spent: number[] = [];
  for (let i = 0; i < rounds; i++) {
    prepare();
    const start = performance.now();
    work();
    spent.push(performance.now() - start);
  }
  return (median(spent) * NS_PER_MS) / units;
}

/** Puts one read into every TAP slot. */
function fillSlots(core: Core, read: Read): void {
  const { constants, bytes } = core;
  for (let slot = 0; slot < constant(constants, 'TAP_SLOTS'); slot++) {
    bytes.set(read, constant(constants, 'TAP_SLOT_BASE') + slot * constant(constants, 'TAP_SLOT_SIZE'));
  }
}

/** A row that reads `batch` slots and throws the output away. */
function tapRow(name: string, read: Read, batch: number, unitsEach: number, refill: boolean): Row {
  const core = new Tables().core;
  const { constants, exports } = core;
  const base = constant(constants, 'TAP_SLOT_BASE');
  const size = constant(constants, 'TAP_SLOT_SIZE');
  fillSlots(core, read);
  const prepare = (): void => {
    if (refill) fillSlots(core, read);
    exports.txReset();
    exports.outReset();
  };
  const work = (): void => {
    for (let slot = 0; slot < batch; slot++) exports.fromTap(0, base + slot * size, read.length);
  };
  return { name, run: () => timed(ROUNDS, batch * unitsEach, prepare, work) };
}

/** A super-frame's datagrams, coalesced again: what one core sends, another takes. */
function coalesceRow(name: string, read: Read): Row {
  const sender = new Tables();
  const { core } = sender;
  fillSlots(core, read);
  core.exports.fromTap(0, constant(core.constants, 'TAP_SLOT_BASE'), read.length);
  const run = sender.firstMessage();
  const receiver = new Tables();
  const messages = constant(core.constants, 'RX_VLEN');
  const prepare = (): void => {
    receiver.core.exports.outReset();
    for (let i = 0; i < messages; i++) receiver.receive(i, run.bytes, run.segment);
  };
  const units = messages * Math.ceil(run.bytes.length / run.segment);
  return {
    name,
    run: () => timed(ROUNDS / 8, units, prepare, () => receiver.core.exports.fromTunnel(messages)),
  };
}

/** Look-ups of entries in random order, less the cost of a call. */
function fdbRow(name: string, entries: number): Row {
  const { core } = new Tables();
  const keys = fillFdb(core, entries, LOOKUPS);
  const { exports } = core;
  let next = 0;
  const lookUp = (): void => {
    let found = 0;
    for (let i = next; i < next + BATCH; i++) if (exports.fdbFind(1, FDB_HIGH, keys[i] ?? 0) !== 0) found++;
    if (found !== BATCH) throw new Error('the forwarding table lost entries');
  };
  const call = (): void => {
    for (let i = next; i < next + BATCH; i++) exports.txCount((keys[i] ?? 0) & 7);
  };
  const advance = (): void => {
    next = (next + BATCH) % LOOKUPS;
  };
  return { name, run: () => timed(ROUNDS, BATCH, advance, lookUp) - timed(ROUNDS, BATCH, advance, call) };
}

/** The rows by name, made only when wanted: each has a memory of its own. */
const ROWS: readonly (readonly [string, (name: string) => Row])[] = [
  ['classify and forward a 64-byte UDP frame', (name) => tapRow(name, SMALL_UDP, 64, 1, false)],
  ['finish a checksum, 1,400 bytes', (name) => tapRow(name, partialFrame(1400), 64, 1, false)],
  ['checksum and copy, 61 KB', (name) => tapRow(name, partialFrame(61_000), 16, 1, false)],
  [
    'cut 44 TCP segments, a packet',
    (name) => tapRow(name, superFrame('tcp', SEGMENTS, 1398), 16, SEGMENTS, false),
  ],
  [
    'cut 44 UDP segments of 64 bytes, a packet',
    (name) => tapRow(name, superFrame('udp', SEGMENTS, 64), 64, SEGMENTS, false),
  ],
  ['coalesce 44 TCP segments, a packet', (name) => coalesceRow(name, superFrame('tcp', SEGMENTS, 1398))],
  [
    'coalesce 44 UDP datagrams of 64 bytes, a packet',
    (name) => coalesceRow(name, superFrame('udp', SEGMENTS, 64)),
  ],
  ['answer ARP', (name) => tapRow(name, BROADCAST_ARP, 64, 1, true)],
  ...FDB_SIZES.map(
    (entries) =>
      [
        `fdb hit, ${entries.toLocaleString('en')} entries, less the call`,
        (name: string) => fdbRow(name, entries),
      ] as const,
  ),
];

function measure(rows: readonly Row[], runs: number): Result[] {
  for (const row of rows) row.run();
  const samples = rows.map((): number[] => []);
  for (let i = 0; i < runs; i++) rows.forEach((row, j) => samples[j]?.push(row.run()));
  return rows.map(({ name }, j) => {
    const sample = samples[j] ?? [];
    return {
      name,
      unit: 'ns',
      median: median(sample),
      min: Math.min(...sample),
      max: Math.max(...sample),
      runs,
    };
  });
}

function print(results: readonly Result[]): void {
  const width = Math.max(...results.map((result) => result.name.length));
  const cell = (value: number): string => value.toFixed(value < 1000 ? 1 : 0).padStart(9);
  console.log(
    `${'stage'.padEnd(width)} ${'median'.padStart(9)} ${'min'.padStart(9)} ${'max'.padStart(9)}  ns`,
  );
  for (const result of results) {
    console.log(
      `${result.name.padEnd(width)} ${cell(result.median)} ${cell(result.min)} ${cell(result.max)}`,
    );
  }
}

const { values } = parseArgs({
  options: {
    filter: { type: 'string', default: '' },
    runs: { type: 'string', default: '7' },
    json: { type: 'string', default: 'bench/results/core.json' },
  },
});
const chosen = ROWS.filter(([name]) => name.includes(values.filter));
if (chosen.length === 0) {
  console.error(
    `no row matches "${values.filter}"; rows are:\n${ROWS.map(([name]) => `  ${name}`).join('\n')}`,
  );
  process.exit(2);
}
const results = measure(
  chosen.map(([name, make]) => make(name)),
  Number(values.runs),
);
print(results);
mkdirSync(dirname(values.json), { recursive: true });
const machine = { node: process.version, cpu: cpus()[0]?.model ?? 'unknown', arch: process.arch };
writeFileSync(values.json, `${JSON.stringify({ machine, results }, undefined, 2)}\n`);
