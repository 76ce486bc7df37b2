/**
 * Finds and mends where our copy of a log and another's differ although both reach equally far (gossip.md 7.6 step 4).
 *
 *   asker                                   answerer: the owner if it can be had, else whoever differed
 *   TREE 0  sums of the root's children  →
 *                                        ←  TREE 1  of children that differ (none: we are equal)
 *   TREE 2                               →
 *                                        ←  TREE 3  what is in the leaves that differ
 *   TREE 4  keys in question             →
 *                                        ←  DELTA, flag repair: their records
 *
 * The owner's word settles everything. A key that a replica has and its owner does not is buried by the owner under a
 * new version, so that nobody has to be believed about what is absent. Without the owner a replica only takes what it
 * cannot have deleted (Merge.repair). Other heads do no harm: news is taken as news.
 *
 * Bounded: a few comparisons at once, one a log, each of some seconds; too much difference is a snapshot's business.
 */
import { toHex } from './bytes.ts';
import type { Counters } from './counters.ts';
import { DELTA_FLAG, encodeDelta, encodeTree, packBlocks } from './messages.ts';
import type { HeldBlock } from './block.ts';
import { PeerRates } from './peer-rates.ts';
import type { Outbox } from './outbox.ts';
import { URGENCY } from './outbox.ts';
import type { OwnerLog } from './owner-log.ts';
import type { Owners } from './owners.ts';
import type { LogRecord } from './record.ts';
import { recordId } from './record.ts';
import type { Store } from './store.ts';
import { TokenBucket } from './token-bucket.ts';
import { entryOf, judge } from './tree-judge.ts';
import type { TreeId, TreeLeaf, TreeMessage, TreeNode, TreePart } from './tree-wire.ts';
import { TREE_KEYS_MAX } from './tree-wire.ts';
import { HashTree } from './tree.ts';

interface Comparison {
  readonly log: OwnerLog;
  readonly id: number;
  readonly peer: string;
  readonly epoch: bigint;
  readonly isAsker: boolean;
  /** Whom we came to doubt the log by; told to look for itself when we turn out to be right. */
  readonly doubted: string;
  untilMs: number;
  /** Messages that it may still have from the peer. */
  messagesLeft: number;
}

export interface TreeRepairDeps {
  readonly self: string;
  readonly store: Store;
  readonly owners: Owners;
  readonly outbox: Outbox;
  readonly counters: Counters;
  /** Our own log lacks a key that somebody has: says so under a new version. */
  readonly bury: (now: number, scope: number, id: TreeId) => void;
  /** Too much differs: sends the log whole to `peer`, or has the owner send it to us. */
  readonly sendWhole: (log: OwnerLog, peer: string) => void;
  readonly askWhole: (log: OwnerLog) => void;
  /** Somebody doubts our copy: look closer. */
  readonly suspect: (log: OwnerLog, peer: string, atMs: number) => void;
}

const COMPARISONS_MAX = 4;
/** Comparisons that a peer may begin: each may build a tree, 0.1 s for 100,000 records. */
const BEGUN = { perSecond: 0.5, burst: 8 } as const;
/** An honest comparison has at most some twenty from either side. */
const MESSAGES_MAX = 64;
/** Between two messages of a comparison. */
const PATIENCE_MS = 5_000;
const LEAVES_MAX = 1_024;
const LEAF_RECORDS_MAX = 1_024;
const CHUNK_BYTES = 32 * 1_024;
/** About the bytes of one entry of TREE 3 or 4. */
const ENTRY_BYTES = 16;
/** Keys that we bury on the word of others. */
const BURIALS = { burst: 64, perSecond: 1 } as const;

export class TreeRepair {
  readonly #deps: TreeRepairDeps;
  readonly #comparisons = new Map<OwnerLog, Comparison>();
  readonly #burials = new TokenBucket(BURIALS.perSecond, BURIALS.burst);
  readonly #begun = new PeerRates(BEGUN.perSecond, BEGUN.burst);
  #ids = 0;

  constructor(deps: TreeRepairDeps) {
    this.#deps = deps;
  }

