/**
 * Which network a host means by a VNI: where two networks came to one VNI in a split, they stay two.
 *
 * Hosts say it by the id in their interest; those that have a network in their configuration mean that. Among
 * configurations alone traffic goes by VNI, whatever the networks are called. Who does not say means whatever has the VNI.
 */
import { WireError } from '../state/bytes.ts';
import { decodeInterest } from '../state/values/interest.ts';
import type { MeaningOf } from '../view/rows.ts';
import type { NetworkResolution } from './resolve.ts';

const CONFIGURED = 'configured';

export function meaningsBy({ networks, apart }: NetworkResolution): MeaningOf {
  const byId = new Map<string, string>();
  const byOwner = new Map<string, string>();
  for (const { id, aliases, made, definers, value } of [...networks, ...apart]) {
    const meaning = made === undefined ? CONFIGURED : id;
    for (const known of [id, ...aliases]) byId.set(known, meaning);
    for (const owner of definers) byOwner.set(`${owner} ${value.vni}`, meaning);
  }
  return (vni, owner, interest) => {
    const id = idIn(interest);
    // An id that has not been heard of yet means itself, until it is.
    return id === undefined ? byOwner.get(`${owner} ${vni}`) : (byId.get(id) ?? id);
  };
}

function idIn(interest: Uint8Array): string | undefined {
  try {
    return decodeInterest(interest).id;
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return undefined;
  }
}
