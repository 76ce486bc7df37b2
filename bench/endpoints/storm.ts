/**
 * Endpoints by the thousand through the Docker driver's own protocol (checklist 3.2, issue point 5.6): three hosts, real
 * daemons, a TAP for each endpoint, moved into a namespace of its own. No Docker engine: a container each would take
 * 0.3 s and 5 MB of its own.
 */
import { join } from 'node:path';
import type { Daemon } from '../../agent/demo/daemon.ts';
import type { Host } from '../../agent/demo/hosts.ts';
import { until } from '../../agent/demo/process.ts';
import type { Testbed } from '../../agent/demo/testbed.ts';
import { memoryMib } from '../harness/daemon-usage.ts';
import { DockerSpeaker } from './docker-speaker.ts';
import type { SpokenEndpoint } from './docker-speaker.ts';
import { Sandboxes } from './sandboxes.ts';

const NETWORK = 'storm';
const SUBNET = '10.64.0.0/16';
/** Containers that one engine starts at a time. */
const AT_ONCE = 8;
const BATCH = 64;
const KNOWN_MS = 60_000;

export interface StormOptions {
  readonly endpoints: number;
  readonly hosts: number;
  /** Pairs that are pinged, chosen evenly over all hosts. */
  readonly pairs: number;
}

export interface StormResult {
  readonly endpoints: number;
  /** From the first call until the last interface is up. */
  readonly upSeconds: number;
  /** Until every host knows every endpoint. */
  readonly knownSeconds: number;
  readonly msPerEndpoint: number;
  /** Grown resident memory of a daemon by local endpoint; the least and the most of the hosts. */
  readonly kibPerEndpoint: readonly [number, number];
  readonly pinged: number;
  readonly silent: readonly string[];
  readonly downSeconds: number;
}

interface Place {
  readonly host: Host;
  readonly daemon: Daemon;
  readonly speaker: DockerSpeaker;
  readonly sandboxes: Sandboxes;
  readonly inside: { readonly sandbox: number; readonly endpoint: SpokenEndpoint }[];
  memoryBefore: number;
}

/** The words of `overlayd run` for it. */
export function stormArgs(host: Host): string[] {
  return ['--docker-plugin', pluginSocket(host)];
}

function pluginSocket(host: Host): string {
  return join(host.scratch, 'overlayd-plugin.sock');
}

export async function storm(
  testbed: Testbed,
  daemons: readonly Daemon[],
  options: StormOptions,
): Promise<StormResult> {
  const places = testbed.hosts.map((host, index): Place => {
    const daemon = daemons[index];
    if (daemon === undefined) throw new Error('a daemon on each host');
    const speaker = new DockerSpeaker(pluginSocket(host), AT_ONCE);
    return { host, daemon, speaker, sandboxes: new Sandboxes(host), inside: [], memoryBefore: 0 };
  });
  try {
    return await run(places, options);
  } finally {
    for (const { sandboxes } of places) sandboxes.close();
    for (const { speaker } of places) await speaker.close();
  }
}

async function run(places: readonly Place[], options: StormOptions): Promise<StormResult> {
  // One after the other: the first makes the network, the others find it.
  for (const place of places) {
    await until(`${place.host.name} knows the network`, 10_000, async () => {
      return (
        place === places[0] || (await place.daemon.status()).networks.some(({ name }) => name === NETWORK)
      );
    });
    await place.speaker.createNetwork(NETWORK, SUBNET);
    place.memoryBefore = memoryMib(place.daemon.process.pid).now;
  }
  const perHost = places.map((_, index) => Math.floor((options.endpoints + index) / places.length));
  const numbers = await Promise.all(
    places.map(({ sandboxes }, index) => sandboxes.make(perHost[index] ?? 0)),
  );

  const began = performance.now();
  const since = (): number => (performance.now() - began) / 1000;
  await Promise.all(places.map((place, index) => fill(place, numbers[index] ?? [])));
  const upSeconds = since();
  await allKnown(places, options.endpoints);
  const knownSeconds = since();

  const memory = places.map(({ daemon, memoryBefore, inside }) => {
    return ((memoryMib(daemon.process.pid).now - memoryBefore) * 1024) / inside.length;
  });
  const silent = await ping(places, options.pairs);
  const emptied = performance.now();
  await Promise.all(places.map(empty));
  return {
    endpoints: options.endpoints,
    upSeconds,
    knownSeconds,
    msPerEndpoint: (upSeconds * 1000) / options.endpoints,
    kibPerEndpoint: [Math.min(...memory), Math.max(...memory)],
    pinged: options.pairs,
    silent,
    downSeconds: (performance.now() - emptied) / 1000,
  };
}

async function fill({ speaker, sandboxes, inside }: Place, numbers: readonly number[]): Promise<void> {
  // While interfaces are moved in, the next ones are asked for.
  let entering: Promise<void> = Promise.resolve();
  for (let at = 0; at < numbers.length; at += BATCH) {
    const batch = numbers.slice(at, at + BATCH);
    const endpoints = await mapSome(batch, (sandbox) => speaker.startEndpoint(sandboxes.path(sandbox)));
    await entering;
    entering = sandboxes.enter(
      endpoints.map(({ source, address, prefix, mac }, index) => {
        return { source, fd: batch[index] ?? -1, name: 'eth0', address, prefix, mac };
      }),
    );
    entering.catch(() => undefined);
    endpoints.forEach((endpoint, index) => inside.push({ sandbox: batch[index] ?? -1, endpoint }));
  }
  await entering;
}

async function empty({ speaker, inside }: Place): Promise<void> {
  await mapSome(inside, ({ endpoint }) => speaker.stopEndpoint(endpoint));
}

async function allKnown(places: readonly Place[], endpoints: number): Promise<void> {
  for (const { host, daemon } of places) {
    await until(`${host.name} knows all ${endpoints} endpoints`, KNOWN_MS, async () => {
      const network = (await daemon.status()).networks.find(({ name }) => name === NETWORK);
      return (network?.macs ?? 0) >= endpoints;
    });
  }
}

/** Every host to every host, itself too, in turn. */
async function ping(places: readonly Place[], pairs: number): Promise<string[]> {
  const silent: string[] = [];
  const numbers = Array.from({ length: pairs }, (_, number) => number);
  await mapSome(numbers, async (number) => {
    const from = places[number % places.length];
    const to = places[Math.floor(number / places.length) % places.length];
    const source = from?.inside[(number * 7) % from.inside.length];
    const target = to?.inside[(number * 13 + 1) % to.inside.length];
    if (from === undefined || source === undefined || target === undefined) throw new Error('no endpoints');
    if (await from.sandboxes.pings(source.sandbox, target.endpoint.address)) return;
    silent.push(`${source.endpoint.address} -> ${target.endpoint.address}`);
  });
  return silent;
}

/** At most AT_ONCE of them at a time; in order. */
async function mapSome<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++;
      results[index] = await work(items[index] as T);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return results;
}
