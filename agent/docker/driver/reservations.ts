/**
 * Addresses that the user keeps off containers (`--aux-address`). Docker asks for them before it creates the network, so they
 * are written down then, and claimed from all hosts when it is known which network their pool is of; once more when that was
 * removed and made again. Another host may have kept one off before, in the same words: then it is that host's.
 */
import { OverlaydError } from '../../errors.ts';
import type { NetworkDefinition } from '../../networks/interface.ts';
import type { AddressRecord, PoolRecord } from './book.ts';
import type { DriverDeps } from './deps.ts';

type Overlay = Pick<NetworkDefinition, 'id' | 'name' | 'gateway' | 'gateway6'>;

export class Reservations {
  readonly #deps: Pick<DriverDeps, 'book' | 'networks' | 'addresses' | 'log'>;
  /** By pool; two at a time would take each other for another host. */
  readonly #running = new Map<string, Promise<void>>();
  /** Network in which an address could not be claimed, by pool and address; said once. */
  readonly #tried = new Map<string, string>();

  constructor(deps: Pick<DriverDeps, 'book' | 'networks' | 'addresses' | 'log'>) {
    this.#deps = deps;
  }

  /** Claims what was not tried in this network yet, or all that is not claimed. Does not throw. */
  async claim(pool: PoolRecord, overlay: Overlay, what: 'new' | 'all' = 'new'): Promise<void> {
    const isOpen = (address: AddressRecord): boolean => this.#isOpen(address, overlay, what);
    const { book } = this.#deps;
    // Thousands of containers may start on it.
    if (!book.addresses(pool.id).some(isOpen)) return;
    const done = (this.#running.get(pool.id) ?? Promise.resolve()).then(async () => {
      for (const address of book.addresses(pool.id).filter(isOpen)) await this.#claim(pool, address, overlay);
    });
    this.#running.set(pool.id, done);
    await done;
    if (this.#running.get(pool.id) === done) this.#running.delete(pool.id);
  }

  #isOpen(address: AddressRecord, { id, gateway, gateway6 }: Overlay, what: 'new' | 'all'): boolean {
    const { use, ip, claimedIn } = address;
    // The network keeps its gateways off by itself.
    if (use !== 'reserved' || ip === gateway || ip === gateway6) return false;
    if (claimedIn !== undefined && this.#deps.networks.find(claimedIn)?.id === id) return false;
    return what === 'all' || this.#tried.get(keyOf(address)) !== id;
  }

  async #claim({ family }: PoolRecord, address: AddressRecord, { id, name }: Overlay): Promise<void> {
    const { book, addresses, log } = this.#deps;
    const { pool, ip } = address;
    const isNews = this.#tried.get(keyOf(address)) !== id;
    this.#tried.set(keyOf(address), id);
    try {
      await addresses.request(id, { address: ip, family, purpose: 'reserved' });
      this.#tried.delete(keyOf(address));
      await this.#keep(address, id);
    } catch (err) {
      // A container was about to get it here, and it was kept off in that moment.
      if (!isNews || book.address(pool, ip)?.claimedIn === id) return;
      const fields = { err, network: name, ip };
      if (err instanceof OverlaydError && err.code === 'OVL_ADDRESS_TAKEN') {
        log.info(fields, 'an --aux-address is kept off, or used, by another host already');
      } else log.warn(fields, 'an --aux-address could not be kept off');
    }
  }

  /** Claimed, unless Docker has given it back meanwhile or it cannot be written down. */
  async #keep(address: AddressRecord, id: string): Promise<void> {
    const { book, addresses } = this.#deps;
    const { pool, ip } = address;
    try {
      if (book.address(pool, ip)?.use === 'reserved') {
        book.putAddress({ ...address, claimedIn: id });
        return;
      }
    } catch (error) {
      await addresses.release(id, ip);
      throw error;
    }
    await addresses.release(id, ip);
  }
}

function keyOf({ pool, ip }: AddressRecord): string {
  return `${pool} ${ip}`;
}
