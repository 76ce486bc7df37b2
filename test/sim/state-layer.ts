/**
 * A State on a simulated member, glued as the agent glues them, with view and announcer above it: a whole control plane
 * but for the data path, whose tables are kept as plain rows.
 */
import { TABLE } from '../../proto/state/interface.ts';
import type { StateChange } from '../../proto/state/interface.ts';
import type { StateDeps, StateOptions } from '../../proto/state/options.ts';
import { answerBanned, feedState, sendState } from '../../proto/state/over-swim.ts';
import type { IdentityList } from '../../proto/state/identities.ts';
import { State } from '../../proto/state/state.ts';
import { encodeInterest, interestKey } from '../../proto/state/values/interest.ts';
import { encodeVtep, vtepKey } from '../../proto/state/values/vtep.ts';
import type { SwimEvent } from '../../proto/swim/interface.ts';
import { encodeMeta } from '../../proto/swim/meta.ts';
import type { Swim } from '../../proto/swim/swim.ts';
import { EndpointAnnouncer } from '../../proto/view/endpoints.ts';
import { ForwardingView } from '../../proto/view/forwarding.ts';
import { fakeSigner, fakeVerifier } from '../proto/state/fake-identity.ts';
import { RowModel } from '../proto/view/row-model.ts';
import type { SeededRng } from '../../proto/rng.ts';
import { WALL_MS } from './sim-node.ts';
import type { SimLayer, SimNode } from './sim-node.ts';
import type { Simulation } from './simulation.ts';

export const VNI = 4096;
const SEED = { ip: '10.0.0.1', port: 7946 };

export interface HostOptions extends Partial<StateOptions> {
  /** Whose key it has; its own name's without. */
  readonly identity?: string;
  readonly listed?: IdentityList;
  readonly name?: string;
  readonly ip?: string;
}

export class StateLayer implements SimLayer {
  readonly state: State;
  readonly view: ForwardingView;
  readonly announcer: EndpointAnnouncer;
  readonly rows = new RowModel();
  /** Hears of every change of state. */
  onChange: ((change: StateChange) => void) | undefined;
  readonly #name: string;

  constructor(
    name: string,
    ip: string,
    epoch: bigint,
    rng: SeededRng,
    sim: Simulation,
    options: Partial<StateOptions>,
    deps: Partial<StateDeps> = {},
  ) {
    this.#name = name;
    const wall = (): number => WALL_MS + sim.now;
    this.state = new State(
      { node: name, epoch, ...options },
      { rng, wall, signer: fakeSigner(name), verifier: fakeVerifier, fault: sim.fault, ...deps },
    );
    this.view = new ForwardingView({ self: name, maxPayload: 1_450 }, this.state);
    this.announcer = new EndpointAnnouncer({ self: name }, this.state);
    this.view.setNetworks(sim.now, [{ network: 0, vni: VNI, suppress: true, sealed: false }]);
    this.state.put(sim.now, 0, TABLE.vtep, vtepKey(name), encodeVtep({ ip, port: 4789 }));
    this.state.put(sim.now, 0, TABLE.interest, interestKey(VNI), encodeInterest());
  }

  get delegate(): State['delegate'] {
    return this.state.delegate;
  }

  handleEvent(now: number, event: SwimEvent, swim: Swim): void {
    feedState(now, this.state, event);
    answerBanned(now, this.state, event, swim);
  }

  handleDeadline(now: number): void {
    this.state.handleDeadline(now);
    this.view.handleDeadline(now);
    this.announcer.handleDeadline(now);
  }

  nextDeadline(): number {
    return Math.min(this.state.nextDeadline(), this.view.nextDeadline(), this.announcer.nextDeadline());
  }

  pump(now: number, swim: Swim): void {
    for (let c = this.state.pollChange(); c !== undefined; c = this.state.pollChange()) {
      this.onChange?.(c);
      this.view.handleChange(now, c);
      this.announcer.handleChange(now, c);
    }
    this.rows.apply(this.view.takeChanges());
    sendState(now, this.state, swim);
  }

  /** The underlay address where frames for a MAC go; "local" for our own; undefined when nobody is known to have it. */
  route(mac: number): string | undefined {
    const row = this.rows.rows.get(`fdb 0 ${mac}`);
    if (row?.op === 'fdb-put') return this.view.peerRow(row.peer)?.addr;
    for (const { mac: known, owner } of this.view.endpoints(VNI)) {
      if (known === mac && owner === this.#name) return 'local';
    }
    return undefined;
  }

  /** Underlay addresses that get broadcast frames, sorted. */
  flood(): string[] {
    const peers = [...this.rows.rows.values()].flatMap((row) => (row.op === 'flood-put' ? [row.peer] : []));
    return peers.map((peer) => this.view.peerRow(peer)?.addr ?? 'nobody').sort();
  }
}

/** One host more: n1 at 10.0.0.1 and so on; all join n1. */
export function addHost(sim: Simulation, options: HostOptions = {}): SimNode {
  const i = sim.nodes.length + 1;
  const { ip = `10.0.${i >> 8}.${i & 255}`, name: nodeName = `n${i}`, identity, listed, ...rest } = options;
  let before: State | undefined;
  return sim.addNode({
    name: nodeName,
    ip,
    seeds: [SEED],
    layer: ({ name, rng, now }) => {
      const layer = new StateLayer(name, ip, BigInt(WALL_MS + Math.floor(now)), rng, sim, rest, {
        signer: fakeSigner(identity ?? name),
        // As the agent keeps them on disk.
        identities: { pins: [...(before?.identities.pins() ?? [])], listed },
        revocations: before?.revocations.saved() ?? [],
      });
      before = layer.state;
      return layer;
    },
    meta: encodeMeta({ stateProtocolMin: 1, stateProtocolMax: 1, epoch: BigInt(WALL_MS) }),
  });
}

/** The layer of a running node. */
export function layerOf(node: SimNode): StateLayer {
  if (!(node.layer instanceof StateLayer)) throw new Error(`${node.name} is not running`);
  return node.layer;
}

/** A MAC appears on a host, as its data path would tell. */
export function learn(node: SimNode, mac: number, ip?: string): void {
  node.do((_swim, now) => {
    layerOf(node).announcer.handleMacLearned(now, VNI, mac);
    if (ip !== undefined) layerOf(node).announcer.handleIpLearned(now, VNI, mac, ip);
  });
}

/** Leaves as the agent does it. */
export function leaveByHand(node: SimNode): void {
  node.do((swim, now) => {
    layerOf(node).state.sayGoodbye(now);
    swim.leave(now);
  });
}

/** All hosts have the same state: equal roots of the cluster and the network. */
export function agree(nodes: readonly SimNode[]): boolean {
  const roots = new Set(nodes.map((n) => `${layerOf(n).state.root(0)} ${layerOf(n).state.root(VNI)}`));
  return roots.size === 1;
}
