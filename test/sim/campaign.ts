import { z } from 'zod';
import { below } from '../../proto/rng.ts';
import { MemberImage } from '../../proto/swim/member-image.ts';
import { faultNameSchema, play, randomScript, runSlowly } from './faults.ts';
import { GOOD_LINK } from './network.ts';
import { CROWD_META, Crowd } from './state-crowd.ts';
import type { Visible } from './state-crowd.ts';
import type { SimNode } from './sim-node.ts';
import { Simulation } from './simulation.ts';

/**
 * One scenario played on one cluster of members, and what was measured: the protocol code and wire bytes are the real
 * ones, time and network are virtual. The cluster starts converged, from a member image. With `state` the replicated state
 * and what is above it run on each host as well (state-crowd.ts).
 */
export const scenarioSchema = z.strictObject({
  title: z.string(),
  minutes: z.number().positive().max(1440),
  loss: z.number().min(0).max(1).default(0),
  latencyMs: z.number().min(0).max(10_000).default(GOOD_LINK.latencyMs),
  /** Hosts that die, one after the other. */
  crashes: z.int().min(0).max(100).default(0),
  /** Share of the hosts that get little of their CPU for a minute. */
  starved: z.number().min(0).max(1).default(0),
  /** So much of it: */
  starvedCpu: z.number().min(0.001).max(1).default(0.1),
  /** They work for that share of this time, then stand still for the rest. */
  starvedPeriodSeconds: z.number().min(0.1).max(100).default(1),
  /** Share of the hosts whose packets stand still, in and out, nine tenths of the time for a minute; they go on. */
  lagging: z.number().min(0).max(1).default(0),
  laggingPeriodSeconds: z.number().min(0.1).max(100).default(5),
  splitSeconds: z.number().min(0).default(0),
  /** Endpoints that appear, one after the other, on random hosts; of clusters that run with state. */
  writes: z.int().min(0).max(1000).default(10),
  /** Mishaps at random until a minute before the end. */
  faults: z.array(faultNameSchema).default([]),
});

export type Scenario = z.infer<typeof scenarioSchema>;

export interface CampaignOptions {
  readonly nodes: number;
  readonly seed: number;
  readonly scenario: Scenario;
  /** Members without Lifeguard: suspicions last the minimum, a host's own health does not count. */
  readonly lifeguard?: boolean;
  /** Replicated state on every host too. Greetings of all to all make that dear above some hundreds. */
  readonly state?: boolean;
  readonly onProgress?: (virtualMs: number) => void;
}

export interface CampaignResult {
  readonly title: string;
  readonly nodes: number;
  readonly seed: number;
  readonly virtualMs: number;
  readonly wallMs: number;
  readonly packets: number;
  readonly bytesPerHostPerSecond: number;
  /** Over TCP. */
  readonly streamBytesPerHostPerSecond: number;
  /** ms until an endpoint was visible at another host, over all writes and hosts; undefined without state. */
  readonly visible: Visible | undefined;
  /** Per crash, ms: first suspicion, first declaration of death, all know. */
  readonly crashes: readonly { suspectMs: number; deadMs: number; allMs: number }[];
  /** ms from reconnection to full membership everywhere; undefined: no split, or not healed. */
  readonly healMs: number | undefined;
  /** Members declared dead while they lived and could be reached, counted at each host that holds them so. */
  readonly falsePositives: number;
  /** Of these the hosts that had all of their CPU: what a sick host does to well ones. */
  readonly falsePositivesOfWell: number;
  /** Suspicions of hosts that lived, at each host that heard of them. */
  readonly suspicions: number;
  readonly isWholeAtEnd: boolean;
  readonly traceHash: string;
}

const STEP_MS = 1000;
const CALM_MS = 60_000;

export function runCampaign(options: CampaignOptions): CampaignResult {
  const { nodes: count, seed, scenario, lifeguard = true, state = false } = options;
  const startedMs = performance.now();
  const sim = new Simulation(seed);
  const members = Array.from({ length: count }, (_, i) => ({
    name: `n${i + 1}`,
    addr: sim.addressOf(i + 1),
    ...(state && { meta: CROWD_META }),
  }));
  const crowd = state ? new Crowd(sim) : undefined;
  const nodes = sim.addNodes(count, {
    image: new MemberImage(members),
    keepEvents: false,
    lifeguard,
    ...(crowd && { meta: CROWD_META, layer: (life) => crowd.layer(life) }),
  });
  crowd?.warmUp();
  const { loss, latencyMs } = scenario;
  sim.network.faults = { ...GOOD_LINK, loss, latencyMs, chunkBytes: 65_536 };
  const beganMs = sim.now;
  const before = { ...sim.network.packets, streamBytes: sim.network.streams.bytes };
  const watch = new Watch(sim);
  const endMs = scenario.minutes * 60_000;
  script(sim, scenario, watch, endMs);
  crowd?.write(scenario.writes, Math.max(1000, endMs - CALM_MS));
  for (let next = STEP_MS; next <= endMs; next += STEP_MS) {
    sim.run(beganMs + next - sim.now);
    options.onProgress?.(next);
  }
  const perHostSecond = (bytes: number): number => bytes / count / (endMs / 1000);
  const up = nodes.filter((node) => node.isRunning);
  return {
    title: scenario.title,
    nodes: count,
    seed,
    virtualMs: endMs,
    wallMs: performance.now() - startedMs,
    packets: sim.network.packets.sent - before.sent,
    bytesPerHostPerSecond: perHostSecond(sim.network.packets.bytes - before.bytes),
    streamBytesPerHostPerSecond: perHostSecond(sim.network.streams.bytes - before.streamBytes),
    visible: crowd?.visible(),
    crashes: watch.crashes.map(({ suspectMs, deadMs, allMs }) => ({ suspectMs, deadMs, allMs })),
    healMs: watch.healMs,
    falsePositives: watch.falsePositives,
    falsePositivesOfWell: watch.falsePositivesOfWell,
    suspicions: watch.suspicions,
    isWholeAtEnd: up.every((node) => node.swim.upCount === up.length) && crowd?.agrees() !== false,
    traceHash: sim.traceHash(),
  };
}

