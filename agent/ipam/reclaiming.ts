/** What a host had that is gone for good, taken over now: in each network, by the host that keeps the copy. */
import type { Block } from '../../proto/ipam/block.ts';
import { OverlaydError } from '../errors.ts';
import type { PoolClock } from './hand-out.ts';
import type { Reclaimed } from './interface.ts';
import type { NetworkPool } from './network-pool.ts';
import { reclaimRefusal } from './refusals.ts';

const RECLAIM_MS = 15_000;

/**
 * In all pools at once, so that the asker waits no longer for many than for one. Throws OverlaydError when it is refused
 * wherever the host has something, or when it has nothing anywhere; refusals beside successes are in what is returned.
 */
export async function reclaim(
  pools: Iterable<NetworkPool>,
  host: string,
  clock: PoolClock,
): Promise<readonly Reclaimed[]> {
  const results = await Promise.all([...pools].map((pool) => reclaimIn(pool, host, clock)));
  const told = results.filter((result) => result !== undefined);
  if (told.some(({ refused }) => refused === undefined)) return told;
  const [first] = told;
  if (first?.refused !== undefined) throw first.refused;
  throw new OverlaydError('OVL_RECLAIM_NOTHING', `host ${JSON.stringify(host)} has no addresses`, {
    hint: '"overlayd networks ranges" shows who has what.',
    exitCode: 5,
  });
}

async function reclaimIn(pool: NetworkPool, host: string, clock: PoolClock): Promise<Reclaimed | undefined> {
  const cidrs = rangesThatStand(pool, host);
  if (cidrs === undefined) return undefined;
  const network = pool.network.name;
  try {
    await reclaimFrom(pool, host, clock);
    return { network, cidrs };
  } catch (refused) {
    if (!(refused instanceof OverlaydError)) throw refused;
    return { network, cidrs: [], refused };
  }
}

/** undefined: it has none here, or they were taken over already, by us or by another host. */
function rangesThatStand(pool: NetworkPool, host: string): string[] | undefined {
  const { peers, wards, closers, estate: ours } = pool.pool.holding;
  const texts = (blocks: readonly Block[]): string[] => blocks.map((block) => pool.blockText(block));
  const ward = wards.get(host);
  if (ward !== undefined) return texts(ward.estate.own);
  const had = peers.get(host)?.estate;
  if (had === undefined || had.life === 0) return undefined;
  return closers.has(had.life) || ours.closed.includes(had.life) ? undefined : texts(had.estate.own);
}

async function reclaimFrom(pool: NetworkPool, host: string, clock: PoolClock): Promise<void> {
  const answer = await pool.until(() => {
    const now = clock.now();
    const given = pool.pool.reclaim(now, host);
    pool.save(now);
    clock.soon();
    return given.done || (given.reason !== 'waiting' && given.reason !== 'not-ready') ? given : undefined;
  }, RECLAIM_MS);
  if (answer?.done === true) return;
  pool.pool.unwant(host);
  clock.soon();
  throw reclaimRefusal(pool, host, answer);
}
