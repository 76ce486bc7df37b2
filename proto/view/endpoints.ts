/**
 * Says which endpoints are on this host: turns what the data path learns into our endpoint records (gossip.md 7.7).
 *
 * A MAC seen here while another host claims it is announced with that claim's mobility sequence + 1, so all follow it;
 * when a live claim of another outranks ours, ours is withdrawn. A MAC that moves here too often is left alone for a
 * while (two machines with one address would otherwise drive the sequence up for ever).
 *
 * It owns our endpoint records: nobody else writes them. It never blocks the data path: over the limits, it counts.
 */
import { bytesToIp, ipToBytes } from '../memberlist/address.ts';
import type { StateChange, StateNode } from '../state/interface.ts';
import { TABLE } from '../state/interface.ts';
import type { EndpointValue } from '../state/values/endpoint.ts';
import {
  ENDPOINT_IPS_MAX,
  MOBILITY_MAX,
  decodeEndpoint,
  encodeEndpoint,
  mobilityOf,
} from '../state/values/endpoint.ts';
import { macKey, macKeyHex, macOfKeyHex } from '../state/values/mac.ts';
import { MOVE_LIMIT, MOVE_WINDOW_MS, MoveDamper } from './move-damper.ts';

export interface EndpointOptions {
  readonly self: string;
  /** Restored MACs that show no traffic for that long are withdrawn; the data path's ageing time. */
  readonly ageingMs?: number;
  readonly moveLimit?: number;
  readonly moveWindowMs?: number;
}

/** An endpoint of an earlier run of this daemon. */
export interface RestoredEndpoint {
  readonly vni: number;
  readonly mac: number;
  readonly ips: readonly string[];
}

interface Local {
  value: EndpointValue;
  /** Restored and not yet seen: when to give it up. Infinity: the data path has it and says when it ages. */
  confirmByMs: number;
}

const AGEING_MS = 300_000;
/** Counter names. */
const REFUSED = 'endpoint-refused';
const FROZEN = 'endpoint-frozen';
const BAD_IP = 'bad-ip';

export class EndpointAnnouncer {
  readonly #state: StateNode;
  readonly #self: string;
  readonly #ageingMs: number;
  readonly #damper: MoveDamper;
  readonly #locals = new Map<number, Map<number, Local>>();
  readonly #macOfIp = new Map<string, number>();
  readonly #counters = new Map<string, number>();
  #restoredLeft = 0;

  constructor(options: EndpointOptions, state: StateNode) {
    this.#state = state;
    this.#self = options.self;
    this.#ageingMs = options.ageingMs ?? AGEING_MS;
    this.#damper = new MoveDamper(options.moveLimit ?? MOVE_LIMIT, options.moveWindowMs ?? MOVE_WINDOW_MS);
  }

