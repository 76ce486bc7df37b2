import type { StateChange, StateNode } from '../../proto/state/interface.ts';
import { EndpointAnnouncer } from '../../proto/view/endpoints.ts';
import type { RestoredEndpoint, SaidEndpoint } from '../../proto/view/endpoints.ts';
import { ForwardingView } from '../../proto/view/forwarding.ts';
import type { MeaningOf, OwnNetwork, StaticPeer } from '../../proto/view/rows.ts';
import { macText } from '../../proto/state/values/mac.ts';
import { monotonicMs } from '../clock.ts';
import type { Dataplane, DataplaneEvent, FdbRow, TableChange } from '../dataplane/dataplane.ts';
import type { Log } from '../log.ts';
import { DeadlineTimer } from './deadline-timer.ts';
import type { Notices } from './notices.ts';

/**
 * Keeps the data path's tables equal to what the replicated state says, and the state's endpoint records equal to what
 * the data path has learnt locally.
 *
 * Both directions are level-triggered: the view recomputes the rows under a changed key from all claims on it, and an
 * auditor compares wanted with actual rows, repairs and counts (checklist 3.10: tables that drift are the commonest
 * illness of overlays).
 */

const AUDIT_INTERVAL_MS = 5_000;

type LocalEndpoint = SaidEndpoint & { readonly mac: number };

export interface ReconcilerOptions {
  readonly self: string;
  readonly networks: readonly OwnNetwork[];
  readonly staticPeers: readonly StaticPeer[];
  /** Largest UDP payload to a peer of which nothing else is known, bytes. */
  readonly maxPayload: number;
  /** How often wanted and actual rows are compared. */
  readonly auditIntervalMs?: number;
  readonly notices?: Notices;
  readonly log: Log;
}

