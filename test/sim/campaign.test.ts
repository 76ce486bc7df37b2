import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { parse } from 'yaml';
import { suspicionMinMs } from '../../proto/swim/timing.ts';
import { runCampaign, scenarioSchema } from './campaign.ts';
import type { CampaignResult, Scenario } from './campaign.ts';
import { renderPicture, renderTable } from './report.ts';

/** The shipped scenarios, small and in numbers; and the large clusters, briefly. Speeds are printed, not asserted. */
const FOLDER = fileURLToPath(new URL('../../../test/sim/scenarios/', import.meta.url));
const { OVERLAYD_SEED: only } = process.env;
t.setTimeout(300_000);

const scenarioOf = (name: string): Scenario =>
  scenarioSchema.parse(parse(readFileSync(`${FOLDER}${name}.yaml`, 'utf8')));
const speedOf = ({ virtualMs, wallMs, nodes }: CampaignResult): string =>
  `${nodes} hosts at ${(virtualMs / wallMs).toFixed(1)} × real time`;

void t.test('the shipped scenarios can be read', (test) => {
  for (const file of readdirSync(FOLDER)) test.ok(scenarioOf(file.slice(0, -5)).title, file);
  test.throws(() => scenarioSchema.parse({ title: 'x', minutes: 1, los: 0.1 }), 'a typing error is told');
  test.end();
});

void t.test('after four minutes of mishaps all agree again', (test) => {
  const seeds = only === undefined ? Array.from({ length: 8 }, (_, i) => 1000 + i) : [Number(only)];
  for (const seed of seeds) {
    const result = runCampaign({ nodes: 20, seed, scenario: scenarioOf('storm') });
    test.ok(result.isWholeAtEnd, `seed ${seed}`);
    if (seed % 8 !== 0) continue;
    const again = runCampaign({ nodes: 20, seed, scenario: scenarioOf('storm') });
    test.equal(again.traceHash, result.traceHash, `seed ${seed} gives one trace`);
  }
  test.end();
});

void t.test('a host that is starved to 10 % is not declared dead; one that died is, in time', (test) => {
  const scenario = { ...scenarioOf('starved'), starvedPeriodSeconds: 1, crashes: 1 };
  const nodes = 50;
  const result = runCampaign({ nodes, seed: 3, scenario });
  test.equal(result.falsePositives, 0);
  const [crash] = result.crashes;
  const shortestMs = suspicionMinMs(4, nodes, 1000);
  test.ok((crash?.deadMs ?? 0) >= shortestMs, `dead after ${crash?.deadMs} ms`);
  // Found within a round of probes at worst, then the longest suspicion, then a moment of gossip.
  test.ok(
    (crash?.allMs ?? Infinity) < nodes * 1000 + 6 * shortestMs + 2000,
    `all know after ${crash?.allMs} ms`,
  );
  test.end();
});

void t.test('3.7: with state on every host, endpoints are seen by all, and all agree in the end', (test) => {
  for (const name of ['crash', 'storm']) {
    const scenario = { ...scenarioOf(name), minutes: 3 };
    const { visible, isWholeAtEnd, ...result } = runCampaign({ nodes: 12, seed: 2, state: true, scenario });
    test.ok(isWholeAtEnd, name);
    test.ok((visible?.p50Ms ?? Infinity) <= 50, `median ${visible?.p50Ms} ms`);
    test.ok((visible?.maxMs ?? Infinity) < 60_000, `last ${visible?.maxMs} ms`);
    test.match(renderTable({ visible, isWholeAtEnd, ...result }), /endpoint visible: 99 %/);
  }
  test.end();
});

void t.test('a thousand hosts see a crash', (test) => {
  const scenario = { ...scenarioOf('crash'), minutes: 0.5, crashes: 1 };
  const result = runCampaign({ nodes: 1000, seed: 1, scenario });
  test.ok((result.crashes[0]?.allMs ?? Infinity) < 20_000, `all know after ${result.crashes[0]?.allMs} ms`);
  test.ok(result.isWholeAtEnd);
  test.equal(result.falsePositives, 0);
  test.comment(speedOf(result));
  test.match(renderTable(result), /crash 1: all know/);
  test.match(renderPicture(result), /^<svg[^]*<\/svg>\n$/);
  test.end();
});

void t.test('ten thousand hosts, converged', (test) => {
  const result = runCampaign({ nodes: 10_000, seed: 1, scenario: { ...scenarioOf('calm'), minutes: 0.1 } });
  test.ok(result.isWholeAtEnd);
  // One ping and one ack a second for each.
  test.ok(result.packets > 10_000 * 2 * 5, `${result.packets} packets`);
  test.equal(result.suspicions, 0);
  test.comment(speedOf(result));
  test.end();
});
