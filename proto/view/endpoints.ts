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
import { encodeText } from '../state/bytes.ts';
import type { Claim, StateChange, StateNode } from '../state/interface.ts';
import { TABLE } from '../state/interface.ts';
import type { EndpointValue } from '../state/values/endpoint.ts';
import {
  ENDPOINT_IPS_MAX,
  ENDPOINT_NAME_MAX_BYTES,
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
  /** Claims of such owners are of another network, and no rivals. */
  readonly isStranger?: (vni: number, owner: string) => boolean;
}

/** What is known of an endpoint by other means than its frames. */
export interface SaidEndpoint {
  readonly ips: readonly string[];
  /** Short name for people; may be empty. */
  readonly name: string;
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
  /** The data path has seen it, and not said that it aged. */
  isSeen: boolean;
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
  /** Endpoints that are here by somebody's word: they need no frames. */
  readonly #said = new Map<number, Map<number, SaidEndpoint>>();
  readonly #isStranger: (vni: number, owner: string) => boolean;
  readonly #counters = new Map<string, number>();
  #restoredLeft = 0;

  constructor(options: EndpointOptions, state: StateNode) {
    this.#state = state;
    this.#self = options.self;
    this.#isStranger = options.isStranger ?? ((): boolean => false);
    this.#ageingMs = options.ageingMs ?? AGEING_MS;
    this.#damper = new MoveDamper(options.moveLimit ?? MOVE_LIMIT, options.moveWindowMs ?? MOVE_WINDOW_MS);
  }

  /** The data path saw a MAC on a port of ours: new, moved here, or moved between ports. */
  handleMacLearned(now: number, vni: number, mac: number): void {
    const local = this.#locals.get(vni)?.get(mac);
    if (local !== undefined) {
      this.#confirm(local);
      local.isSeen = true;
    }
    const key = `${vni} ${mac}`;
    if (this.#damper.isFrozen(now, key)) {
      this.#count(FROZEN);
      return;
    }
    const rival = this.#rivalMobility(vni, mac);
    if (rival === undefined && local !== undefined) return;
    if (rival !== undefined && local !== undefined && local.value.mobility > rival) return;
    if (rival !== undefined) this.#damper.moved(now, key);
    const said = this.#said.get(vni)?.get(mac) ?? { ips: this.#rivalIps(vni, mac), name: '' };
    const value = { ...(local?.value ?? { ...said, flags: 0 }), mobility: mobilityAfter(rival) };
    this.#write(now, vni, mac, { value, confirmByMs: Infinity, isSeen: true });
  }

  /**
   * An endpoint is here, whether it speaks or not: announced at once, and until `takeBack`. More than the limits allow is cut
   * off; what is no address is left out and counted.
   */
  say(now: number, vni: number, mac: number, { ips, name }: SaidEndpoint): void {
    const texts = ips.map(canonical).filter((ip) => ip !== undefined);
    if (texts.length < ips.length) this.#count(BAD_IP);
    const said = { ips: [...new Set(texts)].slice(0, ENDPOINT_IPS_MAX), name: shortName(name) };
    const all = this.#said.get(vni);
    if (all === undefined) this.#said.set(vni, new Map([[mac, said]]));
    else all.set(mac, said);
    this.#announceSaid(now, vni, mac, said);
  }

  /** It is gone; what the data path still sees of it goes on without a name. */
  takeBack(now: number, vni: number, mac: number): void {
    const all = this.#said.get(vni);
    if (all?.delete(mac) !== true) return;
    if (all.size === 0) this.#said.delete(vni);
    const local = this.#locals.get(vni)?.get(mac);
    if (local?.isSeen === true) this.#write(now, vni, mac, { ...local, value: { ...local.value, name: '' } });
    else this.#withdraw(now, vni, mac);
  }

