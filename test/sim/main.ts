import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';
import { parse } from 'yaml';
import { z } from 'zod';
import { runCampaign, scenarioSchema } from './campaign.ts';
import type { Scenario } from './campaign.ts';
import { FAULTS } from './faults.ts';
import { renderPicture, renderTable } from './report.ts';

/** `npm run sim`: plays a scenario on a simulated cluster and reports. See --help. */
interface Options {
  readonly nodes: number;
  readonly seed: number;
  readonly scenario: string;
  readonly minutes?: number;
  readonly lifeguard: boolean;
  readonly state?: boolean;
  readonly out: string;
}

const PROGRESS_MS = 2000;
/** All greet all at the start: above this it takes longer than the scenario itself. */
const STATE_HOSTS = 50;
// Scenarios are not compiled: from build/test/sim back to the sources.
const SHIPPED = fileURLToPath(new URL('../../../test/sim/scenarios/', import.meta.url));
const shippedNames = readdirSync(SHIPPED)
  .filter((file) => file.endsWith('.yaml'))
  .map((file) => file.slice(0, -'.yaml'.length));

const program = new Command('npm run sim --')
  .description(
    'Plays a scenario on a simulated cluster: real protocol code and wire bytes, virtual time and network.',
  )
  .option(
    '-n, --nodes <count>',
    'hosts, 2 to 10000; they start as one converged cluster',
    integer(2, 10_000),
    100,
  )
  .option(
    '-s, --seed <number>',
    'one seed, one run: the same seed gives the same trace',
    integer(0, 0xffff_ffff),
    1,
  )
  .option('-f, --scenario <name>', `a name (${shippedNames.join(', ')}) or a YAML or JSON file`, 'crash')
  .option('-m, --minutes <number>', 'virtual minutes instead of the scenario’s', Number)
  .option('--no-lifeguard', 'suspicions last the minimum and a host’s own health does not count')
  .option('--state', `replicated state on every host too; by default up to ${STATE_HOSTS} hosts`)
  .option('--no-state', 'membership alone')
  .option('-o, --out <folder>', 'where the picture and the JSON go', 'sim-report')
  .addHelpText(
    'after',
    `
Examples:
  npm run sim -- --nodes 1000 --scenario crash
  npm run sim -- --nodes 50 --seed 7 --scenario storm
  npm run sim -- --nodes 10000 --scenario calm --minutes 0.5

A scenario file has: title, minutes, loss (0 to 1), latencyMs, crashes (hosts that die), starved (share of hosts with
little CPU for a minute), starvedCpu (0.1), starvedPeriodSeconds, lagging (share of hosts whose packets stand still nine
tenths of a minute), laggingPeriodSeconds, splitSeconds, writes (endpoints that appear, with state), faults (at random until a minute before the end; any of:
${Object.keys(FAULTS).join(', ')}). See test/sim/scenarios.`,
  );

play(program.parse().opts<Options>());

function play(options: Options): void {
  const scenario = load(options.scenario, options.minutes);
  let nextMs = performance.now() + PROGRESS_MS;
  const result = runCampaign({
    ...options,
    state: options.state ?? options.nodes <= STATE_HOSTS,
    scenario,
    onProgress: (virtualMs) => {
      if (performance.now() < nextMs) return;
      nextMs = performance.now() + PROGRESS_MS;
      process.stderr.write(`${Math.round(virtualMs / 1000)} of ${scenario.minutes * 60} virtual seconds\n`);
    },
  });
  process.stdout.write(renderTable(result));
  mkdirSync(options.out, { recursive: true });
  writeFileSync(join(options.out, 'report.json'), `${JSON.stringify(result, null, 2)}\n`);
  writeFileSync(join(options.out, 'report.svg'), renderPicture(result));
  process.stdout.write(`Written: ${join(options.out, 'report.svg')}, ${join(options.out, 'report.json')}\n`);
  if (!result.isWholeAtEnd) {
    process.stderr.write(`The cluster is not whole at the end. To see it again: --seed ${result.seed}\n`);
    process.exitCode = 1;
  }
}

function load(name: string, minutes: number | undefined): Scenario {
  const file = shippedNames.includes(name) ? join(SHIPPED, `${name}.yaml`) : name;
  try {
    const read: unknown = parse(readFileSync(file, 'utf8'));
    const given = z.record(z.string(), z.unknown()).parse(read);
    return scenarioSchema.parse(minutes === undefined ? given : { ...given, minutes });
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    return program.error(
      `error: scenario ${name} cannot be used: ${why}\nGive a file, or one of: ${shippedNames.join(', ')}.`,
    );
  }
}

function integer(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Give a whole number from ${min} to ${max}.`);
  };
}