  /** Our log differs from the peer's: compares it with the owner's, or where that cannot be had, with the peer's. */
  start(now: number, log: OwnerLog, peer: string): void {
    const { self, store, owners } = this.#deps;
    if (store.log(log.scope, log.owner) !== log) return;
    const partner = log.owner !== self && owners.isPeer(log.owner) ? log.owner : peer;
    if (!owners.isPeer(partner)) return;
    const comparison = this.#open(now, log, { peer: partner, doubted: peer, id: ++this.#ids, isAsker: true });
    if (comparison === undefined) return;
    this.#deps.counters.add('tree:compared');
    this.#send(comparison, { level: 0, nodes: [this.#tree(log).node(0, 0)] });
  }

  handle(now: number, from: string, message: TreeMessage): void {
    const { store, counters } = this.#deps;
    const log = store.log(message.scope, message.owner);
    if (log === undefined || log.epoch !== message.epoch) {
      counters.add('drop:tree');
      return;
    }
    const { part } = message;
    const comparison =
      'nodes' in part && part.level === 0
        ? this.#asked(now, from, log, message)
        : this.#known(from, log, message);
    if (comparison === undefined) return;
    if (comparison.messagesLeft-- <= 0) {
      counters.add('drop:tree-rate');
      return;
    }
    comparison.untilMs = now + PATIENCE_MS;
    if ('nodes' in part) this.#handleNodes(comparison, part.level, part.nodes);
    else if ('leaves' in part) this.#handleLeaves(now, comparison, part.leaves);
    else this.#handleIds(now, comparison, part.ids);
  }

  handleDeadline(now: number): void {
    for (const comparison of this.#comparisons.values())
      if (comparison.untilMs <= now) this.#close(comparison);
  }

  nextDeadline(): number {
    let next = Infinity;
    for (const { untilMs } of this.#comparisons.values()) next = Math.min(next, untilMs);
    return next;
  }

  // Who compares what with whom

  #open(
    now: number,
    log: OwnerLog,
    with_: Pick<Comparison, 'peer' | 'doubted' | 'id' | 'isAsker'>,
  ): Comparison | undefined {
    if (this.#comparisons.has(log)) return undefined;
    if (this.#comparisons.size >= COMPARISONS_MAX) {
      this.#deps.counters.add('drop:tree-busy');
      return undefined;
    }
    const comparison = {
      log,
      epoch: log.epoch,
      untilMs: now + PATIENCE_MS,
      messagesLeft: MESSAGES_MAX,
      ...with_,
    };
    this.#comparisons.set(log, comparison);
    return comparison;
  }

  #close(comparison: Comparison): void {
    comparison.log.tree = undefined;
    this.#comparisons.delete(comparison.log);
  }

  /** Somebody begins. Not the owner, though it is there: then it is the owner that we compare with. */
  #asked(now: number, from: string, log: OwnerLog, { id }: TreeMessage): Comparison | undefined {
    const { self, owners, suspect, counters } = this.#deps;
    if (!owners.isPeer(from)) return undefined;
    if (!this.#begun.take(now, from, 1)) {
      counters.add('drop:tree-rate');
      return undefined;
    }
    const running = this.#comparisons.get(log);
    if (running !== undefined) {
      // Both began: the owner yields.
      const yields = running.peer === from && running.isAsker && log.owner === self;
      if (!yields && !(running.peer === from && !running.isAsker)) return undefined;
      // The tree stays: it is up to date.
      this.#comparisons.delete(log);
    } else if (log.owner !== self && from !== log.owner && owners.isPeer(log.owner)) {
      suspect(log, log.owner, now);
      return undefined;
    }
    return this.#open(now, log, { peer: from, doubted: from, id, isAsker: false });
  }