  /** The data path saw a MAC on a port of ours: new, moved here, or moved between ports. */
  handleMacLearned(now: number, vni: number, mac: number): void {
    const local = this.#locals.get(vni)?.get(mac);
    if (local !== undefined) this.#confirm(local);
    const key = `${vni} ${mac}`;
    if (this.#damper.isFrozen(now, key)) {
      this.#count(FROZEN);
      return;
    }
    const rival = this.#rivalMobility(vni, mac);
    if (rival === undefined && local !== undefined) return;
    if (rival !== undefined && local !== undefined && local.value.mobility > rival) return;
    if (rival !== undefined) this.#damper.moved(now, key);
    const mobility = rival === undefined ? 0 : Math.min(rival + 1, MOBILITY_MAX);
    const value = { ...(local?.value ?? { ips: this.#rivalIps(vni, mac), flags: 0, name: '' }), mobility };
    this.#write(now, vni, mac, { value, confirmByMs: Infinity });
  }

  /** The data path has not seen a local MAC for the ageing time. */
  handleMacExpired(now: number, vni: number, mac: number): void {
    this.#withdraw(now, vni, mac);
  }

  /** A local MAC uses an address. It belongs to one local MAC at a time: the last one that used it. */
  handleIpLearned(now: number, vni: number, mac: number, ip: string): void {
    const text = canonical(ip);
    if (text === undefined) {
      this.#count(BAD_IP);
      return;
    }
    const local = this.#locals.get(vni)?.get(mac);
    if (local === undefined) return;
    this.#confirm(local);
    const holder = this.#macOfIp.get(`${vni} ${text}`);
    if (holder === mac) return;
    if (holder !== undefined) this.#dropIp(now, vni, holder, text);
    const ips = [...local.value.ips.filter((known) => known !== text), text].slice(-ENDPOINT_IPS_MAX);
    this.#write(now, vni, mac, { ...local, value: { ...local.value, ips } });
  }

  /** State changed under a key: if another live owner now outranks our claim there, ours goes. */
  handleChange(now: number, change: StateChange): void {
    if (change.table !== TABLE.endpoint) return;
    const mac = macOfKeyHex(change.keyHex);
    if (mac === undefined || this.#locals.get(change.scope)?.has(mac) !== true) return;
    const best = this.#state.claims(change.scope, TABLE.endpoint, change.keyHex)[0];
    if (best !== undefined && best.owner !== this.#self && !best.held) this.#withdraw(now, change.scope, mac);
  }

  /** Says again what an earlier run said, so that nobody's tables change; unconfirmed ones go after the ageing time. */
  restore(now: number, endpoints: readonly RestoredEndpoint[]): void {
    for (const { vni, mac, ips } of endpoints) {
      if (this.#locals.get(vni)?.has(mac) === true || this.#rivalMobility(vni, mac) !== undefined) continue;
      const texts = ips.map(canonical).filter((ip) => ip !== undefined);
      const value = { mobility: 0, ips: texts.slice(0, ENDPOINT_IPS_MAX), flags: 0, name: '' };
      if (this.#write(now, vni, mac, { value, confirmByMs: now + this.#ageingMs })) this.#restoredLeft++;
    }
  }

  /** A network is gone from this host: so are our claims in it. */
  removeNetwork(now: number, vni: number): void {
    for (const mac of this.#locals.get(vni)?.keys() ?? []) this.#withdraw(now, vni, mac);
  }

  handleDeadline(now: number): void {
    this.#damper.takeThawed(now);
    if (this.#restoredLeft === 0) return;
    for (const [vni, locals] of this.#locals) {
      for (const [mac, local] of locals) if (local.confirmByMs <= now) this.#withdraw(now, vni, mac);
    }
  }

  nextDeadline(): number {
    let next = this.#damper.nextThaw();
    if (this.#restoredLeft === 0) return next;
    for (const locals of this.#locals.values()) {
      for (const local of locals.values()) next = Math.min(next, local.confirmByMs);
    }
    return next;
  }

  /** What is to be restored by the next run. */
  *announced(): Generator<RestoredEndpoint> {
    for (const [vni, locals] of this.#locals) {
      for (const [mac, { value }] of locals) yield { vni, mac, ips: value.ips };
    }
  }

  /** "endpoint-refused" (state is full), "endpoint-frozen" (moves too often), "bad-ip". */
  counters(): ReadonlyMap<string, number> {
    return this.#counters;
  }

  /** Highest mobility sequence among the claims of others; undefined when there is none. */
  #rivalMobility(vni: number, mac: number): number | undefined {
    let highest: number | undefined;
    for (const { owner, value } of this.#state.claims(vni, TABLE.endpoint, macKeyHex(mac))) {
      const mobility = owner === this.#self ? undefined : mobilityOf(value);
      if (mobility !== undefined && (highest === undefined || mobility > highest)) highest = mobility;
    }
    return highest;
  }

  /** A MAC that moves here brings its addresses along, until it shows others. */
  #rivalIps(vni: number, mac: number): readonly string[] {
    for (const { owner, value } of this.#state.claims(vni, TABLE.endpoint, macKeyHex(mac))) {
      if (owner !== this.#self && mobilityOf(value) !== undefined) return decodeEndpoint(value).ips;
    }
    return [];
  }

  #write(now: number, vni: number, mac: number, local: Local): boolean {
    try {
      this.#state.put(now, vni, TABLE.endpoint, macKey(mac), encodeEndpoint(local.value));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.#count(REFUSED);
      return false;
    }
    this.#forgetIps(vni, mac);
    for (const ip of local.value.ips) this.#macOfIp.set(`${vni} ${ip}`, mac);
    const locals = this.#locals.get(vni);
    if (locals === undefined) this.#locals.set(vni, new Map([[mac, local]]));
    else locals.set(mac, local);
    return true;
  }

  #withdraw(now: number, vni: number, mac: number): void {
    const locals = this.#locals.get(vni);
    const local = locals?.get(mac);
    if (local === undefined) return;
    this.#confirm(local);
    this.#forgetIps(vni, mac);
    locals!.delete(mac);
    if (locals!.size === 0) this.#locals.delete(vni);
    this.#state.delete(now, vni, TABLE.endpoint, macKey(mac));
  }

  #dropIp(now: number, vni: number, mac: number, ip: string): void {
    const local = this.#locals.get(vni)?.get(mac);
    if (local === undefined) return;
    const value = { ...local.value, ips: local.value.ips.filter((known) => known !== ip) };
    this.#write(now, vni, mac, { ...local, value });
  }

  #forgetIps(vni: number, mac: number): void {
    for (const ip of this.#locals.get(vni)?.get(mac)?.value.ips ?? []) {
      if (this.#macOfIp.get(`${vni} ${ip}`) === mac) this.#macOfIp.delete(`${vni} ${ip}`);
    }
  }

  #confirm(local: Local): void {
    if (local.confirmByMs === Infinity) return;
    local.confirmByMs = Infinity;
    this.#restoredLeft--;
  }

  #count(name: string): void {
    this.#counters.set(name, (this.#counters.get(name) ?? 0) + 1);
  }
}

/** The one text of an address; undefined when it is none. */
function canonical(ip: string): string | undefined {
  const bytes = ipToBytes(ip);
  return bytes && bytesToIp(bytes);
}
