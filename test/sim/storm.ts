import { SecretKey } from '../../proto/keyring/secret-key.ts';
import { TABLE } from '../../proto/state/interface.ts';
import { toHex } from '../../proto/state/bytes.ts';
import { below } from '../../proto/rng.ts';
import { aesGcm, sha256 } from '../../agent/crypto/aes-gcm.ts';
import { cheapAead } from './cheap-aead.ts';
import { FAULT_NAMES, play, randomScript } from './faults.ts';
import type { Step } from './faults.ts';
import { Invariants } from './invariants.ts';
import type { SimNode } from './sim-node.ts';
import { Simulation } from './simulation.ts';
import { VNI } from './state-layer.ts';
import { addStormHost, stormLayerOf } from './storm-host.ts';
import { Truth, serialOf } from './truth.ts';

/**
 * A storm: a cluster of whole control planes on which applications write and MACs move, while a script of faults is
 * played; then all is mended, and within a budget everybody must agree with everybody and with the truth (issue 3.7).
 */
export interface StormOptions {
  readonly seed: number;
  readonly hosts: number;
  readonly minutes: number;
  /** Without faults, at the end. */
  readonly calmMs: number;
  /** How gossip is sealed: by AES-GCM, by something as cheap as it is weak, or not at all. */
  readonly seal: 'aes' | 'cheap' | 'none';
  /** Random by the seed if not given. */
  readonly script?: readonly Step[];
}

export interface StormResult {
  /** In words; undefined: all is well. */
  readonly problem: string | undefined;
  /** From the end of the faults to full agreement; undefined: not reached. */
  readonly agreedMs: number | undefined;
  readonly script: readonly Step[];
  readonly traceHash: string;
  readonly faultsHit: ReadonlyMap<string, number>;
  readonly packets: number;
}

const SEEDS = ['10.0.0.1', '10.0.0.2'].map((ip) => ({ ip, port: 7946 }));
const FORM_MS = 10_000;
const LOOK_MS = 5000;
const ACT_MS = 1500;
const MACS = 6;
const FIRST_MAC = 0x02_00_00_00_00_01;
const ROTATE_MS = 60_000;

export function runStorm(options: StormOptions): StormResult {
  const { seed, hosts, minutes, calmMs, seal } = options;
  const sim = new Simulation(seed);
  const endMs = minutes * 60_000;
  const stormMs = endMs - FORM_MS - calmMs;
  const script = options.script ?? randomScript(sim.rng.fork('script'), FAULT_NAMES, stormMs);
  const key = seal === 'none' ? undefined : new SecretKey(new Uint8Array(32).fill(7), sha256);
  const aead = seal === 'aes' ? aesGcm : cheapAead;
  const nodes = Array.from({ length: hosts }, () =>
    addStormHost(sim, { seeds: SEEDS, key, aead, rotateMs: ROTATE_MS }),
  );
  const truth = new Truth();
  const invariants = new Invariants(truth);
  const rng = sim.rng.fork('applications');
  const onRestart = (node: SimNode): void => {
    truth.restarted(node);
    for (let i = 0; i < 3; i++) truth.act(node, rng);
  };
  sim.run(FORM_MS);
  play({ sim, fixed: nodes.slice(0, SEEDS.length), onRestart }, script, stormMs);
  let agreedMs: number | undefined;
  const result = (problem: string | undefined): StormResult => {
    const { faultsHit } = sim;
    return {
      problem,
      agreedMs,
      script,
      traceHash: sim.traceHash(),
      faultsHit,
      packets: sim.network.packets.sent,
    };
  };
  let nextLookMs = sim.now + LOOK_MS;
  while (sim.now < endMs) {
    sim.run(Math.min(ACT_MS, endMs - sim.now));
    const isCalm = sim.now > FORM_MS + stormMs;
    if (!isCalm) act(nodes, truth, rng);
    if (sim.now < nextLookMs) continue;
    nextLookMs = sim.now + LOOK_MS;
    const broken = invariants.check(nodes);
    if (broken !== undefined) return result(`at ${Math.round(sim.now)} ms: ${broken}`);
    if (!isCalm) continue;
    const missing = disagreement(nodes, truth);
    if (missing !== undefined) agreedMs = undefined;
    else agreedMs ??= sim.now - FORM_MS - stormMs;
  }
  return result(disagreement(nodes, truth));
}

/** Applications write; now and then a MAC shows up somewhere. */
function act(nodes: readonly SimNode[], truth: Truth, rng: Parameters<Truth['act']>[1]): void {
  const pick = (): SimNode => nodes[below(rng, nodes.length)] as SimNode;
  const writer = pick();
  if (writer.isRunning) truth.act(writer, rng);
  const mover = pick();
  const mac = FIRST_MAC + below(rng, MACS);
  if (below(rng, 4) !== 0) return;
  mover.do((_swim, now) => stormLayerOf(mover).control.announcer.handleMacLearned(now, VNI, mac));
}

/** Where hosts differ from each other or from the truth, the first difference in words. */
export function disagreement(nodes: readonly SimNode[], truth: Truth): string | undefined {
  for (const node of nodes) {
    const up = node.alive().length;
    if (up !== nodes.length) return `${node.name} sees ${up} of ${nodes.length} members`;
    for (const other of nodes) {
      const member = node.swim.member(other.name);
      if (member?.addr.ip !== other.addr.ip) return `${node.name} has ${other.name} at ${member?.addr.ip}`;
    }
  }
  for (const node of nodes) {
    const layer = stormLayerOf(node);
    const held = new Map<string, number | undefined>();
    for (const { owner, key, value } of layer.state.records(VNI, TABLE.service))
      held.set(`${owner} ${toHex(key)}`, serialOf(value));
    let count = 0;
    for (const owner of nodes) {
      for (const [keyHex, serial] of truth.liveOf(owner.name)) {
        count += 1;
        const has = held.get(`${owner.name} ${keyHex}`);
        if (has !== serial) return `${node.name} has ${has} of ${owner.name} ${keyHex}, not ${serial}`;
      }
    }
    if (held.size !== count) return `${node.name} has ${held.size - count} records that nobody says`;
  }
  const [first] = nodes as [SimNode];
  for (const scope of [0, VNI]) {
    const root = stormLayerOf(first).state.root(scope);
    const other = nodes.find((node) => stormLayerOf(node).state.root(scope) !== root);
    if (other !== undefined) return `${other.name} and ${first.name} differ in scope ${scope}`;
  }
  return placeDisagreement(nodes) ?? keyDisagreement(nodes);
}

/** Every MAC is at one place for all, or at none. */
function placeDisagreement(nodes: readonly SimNode[]): string | undefined {
  for (let mac = FIRST_MAC; mac < FIRST_MAC + MACS; mac++) {
    const places = nodes.map((node) => {
      const route = stormLayerOf(node).control.route(mac);
      return route === 'local' ? node.addr.ip : route;
    });
    const other = places.findIndex((place) => place !== places[0]);
    if (other >= 0)
      return `MAC ${mac - FIRST_MAC} is at ${places[0]} for n1 and at ${places[other]} for n${other + 1}`;
  }
  return undefined;
}

function keyDisagreement(nodes: readonly SimNode[]): string | undefined {
  const primaries = new Set(nodes.map((node) => stormLayerOf(node).rotation?.keyring.primary.fingerprint));
  return primaries.size === 1 ? undefined : `${primaries.size} keys are in use`;
}
