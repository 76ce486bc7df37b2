/**
 * Rows of the data path's tables as the view wants them.
 *
 * Structurally what the agent's data path takes (TableChange); declared here because proto knows no agent.
 * MACs are numbers (48 bits), IPs canonical text; `network` and `peer` are small integers.
 */
export interface PeerRow {
  readonly peer: number;
  readonly addr: string;
  readonly port: number;
  /** Largest UDP payload that reaches it unfragmented, bytes. */
  readonly maxPayload: number;
  /** Learn MACs from its frames: it speaks no gossip (static peer). */
  readonly learn: boolean;
}

/** A row that ought to be there. */
export type WantedRow =
  | ({ readonly op: 'network-put' } & OwnNetwork)
  | ({ readonly op: 'peer-put' } & PeerRow)
  | { readonly op: 'flood-put'; readonly network: number; readonly peer: number }
  | FdbPut
  | { readonly op: 'neighbour-put'; readonly network: number; readonly ip: string; readonly mac: number };

export interface FdbPut {
  readonly op: 'fdb-put';
  readonly network: number;
  readonly mac: number;
  readonly peer: number;
  readonly pinned: boolean;
}

/** A change to be made, in the order given: puts replace, deletes are of rows that were put. */
export type RowChange =
  | WantedRow
  | { readonly op: 'network-del'; readonly network: number }
  | { readonly op: 'peer-del'; readonly peer: number }
  | { readonly op: 'flood-del'; readonly network: number; readonly peer: number }
  | { readonly op: 'fdb-del'; readonly network: number; readonly mac: number }
  | { readonly op: 'neighbour-del'; readonly network: number; readonly ip: string; readonly mac: number };

/** A network of this host. */
export interface OwnNetwork {
  /** The data path's index for it. */
  readonly network: number;
  readonly vni: number;
  /** Answer ARP and neighbour discovery from the table. */
  readonly suppress: boolean;
  /** Nothing of it goes, or is taken, in clear. */
  readonly sealed: boolean;
}

/** A VXLAN endpoint that speaks no gossip. */
export interface StaticPeer {
  readonly addr: string;
  readonly port: number;
  readonly vni: number;
  /** MACs known to be behind it. */
  readonly macs: readonly number[];
}

/**
 * Which network an owner means by a VNI, by what its interest record says; undefined: whatever has the VNI. Two that mean
 * different ones are strangers.
 */
export type MeaningOf = (vni: number, owner: string, interest: Uint8Array) => string | undefined;