export class Reconciler {
  readonly view: ForwardingView;
  readonly #announcer: EndpointAnnouncer;
  readonly #dataplane: Dataplane;
  /** By the data path's index. */
  readonly #vnis = new Map<number, number>();
  readonly #notices: Notices | undefined;
  readonly #log: Log;
  /** To be called after endpoint records may have been written. */
  readonly #wrote: () => void;
  readonly #timer = new DeadlineTimer(() => {
    const now = monotonicMs();
    this.view.handleDeadline(now);
    this.#announcer.handleDeadline(now);
    this.#settle();
  });
  readonly #audit: NodeJS.Timeout;
  #repairs = 0;

  constructor(options: ReconcilerOptions, state: StateNode, dataplane: Dataplane, wrote: () => void) {
    this.#dataplane = dataplane;
    this.#notices = options.notices;
    this.#log = options.log;
    this.#wrote = wrote;
    const { self, maxPayload } = options;
    this.view = new ForwardingView({ self, maxPayload }, state);
    const isStranger = (vni: number, owner: string): boolean => this.view.isStranger(vni, owner);
    this.#announcer = new EndpointAnnouncer({ self, isStranger }, state);
    dataplane.apply(options.networks.map((network) => ({ op: 'network-put', ...network })));
    this.view.setStaticPeers(options.staticPeers);
    this.#setNetworks(options.networks);
    dataplane.onEvent((event) => {
      this.#handleEvent(event);
    });
    this.#audit = setInterval(() => {
      this.#compare();
    }, options.auditIntervalMs ?? AUDIT_INTERVAL_MS);
    this.#settle();
  }

  /** The networks that this host takes part in, from now on; endpoints of those that end are taken back. */
  setNetworks(networks: readonly OwnNetwork[]): void {
    this.#setNetworks(networks);
    this.#settle();
  }

  #setNetworks(networks: readonly OwnNetwork[]): void {
    const now = monotonicMs();
    const vnis = new Set(networks.map(({ vni }) => vni));
    for (const vni of this.#vnis.values()) if (!vnis.has(vni)) this.#announcer.removeNetwork(now, vni);
    this.#vnis.clear();
    for (const { network, vni } of networks) this.#vnis.set(network, vni);
    this.view.setNetworks(now, networks);
  }

  /** Which networks hosts mean by a VNI; to be given anew when that may have changed. */
  setMeaning(meaningOf: MeaningOf): void {
    this.view.setMeaning(monotonicMs(), meaningOf);
    this.#settle();
  }

  /** An endpoint is here by somebody's word. */
  say(vni: number, mac: number, said: SaidEndpoint): void {
    this.#announcer.say(monotonicMs(), vni, mac, said);
    this.#settle();
  }

  takeBack(vni: number, mac: number): void {
    this.#announcer.takeBack(monotonicMs(), vni, mac);
    this.#settle();
  }

  /** Endpoints of this host on a network, and the first few of them; but for one MAC, that of the TAP itself. */
  locals(vni: number, most: number, except?: number): { count: number; first: LocalEndpoint[] } {
    const first: LocalEndpoint[] = [];
    for (const local of this.#announcer.locals(vni)) {
      if (first.length >= most) break;
      if (local.mac !== except) first.push(local);
    }
    return { count: this.#announcer.count(vni, except), first };
  }

  /** Records changed: look again at each key. */
  handleChanges(changes: readonly StateChange[]): void {
    const now = monotonicMs();
    for (const change of changes) {
      this.view.handleChange(now, change);
      this.#announcer.handleChange(now, change);
    }
    this.#settle();
  }

  setStaticPeers(peers: readonly StaticPeer[]): void {
    this.view.setStaticPeers(peers);
    this.#settle();
  }

  /** Says again which endpoints an earlier run had, so that nobody forgets them over our restart. */
  restore(endpoints: readonly RestoredEndpoint[]): void {
    const vnis = new Set(this.#vnis.values());
    const ours = endpoints.filter(({ vni }) => vnis.has(vni));
    this.#announcer.restore(monotonicMs(), ours);
    this.#settle();
  }

  /** What reaches a peer of the data path's tables unfragmented, bytes of UDP payload. */
  setMaxPayload(peer: number, maxPayload: number): void {
    this.view.setMaxPayload(peer, maxPayload);
    this.#settle();
  }

  announced(): Iterable<RestoredEndpoint> {
    return this.#announcer.announced();
  }

  /** Rows that the auditor had to put right since the start. */
  get repairs(): number {
    return this.#repairs;
  }

  close(): void {
    this.#timer.stop();
    clearInterval(this.#audit);
  }

  #handleEvent(event: DataplaneEvent): void {
    const now = monotonicMs();
    if (event.type === 'command-failed') {
      this.#log.error({ op: event.op }, 'the packet core refused a table row: a table is full');
      return;
    }
    // Of a network that we have left in this moment: none.
    const vni = 'network' in event ? this.#vnis.get(event.network) : undefined;
    if (vni === undefined) return;
    switch (event.type) {
      case 'mac-learned':
        this.#announcer.handleMacLearned(now, vni, event.mac);
        break;
      case 'mac-expired':
        this.#announcer.handleMacExpired(now, vni, event.mac);
        break;
      case 'ip-learned':
        this.#announcer.handleIpLearned(now, vni, event.mac, event.ip);
        break;
      default:
        return;
    }
    this.#settle();
  }

  #settle(): void {
    const changes = this.view.takeChanges();
    if (changes.length > 0) this.#dataplane.apply(changes);
    for (let event = this.view.pollEvent(); event !== undefined; event = this.view.pollEvent()) {
      this.#notices?.note(monotonicMs(), {
        check: 'duplicate-mac',
        severity: 'error',
        what: `MAC ${macText(event.mac)} of VNI ${event.vni} moves to and fro between ${event.owners.join(' and ')}; it is held at the first`,
        cure: "Docker's MACs follow from the address: give each host an --ip-range of its own, and restart one of the containers.",
      });
      this.#log.warn(
        { vni: event.vni, mac: macText(event.mac), owners: event.owners },
        'duplicate MAC: several hosts claim it in turn; it is frozen at the first of them',
      );
    }
    this.#timer.arm(Math.min(this.view.nextDeadline(), this.#announcer.nextDeadline()));
    this.#wrote();
  }

  /** Wanted against actual forwarding rows. Local rows are the data path's own, learnt ones are no business of ours. */
  #compare(): void {
    const actual = new Map<string, FdbRow>();
    for (const row of this.#dataplane.fdb()) actual.set(rowKey(row.network, row.mac), row);
    const repairs: TableChange[] = [];
    for (const row of this.view.wanted()) {
      if (row.op !== 'fdb-put') continue;
      const key = rowKey(row.network, row.mac);
      const found = actual.get(key);
      actual.delete(key);
      // A local row here is a MAC that has just moved to this host: its claim is on the way.
      if (found === undefined || (!found.local && found.destination !== row.peer)) repairs.push(row);
    }
    for (const { network, mac, local, learned } of actual.values()) {
      if (!local && !learned) repairs.push({ op: 'fdb-del', network, mac });
    }
    if (repairs.length === 0) return;
    this.#repairs += repairs.length;
    this.#log.warn(
      { rows: repairs.length },
      'forwarding rows differed from the cluster state and were put right',
    );
    this.#dataplane.apply(repairs);
  }
}

function rowKey(network: number, mac: number): string {
  return `${network} ${mac}`;
}
