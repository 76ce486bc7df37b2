/** Who has what of a pool, as this host sees it. */
import type { HostRange } from './interface.ts';
import type { NetworkPool } from './network-pool.ts';

export function* rangesOf(pool: NetworkPool, self: string, now: number): Generator<HostRange> {
  const { holding } = pool.pool;
  const text = (block: { base: bigint; bits: number }): string => pool.blockText(block);
  const records = [...holding.peers].flatMap(([name, { estate }]) =>
    estate ? [[name, estate] as const] : [],
  );
  for (const [host, record] of [[self, holding.record()] as const, ...records]) {
    if (record.life === 0 || holding.closers.has(record.life) || holding.estate.closed.includes(record.life))
      continue;
    const { own, docker, guardians, gifts } = record.estate;
    const bits = host === self ? undefined : record.freeBits;
    yield {
      host,
      family: pool.family,
      cidrs: own.map(text),
      docker: docker.map(text),
      guardians: guardians.map(({ name }) => name),
      moving: gifts.map(({ block, to }) => ({ cidr: text(block), to })),
      free: bits === undefined ? String(pool.pool.free(now)) : bits < 0 ? '0' : `>=${1n << BigInt(bits)}`,
    };
  }
}
