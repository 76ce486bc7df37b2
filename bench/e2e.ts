/**
 * `npm run bench`: overlayd and its peers, end to end, in one run with the reference. Needs root.
 *
 * Progress goes to stderr; the table to stdout; latest.json and latest.svg to the output folder. Whatever ends the
 * bench, namespaces, daemons and scratch folders are gone afterwards. Exit: 0 good, 1 failed, 2 usage, 130 interrupted.
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { keepCpusAwake } from './harness/awake-cpus.ts';
import { runCampaign } from './harness/campaign.ts';
import { CleanupStack } from './harness/cleanup.ts';
import { which } from './harness/command.ts';
import { CpuGroup } from './harness/cpu-group.ts';
import { BenchError, messageOf } from './harness/errors.ts';
import { METRICS } from './metrics/index.ts';
import { SERIES } from './metrics/metric.ts';
import { parseOptions } from './options.ts';
import type { BenchOptions } from './options.ts';
import { PEERS, REFERENCE } from './peers/index.ts';
import { describeMachine } from './report/machine.ts';
import { renderPicture } from './report/picture.ts';
import { figuresOf } from './report/result.ts';
import type { BenchResult } from './report/result.ts';
import { renderTable } from './report/table.ts';

const REQUIRED_PROGRAMS = {
  ip: 'iproute2',
  nsenter: 'util-linux',
  setpriv: 'util-linux',
  ping: 'iputils-ping',
  iperf3: 'iperf3',
};
const EXIT_FAILED = 1;
const EXIT_INTERRUPTED = 130;

const options = parseOptions(process.argv.slice(2), {
  peers: PEERS.map((peer) => peer.id),
  metrics: METRICS.map((metric) => metric.id),
});
process.exitCode = await main(options);

async function main(given: BenchOptions): Promise<number> {
  const interrupted = new AbortController();
  const cleanup = new CleanupStack(progress);
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => interrupted.abort(new BenchError(`ended by ${name}`)));
  }
  try {
    checkMachine();
    const result = await measure(given, cleanup, interrupted.signal);
    publish(result, given.out);
    return result.figures.length > 0 ? 0 : EXIT_FAILED;
  } catch (error) {
    progress(messageOf(interrupted.signal.aborted ? interrupted.signal.reason : error));
    if (error instanceof BenchError && error.hint !== undefined) progress(error.hint);
    return interrupted.signal.aborted ? EXIT_INTERRUPTED : EXIT_FAILED;
  } finally {
    await cleanup.run();
  }
}

function checkMachine(): void {
  if (process.getuid?.() !== 0) {
    throw new BenchError('the bench makes network namespaces and needs root', { hint: 'Run it with sudo.' });
  }
  for (const [program, packageName] of Object.entries(REQUIRED_PROGRAMS)) {
    if (!which(program))
      throw new BenchError(`${program} is missing`, { hint: `Install the package ${packageName}.` });
  }
}

async function measure(
  given: BenchOptions,
  cleanup: CleanupStack,
  signal: AbortSignal,
): Promise<BenchResult> {
  const date = new Date().toISOString();
  const machine = await describeMachine();
  const cpu = CpuGroup.join(`ovlbench-${process.pid}`);
  cleanup.defer('the control group', () => cpu.leave());
  const awake = keepCpusAwake();
  cleanup.defer('the CPU latency request', () => awake?.release());
  const isMatch = (peer: { id: string }, metric: { id: string }): boolean =>
    given.filter.test(`${peer.id}/${metric.id}`);
  const metrics = METRICS.filter((metric) => PEERS.some((peer) => isMatch(peer, metric)));
  if (metrics.length === 0) throw new BenchError(`--filter ${given.filter.source} matches no peer/metric`);
  const { notes, samples, failures } = await runCampaign(
    {
      ...given,
      peers: PEERS,
      metrics,
      isWanted: (peer, metric) => peer === REFERENCE || isMatch(peer, metric),
    },
    { cpu, cleanup, signal, progress },
  );
  return {
    schema: 1,
    date,
    settings: {
      runs: given.runs,
      seconds: given.seconds,
      endpoint:
        given.endpoint === 'macvlan'
          ? 'macvlan child, device where there is no Ethernet'
          : 'address on the device',
      cpuAccounting: cpu.accounting,
      cpuWeighted: cpu.isWeighted,
      cpusAwake: awake !== undefined,
      congestionControl: 'cubic',
      underlay: 'veth, MTU 1500, offloads on',
    },
    machine,
    reference: REFERENCE.id,
    series: SERIES,
    peers: notes,
    figures: figuresOf(
      samples,
      notes.map((note) => note.id),
      SERIES,
      REFERENCE.id,
    ),
    failures,
  };
}

function publish(result: BenchResult, folder: string): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'latest.json'), `${JSON.stringify(result, undefined, 2)}\n`);
  writeFileSync(join(folder, 'latest.svg'), renderPicture(result));
  process.stdout.write(renderTable(result));
  progress(`written: ${join(folder, 'latest.json')}, latest.svg`);
}

function progress(line: string): void {
  process.stderr.write(`${line}\n`);
}