function script(sim: Simulation, scenario: Scenario, watch: Watch, endMs: number): void {
  const { nodes } = sim;
  const rng = sim.rng.fork('script');
  const everyMs = (endMs - CALM_MS) / Math.max(1, scenario.crashes);
  for (let i = 0; i < scenario.crashes && nodes.length > scenario.crashes + 1; i++) {
    sim.after(2000 + i * everyMs, () => {
      const alive = nodes.filter((node) => node.isRunning);
      watch.crash(alive[below(rng, alive.length)] as SimNode);
    });
  }
  const starved = nodes.slice(0, Math.round(nodes.length * scenario.starved));
  for (const node of starved) {
    watch.starved.add(node.name);
    const periodMs = scenario.starvedPeriodSeconds * 1000;
    // Not in step with each other.
    sim.after(below(rng, periodMs), () => {
      const mend = runSlowly(sim, node, periodMs * scenario.starvedCpu, periodMs);
      sim.after(60_000, mend);
    });
  }
  const lagging = nodes.slice(0, Math.round(nodes.length * scenario.lagging));
  for (const { name, addr } of lagging) {
    watch.starved.add(name);
    const periodMs = scenario.laggingPeriodSeconds * 1000;
    sim.after(below(rng, periodMs), () => lag(sim, addr.ip, periodMs, sim.now + 60_000));
  }
  if (scenario.splitSeconds > 0) {
    const ips = nodes.map(({ addr }) => addr.ip);
    const half = ips.length >> 1;
    sim.after(5000, () => sim.network.partition([ips.slice(0, half), ips.slice(half)]));
    watch.areSeparated = true;
    sim.after(5000 + scenario.splitSeconds * 1000, () => {
      sim.network.heal();
      watch.heal();
    });
  }
  if (scenario.faults.length > 0) {
    watch.areSeparated = true;
    const stormMs = Math.max(0, endMs - CALM_MS);
    play({ sim }, randomScript(sim.rng.fork('mishaps'), scenario.faults, stormMs), stormMs);
  }
}

function lag(sim: Simulation, ip: string, periodMs: number, untilMs: number): void {
  if (sim.now >= untilMs) return;
  sim.network.jam(ip);
  sim.after(periodMs * 0.9, () => sim.network.unjam(ip));
  sim.after(periodMs, () => lag(sim, ip, periodMs, untilMs));
}

interface Crash {
  readonly name: string;
  readonly atMs: number;
  suspectMs: number;
  deadMs: number;
  allMs: number;
  knowing: number;
}

/** Sees the events of all members. */
class Watch {
  readonly crashes: Crash[] = [];
  falsePositives = 0;
  falsePositivesOfWell = 0;
  readonly starved = new Set<string>();
  suspicions = 0;
  healMs: number | undefined;
  /** Hosts cannot always hear each other: to take one for dead is no mistake then. */
  areSeparated = false;
  readonly #sim: Simulation;

  constructor(sim: Simulation) {
    this.#sim = sim;
    sim.onEvent = (event) => {
      if (event.type === 'suspect' || event.type === 'dead') this.#accused(event.type, event.member.name);
    };
  }

  crash(node: SimNode): void {
    const unknown = { suspectMs: NaN, deadMs: NaN, allMs: NaN, knowing: 0 };
    this.crashes.push({ name: node.name, atMs: this.#sim.now, ...unknown });
    node.crash();
  }

  heal(): void {
    const began = this.#sim.now;
    const look = (): void => {
      const { nodes } = this.#sim;
      if (nodes.every((node) => node.swim.upCount === nodes.length)) this.healMs = this.#sim.now - began;
      else this.#sim.after(100, look);
    };
    look();
  }

  #accused(type: 'suspect' | 'dead', name: string): void {
    const crash = this.crashes.find((known) => known.name === name);
    if (crash === undefined) {
      if (type === 'suspect') this.suspicions += 1;
      else if (!this.areSeparated) {
        this.falsePositives += 1;
        if (!this.starved.has(name)) this.falsePositivesOfWell += 1;
      }
      return;
    }
    const ms = this.#sim.now - crash.atMs;
    if (type === 'suspect') {
      if (Number.isNaN(crash.suspectMs)) crash.suspectMs = ms;
      return;
    }
    if (crash.knowing === 0) crash.deadMs = ms;
    crash.knowing += 1;
    if (crash.knowing === this.#sim.nodes.filter((node) => node.isRunning).length) crash.allMs = ms;
  }
}
