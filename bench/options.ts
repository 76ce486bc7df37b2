/** Flags of the end-to-end bench. */

import { Command, InvalidArgumentError, Option } from 'commander';
import type { EndpointKind } from './harness/testbed.ts';

export interface BenchOptions {
  readonly filter: RegExp;
  readonly runs: number;
  readonly seconds: number;
  readonly out: string;
  readonly endpoint: EndpointKind;
}

const DEFAULT_RUNS = 3;
const DEFAULT_SECONDS = 3;
const EXIT_USAGE = 2;

/** Ends the process for --help (0) and wrong flags (2). */
export function parseOptions(
  argv: readonly string[],
  names: { peers: string[]; metrics: string[] },
): BenchOptions {
  const program = new Command('bench')
    .description(
      'Measures overlayd beside kernel VXLAN and other overlays, between two namespaces on this machine.',
    )
    .addOption(
      new Option(
        '--filter <regex>',
        'only the pairs "peer/metric" it matches; the reference is always measured',
      )
        .argParser(regex)
        .default(/./, 'all'),
    )
    .option('--runs <n>', 'alternating runs of every pair', atLeastOne, DEFAULT_RUNS)
    .option('--seconds <n>', 'length of a throughput run', atLeastOne, DEFAULT_SECONDS)
    .option('--out <dir>', 'folder for latest.json and latest.svg', 'bench/results')
    .addOption(
      new Option('--endpoint <kind>', 'where addresses are, for peers that carry Ethernet')
        .choices(['macvlan', 'device'])
        .default('macvlan'),
    )
    .addHelpText('after', `\nPeers:   ${names.peers.join(' ')}\nMetrics: ${names.metrics.join(' ')}`)
    .allowExcessArguments(false)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE));
  return program.parse([...argv], { from: 'user' }).opts<BenchOptions>();
}

function regex(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch {
    throw new InvalidArgumentError('Not a regular expression.');
  }
}

function atLeastOne(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('A whole number from 1 up.');
  return value;
}
