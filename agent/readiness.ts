/** Why a daemon that runs is of no use yet, or no more: for status, `/readyz` and the doctor. */
export const NOT_READY = {
  alone: {
    what: 'it has not found another host yet',
    cure: 'The lines about seeds and peers say why; a first host alone needs no --join.',
  },
  left: {
    what: 'it has left the cluster, and what it shows of others is as it was then',
    cure: '"overlayd join ADDR" brings it back.',
  },
  revoked: {
    what: 'it is revoked: the others have nothing to do with it any more',
    cure: 'If that is a mistake, say "overlayd revoke --undo" on a host that is a member.',
  },
} as const;

export type NotReady = keyof typeof NOT_READY;