  #known(from: string, log: OwnerLog, { id }: TreeMessage): Comparison | undefined {
    const known = this.#comparisons.get(log);
    if (known?.peer === from && known.id === id && known.epoch === log.epoch) return known;
    this.#deps.counters.add('drop:tree');
    return undefined;
  }

  // Down the tree

  #handleNodes(comparison: Comparison, level: number, nodes: readonly TreeNode[]): void {
    const { log } = comparison;
    const tree = this.#tree(log);
    const unequal = nodes.flatMap((node) => tree.unequal(level, node));
    if (unequal.length === 0) return this.#equal(comparison, level);
    if (level < 2) {
      return this.#send(comparison, { level: level + 1, nodes: unequal.map((i) => tree.node(level + 1, i)) });
    }
    const isTooMuch =
      unequal.length > LEAVES_MAX || unequal.some((leaf) => tree.leaf(leaf).size > LEAF_RECORDS_MAX);
    if (isTooMuch) return this.#whole(comparison);
    let leaves: TreeLeaf[] = [];
    let bytes = 0;
    for (const leaf of unequal) {
      const entries = [...tree.leaf(leaf).values()].map(entryOf);
      leaves.push({ leaf, entries });
      bytes += ENTRY_BYTES * (1 + entries.length);
      if (bytes < CHUNK_BYTES) continue;
      this.#send(comparison, { leaves });
      [leaves, bytes] = [[], 0];
    }
    if (leaves.length > 0) this.#send(comparison, { leaves });
    return undefined;
  }

  #equal(comparison: Comparison, level: number): void {
    const { log, peer, doubted, isAsker } = comparison;
    const root = this.#tree(log).node(0, 0);
    this.#close(comparison);
    if (level === 0) this.#send(comparison, { level: 1, nodes: [] });
    // We have what the owner has: it is the other that is wrong, and has to look for itself.
    else if (isAsker && peer === log.owner && doubted !== peer) {
      this.#send({ ...comparison, peer: doubted }, { level: 0, nodes: [root] });
    }
  }

  #whole(comparison: Comparison): void {
    const { self, sendWhole, askWhole, counters } = this.#deps;
    const { log, peer } = comparison;
    this.#close(comparison);
    counters.add('divergence');
    if (log.owner === self) sendWhole(log, peer);
    else askWhole(log);
  }

  // At the leaves

  #handleLeaves(now: number, comparison: Comparison, leaves: readonly TreeLeaf[]): void {
    const { log, peer } = comparison;
    const give: LogRecord[] = [];
    const ask: TreeId[] = [];
    for (const leaf of leaves) {
      const verdict = judge(log, this.#tree(log).leaf(leaf.leaf), leaf);
      give.push(...verdict.ahead);
      // What the other side is ahead in, or has under another content: we ask, unless we are the owner.
      if (log.owner !== this.#deps.self) {
        ask.push(...verdict.behind);
        // What is not there at the owner we ask of as well: the answer is that it goes.
        if (peer === log.owner) ask.push(...verdict.ahead);
      } else this.#settle(now, log, verdict.behind, give);
    }
    if (peer !== log.owner) this.#give(comparison, give);
    if (ask.length > TREE_KEYS_MAX) this.#whole(comparison);
    else if (ask.length > 0) this.#send(comparison, { ids: ask.map(({ table, key }) => ({ table, key })) });
  }

  #handleIds(now: number, comparison: Comparison, ids: readonly TreeId[]): void {
    const { log } = comparison;
    const give: LogRecord[] = [];
    this.#settle(now, log, ids, give);
    this.#give(comparison, give);
  }

  /** What we have under these keys; what we as the owner do not have is buried. */
  #settle(now: number, log: OwnerLog, ids: readonly TreeId[], give: LogRecord[]): void {
    const { self, counters, bury } = this.#deps;
    for (const id of ids) {
      const record = log.records.get(recordId(id.table, toHex(id.key)));
      if (record !== undefined) give.push(record);
      else if (log.owner === self && this.#burials.take(now, 1)) {
        counters.add('divergence');
        bury(now, log.scope, id);
      }
    }
  }

  #give({ log, peer }: Comparison, records: readonly LogRecord[]): void {
    const wanted = new Set(records.filter((record) => record.epoch === log.epoch));
    const held = new Set<HeldBlock>();
    for (const { holder } of wanted) {
      const block = log.blocks.get(holder?.from ?? -1);
      if (block !== undefined && block === holder && block.to <= log.have) held.add(block);
    }
    const inOrder = [...held].sort((a, b) => a.to - b.to);
    const blocks = inOrder.map((block) => block.toWire((record) => wanted.has(record)));
    for (const update of packBlocks(log.signed, 0, blocks, CHUNK_BYTES)) {
      this.#deps.outbox.send(URGENCY.relay, peer, encodeDelta(update, DELTA_FLAG.repair), true);
    }
  }

  #tree(log: OwnerLog): HashTree {
    log.tree ??= HashTree.of(log.records.values(), log.epoch);
    return log.tree;
  }

  #send({ log, id, peer }: Comparison, part: TreePart): void {
    this.#deps.outbox.send(URGENCY.control, peer, encodeTree({ ...log.name, id, part }), true);
  }
}
