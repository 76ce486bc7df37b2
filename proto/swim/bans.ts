import type { Address } from '../env.ts';
import { addressKey } from './peer.ts';

/**
 * Hosts that we have nothing to do with any more: nothing of what comes from there is read, their names are nobody's, and
 * nothing is sent to them. Membership is not signed, so this goes by name and address; what a host with the cluster key
 * says under another name and from elsewhere is another host's word here.
 */
export interface Banned {
  readonly name: string;
  /** Where it was last; undefined: not known, or somebody else may be there by now. */
  readonly addr: Address | undefined;
}

/** A host that talks on is told of so often. */
const TELL_EVERY_MS = 30_000;

export class Bans {
  #list: readonly Banned[] = [];
  readonly #names = new Set<string>();
  readonly #byAddress = new Map<string, Banned>();
  readonly #byIp = new Map<string, Banned>();
  readonly #toldMs = new Map<string, number>();

  get list(): readonly Banned[] {
    return this.#list;
  }

  /** `addressOf` knows better, or says that another host is there now. */
  set(list: readonly Banned[], addressOf: (banned: Banned) => Address | undefined): void {
    this.#list = list;
    this.#names.clear();
    this.#byAddress.clear();
    this.#byIp.clear();
    for (const { name } of list) this.#names.add(name);
    for (const banned of list) {
      const addr = addressOf(banned);
      if (addr === undefined) continue;
      this.#byAddress.set(addressKey(addr), { ...banned, addr });
      this.#byIp.set(addr.ip, { ...banned, addr });
    }
    for (const name of this.#toldMs.keys()) if (!this.#names.has(name)) this.#toldMs.delete(name);
  }

  hasName(name: string): boolean {
    return this.#names.size > 0 && this.#names.has(name);
  }

  at(addr: Address): Banned | undefined {
    return this.#byAddress.size === 0 ? undefined : this.#byAddress.get(addressKey(addr));
  }

  /** Of a stream only the IP tells. */
  atIp(ip: string): Banned | undefined {
    return this.#byIp.size === 0 ? undefined : this.#byIp.get(ip);
  }

  /** Whether it is to be told of now. */
  mayTell(now: number, { name }: Banned): boolean {
    if (now - (this.#toldMs.get(name) ?? -Infinity) < TELL_EVERY_MS) return false;
    this.#toldMs.set(name, now);
    return true;
  }
}
