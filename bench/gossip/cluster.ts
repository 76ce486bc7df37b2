/**
 * A simulated cluster that has converged long ago: every member knows every member (MemberImage), every State has what
 * it would have after hours. The real protocol code with real wire bytes runs from there, at 1 ms latency.
 *
 * Such a start costs one answer a host and holder, where 1,000 joins would cost a million greetings.
 */
import { SeededRng } from '../../proto/rng.ts';
import { TABLE } from '../../proto/state/interface.ts';
import type { StateChange } from '../../proto/state/interface.ts';
import { encodePull } from '../../proto/state/messages.ts';
import { State } from '../../proto/state/state.ts';
import { encodeEndpoint } from '../../proto/state/values/endpoint.ts';
import { encodeInterest, interestKey } from '../../proto/state/values/interest.ts';
import { macKey } from '../../proto/state/values/mac.ts';
import { encodeVtep, vtepKey } from '../../proto/state/values/vtep.ts';
import { encodeMeta } from '../../proto/swim/meta.ts';
import { MemberImage } from '../../proto/swim/member-image.ts';
import { fakeSigner, fakeVerifier } from '../../test/proto/state/fake-identity.ts';
import type { SimNode } from '../../test/sim/sim-node.ts';
import { Simulation } from '../../test/sim/simulation.ts';
import { HEADER_BYTES, SEGMENT_BYTES, STREAM_BYTES, StateHost } from './state-host.ts';

export type Change = StateChange;
export const VNI = 4096;
export const WALL_MS = 1_700_000_000_000;
/** States begin this long before the simulation: greetings and markers are over. */
const EARLIER_MS = 60_000;
const TOLD_MS = -25_000;
const HEARD_MS = -15_000;
const COLLECTOR = 'collector';

export interface ClusterOptions {
  readonly seed: number;
  readonly hosts: number;
  /** Hosts that take part in the network; all by default. The others may own endpoints all the same. */
  readonly interested?: number;
  /** Endpoints of each host. */
  readonly endpoints?: number;
}

export interface BenchHost {
  readonly name: string;
  readonly node: SimNode;
  readonly layer: StateHost;
}

/** The value of a container with one address and a short name, about 30 bytes a record. */
export function endpointValue(n: number, mobility = 0): Uint8Array {
  const ip = `10.${42 + ((n >> 16) & 63)}.${(n >> 8) & 255}.${n & 255}`;
  return encodeEndpoint({ mobility, ips: [ip], flags: 0, name: `c${n}` });
}

export const macOf = (host: number, n: number): number => 0x02_00_00_00_00_00 + host * 65_536 + n;

export class Cluster {
  readonly sim: Simulation;
  readonly hosts: readonly BenchHost[];

  constructor({ seed, hosts, interested = hosts, endpoints = 0 }: ClusterOptions) {
    this.sim = new Simulation(seed);
    this.sim.network.faults = { ...this.sim.network.faults, latencyMs: 1, jitterMs: 0 };
    const members = Array.from({ length: hosts }, (_, i) => ({
      name: `n${i + 1}`,
      addr: { ip: `10.0.${(i + 1) >> 8}.${(i + 1) & 255}`, port: 7946 },
      meta: encodeMeta({ stateProtocolMin: 1, stateProtocolMax: 1, epoch: BigInt(WALL_MS) }),
    }));
    const states = members.map(({ name, addr }, i) => {
      const state = this.#state(name, new SeededRng(seed * 100_000 + i));
      state.put(-EARLIER_MS, 0, TABLE.vtep, vtepKey(name), encodeVtep({ ip: addr.ip, port: 4789 }));
      if (i < interested) state.put(-EARLIER_MS, 0, TABLE.interest, interestKey(VNI), encodeInterest());
      for (let n = 0; n < endpoints; n++) {
        state.put(-EARLIER_MS, VNI, TABLE.endpoint, macKey(macOf(i, n)), endpointValue(n));
      }
      return state;
    });
    converge(
      states,
      members.map(({ name }) => name),
      interested,
    );
    const image = new MemberImage(members);
    this.hosts = members.map(({ name, addr, meta }, i) => {
      const layer = new StateHost(states[i]!);
      const node = this.sim.addNode({ name, ip: addr.ip, image, meta, layer: () => layer });
      return { name, node, layer };
    });
  }

  #state(name: string, rng: SeededRng): State {
    return new State(
      { node: name, epoch: BigInt(WALL_MS) },
      { rng, wall: () => WALL_MS + this.sim.now, signer: fakeSigner(name), verifier: fakeVerifier },
    );
  }

  /** An endpoint appears on a host, or moves there. */
  put(host: BenchHost, mac: number, mobility = 0): void {
    host.node.do((_swim, now) =>
      host.layer.state.put(now, VNI, TABLE.endpoint, macKey(mac), endpointValue(mac & 0xffff, mobility)),
    );
  }

  remove(host: BenchHost, mac: number): void {
    host.node.do((_swim, now) => host.layer.state.delete(now, VNI, TABLE.endpoint, macKey(mac)));
  }

  /** Bytes on the wire so far, headers of IP, UDP and TCP included. */
  wireBytes(): number {
    const { packets, streams } = this.sim.network;
    const datagrams = packets.bytes + packets.sent * HEADER_BYTES;
    return datagrams + streams.bytes * (1 + 40 / SEGMENT_BYTES) + streams.dialled * STREAM_BYTES;
  }

  agree(hosts: readonly BenchHost[] = this.hosts): boolean {
    const roots = hosts.map(({ layer: { state } }) => `${state.root(0)} ${state.root(VNI)}`);
    return new Set(roots).size === 1;
  }
}

/** Gives every State what the others say, as answers to PULL, and tells it that they live. */
function converge(states: readonly State[], names: readonly string[], interested: number): void {
  const said = states.map((state, i) => {
    for (let t = -EARLIER_MS + 1_000; t < TOLD_MS; t += 1_000) state.handleDeadline(t);
    return [0, VNI].map((scope) => told(state, names[i]!, scope));
  });
  for (const [j, state] of states.entries()) {
    for (const which of j < interested ? [0, 1] : [0]) {
      for (const [i, messages] of said.entries()) {
        if (i !== j) for (const bytes of messages[which]!) state.handleMessage(HEARD_MS, names[i]!, bytes);
      }
    }
  }
  for (const [i, state] of states.entries()) {
    for (const [j, name] of names.entries())
      if (i !== j) state.handleMemberAlive(HEARD_MS, name, BigInt(WALL_MS));
    // What rides on memberlist's packets, and what was to be asked and told: all long done.
    while (state.delegate.broadcasts(HEARD_MS, 3, 65_536).length > 0);
    for (let t = HEARD_MS; t < 0; t += 500) {
      if (state.nextDeadline() <= t) state.handleDeadline(t);
      while (state.pollTransmit() !== undefined);
    }
    while (state.pollChange() !== undefined);
  }
}

/** What a State sends of its own log to somebody who asks for all of it. */
function told(state: State, owner: string, scope: number): Uint8Array[] {
  const said: Uint8Array[] = [];
  state.handleMessage(TOLD_MS, COLLECTOR, encodePull({ scope, owner, epoch: BigInt(WALL_MS) }, 0));
  for (let t = TOLD_MS; t < HEARD_MS; t += 100) {
    for (let out = state.pollTransmit(); out !== undefined; out = state.pollTransmit()) {
      if (out.to === COLLECTOR) said.push(out.bytes);
    }
    if (said.length > 0 && state.nextDeadline() > t + 1_000) break;
    state.handleDeadline(t);
  }
  return said;
}
