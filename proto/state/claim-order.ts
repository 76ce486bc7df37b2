/**
 * Which of several owners' claims on one key stands (gossip.md 7.7): the reader's rule, the same everywhere.
 *
 * Live owner before held; for endpoints the higher mobility sequence (RFC 7432 15); then the higher HLC; then the lower
 * owner name. A claim whose value is bad comes after all that are good.
 */
import type { Claim } from './interface.ts';
import { TABLE } from './interface.ts';
import { mobilityOf } from './values/endpoint.ts';

/** Sorts in place, best first. */
export function orderClaims(table: number, claims: Claim[]): readonly Claim[] {
  if (claims.length < 2) return claims;
  if (table !== TABLE.endpoint) return claims.sort(byTime);
  const mobility = new Map(claims.map((claim) => [claim, mobilityOf(claim.value) ?? -1]));
  return claims.sort((a, b) => {
    const ma = mobility.get(a)!;
    const mb = mobility.get(b)!;
    if (ma < 0 !== mb < 0) return ma < 0 ? 1 : -1;
    if (a.held !== b.held) return a.held ? 1 : -1;
    return ma === mb ? byTime(a, b) : mb - ma;
  });
}

function byTime(a: Claim, b: Claim): number {
  if (a.held !== b.held) return a.held ? 1 : -1;
  if (a.hlc !== b.hlc) return a.hlc > b.hlc ? -1 : 1;
  return a.owner < b.owner ? -1 : 1;
}
