/**
 * Bench of the gossip in simulation: real protocol code and wire bytes, virtual time, 1 ms latency, no loss.
 *
 *   node build/bench/gossip.js [--filter TEXT] [--seed N] [--json FILE] [--svg FILE]
 *
 * The figures of parts that are not run stay in the file as they were; `real/20` runs only when it is named.
 * All others are of virtual time and of bytes, so that they do not depend on the machine: one seed gives one result.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { DETECTION } from './gossip/detection.ts';
import { EVENTS } from './gossip/events.ts';
import type { Figure } from './gossip/figure.ts';
import { LIFEGUARD } from './gossip/lifeguard.ts';
import { renderGossipPicture, renderGossipTable } from './gossip/report.ts';
import type { GossipResult } from './gossip/report.ts';
import { REAL } from './gossip/real.ts';
import { RESYNC } from './gossip/resync.ts';
import { STEADY } from './gossip/steady.ts';

const { values } = parseArgs({
  options: {
    filter: { type: 'string', default: '' },
    seed: { type: 'string', default: '1' },
    json: { type: 'string', default: 'bench/results/gossip.json' },
    svg: { type: 'string', default: 'bench/results/gossip.svg' },
  },
});

const seed = Number(values.seed);
const all = [...STEADY, ...RESYNC, ...DETECTION, ...LIFEGUARD, ...EVENTS, ...REAL];
const parts = all.filter(({ id }) => id === values.filter);
if (parts.length === 0)
  parts.push(...all.filter(({ id, isOnDemand }) => isOnDemand !== true && id.includes(values.filter)));
if (parts.length === 0) throw new Error(`no part of the bench has "${values.filter}" in its name`);

const figures: (readonly [string, readonly Figure[]])[] = [];
for (const { id, measure } of parts) {
  process.stderr.write(`${id} … `);
  const beganMs = performance.now();
  figures.push([id, await measure(seed)]);
  process.stderr.write(`${((performance.now() - beganMs) / 1_000).toFixed(1)} s\n`);
}
/** JSON knows no Infinity: what never came is null there. */
const never = (_key: string, value: unknown): unknown => value ?? Infinity;
const measured = new Map(figures);
/** What was not measured this time is kept: parts that are run on demand, and all others when there is a filter. */
const isPart = existsSync(values.json);
const before = isPart ? (JSON.parse(readFileSync(values.json, 'utf8'), never) as GossipResult).parts : {};
const merged = all.flatMap(({ id }): [string, readonly Figure[]][] => {
  const found = measured.get(id) ?? before[id];
  return found === undefined ? [] : [[id, found]];
});
const result: GossipResult = {
  schema: 1,
  date: new Date().toISOString().slice(0, 10),
  seed,
  settings: { latencyMs: 1, loss: 0, node: process.version },
  parts: Object.fromEntries(merged),
};
process.stdout.write(renderGossipTable(result));
for (const [file, text] of [
  [values.json, `${JSON.stringify(result, undefined, 2)}\n`],
  [values.svg, renderGossipPicture(result)],
] as const) {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}
