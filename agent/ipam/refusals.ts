/** Why an address cannot be had, or a host's addresses not be taken over: in words, with the cure. */
import { anyHolds } from '../../proto/ipam/block.ts';
import type { ReclaimAnswer } from '../../proto/ipam/range-pool.ts';
import { OverlaydError } from '../errors.ts';
import type { NetworkPool } from './network-pool.ts';

export function refusalOf(
  pool: NetworkPool,
  address: bigint,
  reason: 'used' | 'special' | 'outside',
): OverlaydError {
  const text = pool.text(address);
  const { name, subnet } = pool.network;
  if (reason === 'used' && anyHolds(pool.pool.holding.estate.docker, address))
    return keptForDocker(pool, address, 'this host');
  if (reason === 'used')
    return new OverlaydError(
      'OVL_ADDRESS_TAKEN',
      `${text} of "${name}" is taken: it is in use on this host`,
      {
        hint: 'Choose another address, or none: then a free one is taken.',
      },
    );
  const why = reason === 'special' ? 'is the network, broadcast or gateway address of' : 'does not lie in';
  return new OverlaydError('OVL_ADDRESS_INVALID', `${text} ${why} ${subnet} of network "${name}"`, {
    hint: 'Choose another address.',
    exitCode: 2,
  });
}

/** In the block that Docker's own address management on that host hands out from. */
export function keptForDocker(pool: NetworkPool, address: bigint, host: string): OverlaydError {
  return new OverlaydError(
    'OVL_ADDRESS_TAKEN',
    `${pool.text(address)} of "${pool.network.name}" is taken: it is in the --ip-range of Docker on ${host}`,
    {
      hint: 'Choose another address ("overlayd networks ranges" shows these blocks), or none: then a free one is taken.',
    },
  );
}

export function takenOn(pool: NetworkPool, address: bigint, host: string): OverlaydError {
  return new OverlaydError(
    'OVL_ADDRESS_TAKEN',
    `${pool.text(address)} of "${pool.network.name}" is taken: it is in use on ${host}`,
    {
      hint: `Choose another address, or none: then a free one is taken. To have this one here, first stop on ${host} what has it.`,
    },
  );
}

export function reclaimRefusal(
  pool: NetworkPool,
  host: string,
  answer: ReclaimAnswer | undefined,
): OverlaydError {
  const { name } = pool.network;
  if (answer?.done === false && answer.reason === 'alive')
    return new OverlaydError('OVL_RECLAIM_ALIVE', `host "${host}" was heard only just now`, {
      hint: 'Stop overlayd there first, and wait ten seconds: what it has is taken over only when it is silent.',
    });
  if (answer?.done === false && answer.reason === 'not-our-ward') {
    const { guardian } = answer;
    return new OverlaydError(
      'OVL_RECLAIM_ELSEWHERE',
      `another host keeps the ranges of "${host}" in network "${name}"`,
      {
        hint:
          guardian === undefined
            ? 'Run this on the other hosts: one of them has the copy.'
            : `Run this on ${guardian}; if that is gone too, first take over what it had.`,
      },
    );
  }
  return new OverlaydError(
    'OVL_RECLAIM_WAITING',
    `the ranges of "${host}" in network "${name}" stay its own`,
    {
      hint: 'The host that keeps the second copy has not agreed, or this host has not heard from its own guardian: bring one of these back, or wait for --range-lease.',
    },
  );
}
