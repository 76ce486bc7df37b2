/** A State and a NetworkKeeper on a simulated member, glued as the agent glues them; what is kept survives on a virtual disk. */
import { NetworkKeeper } from '../../proto/networks/keeper.ts';
import type { SavedNetworks } from '../../proto/networks/registry.ts';
import { toHex } from '../../proto/state/bytes.ts';
import { TABLE } from '../../proto/state/interface.ts';
import { feedState, sendState } from '../../proto/state/over-swim.ts';
import { State } from '../../proto/state/state.ts';
import { encodeInterest, interestKey } from '../../proto/state/values/interest.ts';
import type { MadeNetwork } from '../../proto/state/values/network.ts';
import { encodeVtep, vtepKey } from '../../proto/state/values/vtep.ts';
import type { SwimEvent } from '../../proto/swim/interface.ts';
import { encodeMeta } from '../../proto/swim/meta.ts';
import type { Swim } from '../../proto/swim/swim.ts';
import { below } from '../../proto/rng.ts';
import type { SeededRng } from '../../proto/rng.ts';
import { fakeSigner, fakeVerifier } from '../proto/state/fake-identity.ts';
import type { SimLayer, SimNode } from './sim-node.ts';
import type { Simulation } from './simulation.ts';

const WALL_MS = 1_700_000_000_000;
const SEEDS = ['10.0.0.1', '10.0.0.2'].map((ip) => ({ ip, port: 7946 }));

/** What a host has beside its memory. */
interface Disk {
  saved: SavedNetworks | undefined;
  writes: number;
}

/** What a user may give. */
interface Wish {
  readonly vni?: number;
  readonly subnet?: string;
  readonly encrypted?: boolean;
}

export class NetworksLayer implements SimLayer {
  readonly state: State;
  readonly keeper: NetworkKeeper;
  readonly #name: string;
  readonly #ids: SeededRng;
  #isDue = true;

  constructor(name: string, rng: SeededRng, epoch: bigint, now: number, wall: () => number, disk: Disk) {
    this.#name = name;
    this.#ids = rng.fork('ids');
    this.state = new State(
      { node: name, epoch },
      { rng, wall, signer: fakeSigner(name), verifier: fakeVerifier },
    );
    this.state.put(now, 0, TABLE.vtep, vtepKey(name), encodeVtep({ ip: '10.0.0.1', port: 4789 }));
    this.keeper = new NetworkKeeper(now, {
      self: name,
      state: this.state,
      wall,
      saved: disk.saved,
      routes: () => [],
      keep: (networks) => {
        disk.saved = structuredClone(networks);
        disk.writes++;
      },
    });
  }

  get delegate(): State['delegate'] {
    return this.state.delegate;
  }

  handleEvent(now: number, event: SwimEvent): void {
    feedState(now, this.state, event);
  }

  handleDeadline(now: number): void {
    if (this.state.nextDeadline() <= now) this.state.handleDeadline(now);
    if (this.keeper.nextDeadline() <= now) this.keeper.step(now);
  }

  nextDeadline(): number {
    return Math.min(this.state.nextDeadline(), this.keeper.nextDeadline());
  }

  pump(now: number, swim: Swim): void {
    for (let c = this.state.pollChange(); c !== undefined; c = this.state.pollChange()) {
      if (c.scope === 0) this.#isDue = true;
    }
    if (this.#isDue) this.keeper.step(now);
    this.#isDue = false;
    sendState(now, this.state, swim);
  }

  /** As the operator's verb does. */
  create(now: number, name: string, wish: Wish = {}): MadeNetwork {
    const { keeper } = this;
    keeper.step(now);
    const id = toHex(Uint8Array.from({ length: 16 }, () => below(this.#ids, 256)));
    const network = {
      name,
      vni: wish.vni ?? keeper.chooseVni(name)!,
      subnet: wish.subnet ?? keeper.chooseSubnet(name)!,
      gateway: '',
      mtu: 1_450,
      encrypted: wish.encrypted ?? false,
      made: {
        id,
        creator: this.#name,
        hlc: keeper.nextHlc(),
        revision: 0,
        subnet6: '',
        gateway6: '',
        internal: false,
        labels: {},
        chosen: { vni: wish.vni === undefined, subnet: wish.subnet === undefined, mtu: true },
      },
    };
    keeper.make(now, network);
    return network;
  }

  remove(now: number, name: string): void {
    const network = this.keeper.resolution.networks.find(({ value }) => value.name === name);
    if (network === undefined) throw new Error(`${this.#name} knows no ${name}`);
    this.keeper.remove(now, [network.id, ...network.aliases], name);
  }

  /** An endpoint comes to, or leaves, a network here. */
  use(now: number, network: { vni: number; id: string }, endpoints: number): void {
    const value = encodeInterest({ id: network.id, isAttached: false, endpoints, names: [] });
    if (endpoints > 0) this.state.put(now, 0, TABLE.interest, interestKey(network.vni), value);
    else this.state.delete(now, 0, TABLE.interest, interestKey(network.vni));
  }

  /** How many records of networks and removals this host writes itself. */
  said(): number {
    const tables = [TABLE.network, TABLE.networkGone];
    return tables
      .flatMap((table) => [...this.state.records(0, table)])
      .filter(({ owner }) => owner === this.#name).length;
  }

  /** All that a user sees, as text. */
  seen(): string {
    const { networks, apart, conflicts } = this.keeper.resolution;
    const line = ({ id, aliases, value }: (typeof networks)[number]): string =>
      [value.name, id, [...aliases].sort().join('+'), value.vni, value.subnet, value.encrypted].join(' ');
    return [
      ...networks.map(line),
      ...apart.map((network) => `apart ${line(network)}`),
      ...conflicts.map(({ reason, rejectedId }) => `conflict ${reason} ${rejectedId}`),
    ].join('\n');
  }
}

/** One host more: n1 at 10.0.0.1 and so on, all join n1 and n2. Wall clocks are two seconds apart from host to host. */
export function addNetworksHost(sim: Simulation): SimNode {
  const i = sim.nodes.length + 1;
  const disk: Disk = { saved: undefined, writes: 0 };
  const wall = (): number => WALL_MS + i * 2_000 + sim.now;
  return sim.addNode({
    name: `n${i}`,
    ip: `10.0.0.${i}`,
    seeds: SEEDS,
    meta: encodeMeta({ stateProtocolMin: 1, stateProtocolMax: 1, epoch: BigInt(WALL_MS) }),
    layer: ({ name, rng, now }) =>
      new NetworksLayer(name, rng, BigInt(WALL_MS + Math.floor(now)), now, wall, disk),
  });
}

/** The layer of a running node. */
export function networksOf(node: SimNode): NetworksLayer {
  if (!(node.layer instanceof NetworksLayer)) throw new Error(`${node.name} is not running`);
  return node.layer;
}

export function create(node: SimNode, name: string, wish?: Wish): MadeNetwork {
  let made: MadeNetwork | undefined;
  node.do((_swim, now) => (made = networksOf(node).create(now, name, wish)));
  return made!;
}

export function remove(node: SimNode, name: string): void {
  node.do((_swim, now) => networksOf(node).remove(now, name));
}

export function use(node: SimNode, network: { vni: number; id: string }, endpoints: number): void {
  node.do((_swim, now) => networksOf(node).use(now, network, endpoints));
}

export function names(node: SimNode): string[] {
  return networksOf(node).keeper.resolution.networks.map(({ value }) => value.name);
}

/** All see the very same. */
export function agree(nodes: readonly SimNode[]): boolean {
  return new Set(nodes.map((node) => networksOf(node).seen())).size === 1;
}
