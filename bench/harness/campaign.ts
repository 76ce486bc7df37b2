/**
 * Runs metrics on peers in alternation: metric by metric, in each run every peer once, the order turned round in every
 * second run, so that the reference stands beside each peer in time and a drift of the machine hits all alike.
 *
 * A peer that can't be brought up, or a run that fails, is noted and the rest goes on.
 */

import type { Metric, MetricSettings } from '../metrics/metric.ts';
import type { Peer, RunningPeer } from '../peers/peer.ts';
import type { Failure, PeerNote } from '../report/result.ts';
import { Samples } from '../report/result.ts';
import type { CleanupStack } from './cleanup.ts';
import type { CpuGroup } from './cpu-group.ts';
import { BenchError, messageOf } from './errors.ts';
import { Testbed } from './testbed.ts';
import type { Endpoint, EndpointKind } from './testbed.ts';

export interface CampaignOptions extends MetricSettings {
  readonly runs: number;
  readonly endpoint: EndpointKind;
  /** Which pairs to measure. */
  readonly isWanted: (peer: Peer, metric: Metric) => boolean;
  readonly peers: readonly Peer[];
  readonly metrics: readonly Metric[];
}

export interface CampaignDeps {
  readonly cpu: CpuGroup;
  readonly cleanup: CleanupStack;
  readonly signal: AbortSignal;
  readonly progress: (line: string) => void;
}

export interface CampaignOutcome {
  readonly notes: readonly PeerNote[];
  readonly samples: Samples;
  readonly failures: readonly Failure[];
}

/** A peer that stands, with the endpoints on it. */
interface Contestant {
  readonly peer: Peer;
  readonly running: RunningPeer;
  readonly endpoints: readonly [Endpoint, Endpoint];
}

export async function runCampaign(options: CampaignOptions, deps: CampaignDeps): Promise<CampaignOutcome> {
  const notes: PeerNote[] = [];
  const contestants: Contestant[] = [];
  for (const [index, peer] of options.peers.entries()) {
    if (!options.metrics.some((metric) => options.isWanted(peer, metric))) continue;
    const { id, title } = peer;
    try {
      const contestant = await bringUp(peer, index, options.endpoint, deps);
      contestants.push(contestant);
      notes.push({
        id,
        title,
        version: contestant.running.version,
        endpoint: endpointOf(contestant, options.endpoint),
      });
    } catch (error) {
      deps.signal.throwIfAborted();
      deps.progress(`${title}: not measured: ${messageOf(error)}`);
      if (error instanceof BenchError && error.hint !== undefined) deps.progress(error.hint);
      notes.push({ id, title, unavailable: messageOf(error) });
    }
  }
  const samples = new Samples(options.runs);
  const failures: Failure[] = [];
  for (const metric of options.metrics) {
    const wanted = contestants.filter(
      ({ peer, running }) =>
        options.isWanted(peer, metric) && (!metric.needsDaemon || running.daemonPids.length > 0),
    );
    for (let run = 0; run < options.runs; run++) {
      for (const contestant of run % 2 === 0 ? wanted : wanted.toReversed()) {
        await measureOne(contestant, metric, run, options, deps, samples, failures);
      }
    }
  }
  return { notes, samples, failures };
}

async function bringUp(
  peer: Peer,
  index: number,
  kind: EndpointKind,
  deps: CampaignDeps,
): Promise<Contestant> {
  deps.progress(`${peer.title}: bringing up`);
  const bed = new Testbed(index, deps.cleanup, deps.signal);
  await bed.create();
  const running = await peer.up(bed);
  const endpoints = await bed.attachEndpoints(running.devices, running.isLayer2 ? kind : 'device');
  return { peer, running, endpoints };
}

async function measureOne(
  { peer, running, endpoints }: Contestant,
  metric: Metric,
  run: number,
  options: CampaignOptions,
  deps: CampaignDeps,
  samples: Samples,
  failures: Failure[],
): Promise<void> {
  const { cpu, signal, progress } = deps;
  const label = `${metric.title}, run ${run + 1}/${options.runs}, ${peer.title}`;
  try {
    signal.throwIfAborted();
    const sample = await metric.measure({ endpoints, daemonPids: running.daemonPids, cpu, signal }, options);
    samples.add(peer.id, run, sample);
    const values = Object.entries(sample).map(
      ([series, value]) => `${series} ${Number(value.toPrecision(4))}`,
    );
    progress(`${label}: ${values.join(', ')}`);
  } catch (error) {
    signal.throwIfAborted();
    failures.push({ peer: peer.id, metric: metric.id, run, message: messageOf(error) });
    progress(`${label}: failed: ${messageOf(error)}`);
  }
}

function endpointOf({ running }: Contestant, wanted: EndpointKind): string {
  return wanted === 'macvlan' && running.isLayer2
    ? 'macvlan child in a container namespace'
    : 'address on the device';
}