  #announceSaid(now: number, vni: number, mac: number, said: SaidEndpoint): void {
    const local = this.#locals.get(vni)?.get(mac);
    if (local !== undefined) this.#confirm(local);
    const rival = this.#rivalMobility(vni, mac);
    const isOurs = local !== undefined && (rival === undefined || local.value.mobility > rival);
    const mobility = isOurs ? local.value.mobility : mobilityAfter(rival);
    for (const ip of said.ips) {
      const holder = this.#macOfIp.get(`${vni} ${ip}`);
      if (holder !== undefined && holder !== mac) this.#dropIp(now, vni, holder, ip);
    }
    const value = { ...said, mobility, flags: 0 };
    this.#write(now, vni, mac, { value, confirmByMs: Infinity, isSeen: local?.isSeen ?? false });
  }

  /** The data path has not seen a local MAC for the ageing time. */
  handleMacExpired(now: number, vni: number, mac: number): void {
    const local = this.#locals.get(vni)?.get(mac);
    if (local === undefined) return;
    local.isSeen = false;
    if (this.#said.get(vni)?.has(mac) !== true) this.#withdraw(now, vni, mac);
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
    const vni = change.scope;
    if (mac === undefined) return;
    const said = this.#said.get(vni)?.get(mac);
    const isLocal = this.#locals.get(vni)?.has(mac) === true;
    if (!isLocal && said === undefined) return;
    const [best] = this.#claims(vni, mac);
    const isOthers = best !== undefined && best.owner !== this.#self && !best.held;
    if (isLocal && isOthers) this.#withdraw(now, vni, mac);
    // Somebody else had it for a while, and is gone.
    else if (!isLocal && !isOthers) this.#announceSaid(now, vni, mac, said!);
  }

  /** Says again what an earlier run said, so that nobody's tables change; unconfirmed ones go after the ageing time. */
  restore(now: number, endpoints: readonly RestoredEndpoint[]): void {
    for (const { vni, mac, ips } of endpoints) {
      if (this.#locals.get(vni)?.has(mac) === true || this.#rivalMobility(vni, mac) !== undefined) continue;
      const texts = ips.map(canonical).filter((ip) => ip !== undefined);
      const value = { mobility: 0, ips: texts.slice(0, ENDPOINT_IPS_MAX), flags: 0, name: '' };
      const local = { value, confirmByMs: now + this.#ageingMs, isSeen: false };
      if (this.#write(now, vni, mac, local)) this.#restoredLeft++;
    }
  }

  /** A network is gone from this host: so are our claims in it. */
  removeNetwork(now: number, vni: number): void {
    this.#said.delete(vni);
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

  /** Endpoints of this host on a network, but for one. */
  count(vni: number, except?: number): number {
    const locals = this.#locals.get(vni);
    if (locals === undefined) return 0;
    return locals.size - (except !== undefined && locals.has(except) ? 1 : 0);
  }

  *locals(vni: number): Generator<SaidEndpoint & { readonly mac: number }> {
    for (const [mac, { value }] of this.#locals.get(vni) ?? [])
      yield { mac, ips: value.ips, name: value.name };
  }

  /** "endpoint-refused" (state is full), "endpoint-frozen" (moves too often), "bad-ip". */
  counters(): ReadonlyMap<string, number> {
    return this.#counters;
  }

  /** Highest mobility sequence among the claims of others; undefined when there is none. */
  #rivalMobility(vni: number, mac: number): number | undefined {
    let highest: number | undefined;
    for (const { owner, value } of this.#claims(vni, mac)) {
      const mobility = owner === this.#self ? undefined : mobilityOf(value);
      if (mobility !== undefined && (highest === undefined || mobility > highest)) highest = mobility;
    }
    return highest;
  }

  /** A MAC that moves here brings its addresses along, until it shows others. */
  #rivalIps(vni: number, mac: number): readonly string[] {
    for (const { owner, value } of this.#claims(vni, mac)) {
      if (owner !== this.#self && mobilityOf(value) !== undefined) return decodeEndpoint(value).ips;
    }
    return [];
  }

  #claims(vni: number, mac: number): readonly Claim[] {
    const claims = this.#state.claims(vni, TABLE.endpoint, macKeyHex(mac));
    return claims.filter(({ owner }) => owner === this.#self || !this.#isStranger(vni, owner));
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

function mobilityAfter(rival: number | undefined): number {
  return rival === undefined ? 0 : Math.min(rival + 1, MOBILITY_MAX);
}

/** As much of a name as a record holds. */
function shortName(name: string): string {
  let short = name;
  while (encodeText(short).length > ENDPOINT_NAME_MAX_BYTES) short = short.slice(0, -1);
  return short;
}

/** The one text of an address; undefined when it is none. */
function canonical(ip: string): string | undefined {
  const bytes = ipToBytes(ip);
  return bytes && bytesToIp(bytes);
}
