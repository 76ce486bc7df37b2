/** Collisions in the log: each is said once, however often it is seen. */
import type { Log } from '../log.ts';
import type { AddressCollision } from './interface.ts';

const TOLD_MAX = 256;

export class CollisionLog {
  readonly #log: Log;
  readonly #told = new Set<string>();

  constructor(log: Log) {
    this.#log = log;
  }

  tell(
    network: { readonly id: string; readonly name: string },
    collisions: readonly AddressCollision[],
  ): void {
    for (const collision of collisions) {
      const { address, hosts, kind } = collision;
      // What was taken over was said when it was lost, all of it at once.
      if (kind === 'reclaimed') continue;
      const key = `${network.id} ${address} ${kind} ${hosts.join()}`;
      if (this.#told.has(key)) continue;
      if (this.#told.size >= TOLD_MAX) this.#told.delete(this.#told.values().next().value!);
      this.#told.add(key);
      this.#say(network.name, collision);
    }
  }

  #say(network: string, { address, hosts, owner, kind }: AddressCollision): void {
    const facts = { network, ip: address, peers: hosts, owner };
    const log = this.#log;
    if (kind === 'foreign')
      log.info(
        facts,
        `${address} is in use outside of its host's range; the owner of the range keeps off it`,
      );
    else if (kind === 'docker-range')
      log.warn(
        facts,
        `${address} lies in what Docker of another host hands out: it may come twice; give it another`,
      );
    else log.warn(facts, `duplicate address ${address}: give one of the two another`);
  }
}
