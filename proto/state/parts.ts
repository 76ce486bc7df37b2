/**
 * The parts of a State and how they are joined: what each is given at birth, and the few ways in which one tells another
 * that it does not know of.
 */
import { Bulk } from './bulk.ts';
import { Counters } from './counters.ts';
import { Divergence } from './divergence.ts';
import { Epidemic } from './epidemic.ts';
import { Farewells } from './farewells.ts';
import { FastPath } from './fast-path.ts';
import { Gaps } from './gaps.ts';
import { Heads } from './heads.ts';
import { Hlc } from './hlc.ts';
import { Identities } from './identities.ts';
import { Merge } from './merge.ts';
import type { LogName } from './messages.ts';
import { encodePull } from './messages.ts';
import type { StateConfig, StateDeps } from './options.ts';
import { Outbox, URGENCY } from './outbox.ts';
import { OwnLogs } from './own-logs.ts';
import { Owners } from './owners.ts';
import { Pace } from './pace.ts';
import { Peers } from './peers.ts';
import { Piggyback } from './piggyback.ts';
import { Revocations } from './revocations.ts';
import { Store } from './store.ts';
import { Strangers } from './strangers.ts';
import { SyncClient } from './sync-client.ts';
import { SyncServer } from './sync-server.ts';
import { Targets } from './targets.ts';
import { TreeRepair } from './tree-repair.ts';

export type Parts = ReturnType<typeof makeParts>;

/** Scopes that lost relays are synced early, but not at once: others lost them too. */
const EARLY_SYNC_MS = 1_000;
/** Two hosts that run under one name would outbid each other for ever: ever more slowly, then. */
const RENUMBER_MIN_MS = 1_000;
const RENUMBER_MAX_MS = 64_000;

export function makeParts(config: StateConfig, deps: StateDeps) {
  const { rng, wall, signer, verifier } = deps;
  const { node: self, packetBytes } = config;
  const counters = new Counters();
  const hlc = new Hlc(wall);
  const owners = new Owners(self, config.deadHoldMs);
  const store = new Store(self, owners, config.recordsPerLog, config.ownersPerScope);
  const identities = new Identities(self, signer.publicKey, deps.identities ?? {});
  owners.isVoid = (name) => identities.isVoidName(name);
  identities.isMember = (name) => owners.isMember(name);
  const ownLogs = new OwnLogs(config, store, hlc, signer, verifier);
  const { recordsPerLog } = config;
  const selfKey = signer.publicKey;
  const strangers = new Strangers(store, owners, identities);
  const inner = {
    self,
    selfKey,
    store,
    owners,
    identities,
    strangers,
    verifier,
    hlc,
    counters,
    recordsPerLog,
  };
  const merge = new Merge(inner);
  const targets = new Targets(self, store, rng);
  const { fault } = deps;
  const outbox = new Outbox(config.rateBytes, config.burstBytes, () => counters.add('drop:outbox'), fault);
  const bulk = new Bulk({ self, signer, verifier, fault });
  const epidemic = new Epidemic(store, targets, outbox, counters);
  const heads = new Heads(targets, outbox, packetBytes);
  const gaps = new Gaps({ self, store, owners, outbox, rng });
  const piggyback = new Piggyback();
  const divergence = new Divergence();
  const client = new SyncClient(store, targets, outbox, rng, config.syncIntervalMs);
  const farewells = new Farewells();
  const revocations = new Revocations({
    self,
    signer,
    verifier,
    wall,
    store,
    owners,
    identities,
    ownLogs,
    counters,
    saved: deps.revocations ?? [],
  });
  const peers = new Peers({
    self,
    rng,
    owners,
    store,
    ownLogs,
    heads,
    gaps,
    merge,
    bulk,
    client,
    identities,
    strangers,
    farewells,
    counters,
  });
  const fastPath = new FastPath({
    ownLogs,
    merge,
    targets,
    outbox,
    epidemic,
    heads,
    gaps,
    piggyback,
    counters,
  });

  /** Our own log as somebody else has it, signed by us. Ahead of ours: we are a clone, or have lost our memory. */
  const pace = new Pace(RENUMBER_MIN_MS, RENUMBER_MAX_MS);
  const isAhead = (name: LogName, head: number): boolean => {
    const have = ownLogs.log(name.scope)?.have ?? 0;
    return name.epoch > ownLogs.epoch || (name.epoch === ownLogs.epoch && head > have);
  };
  merge.onOwn = (now, name, head) => {
    if (!isAhead(name, head) || !pace.take(now)) return;
    counters.add('renumbered');
    ownLogs.renumber(now, name.epoch + 1n);
  };
  const hintPace = new Pace(RENUMBER_MIN_MS, RENUMBER_MAX_MS);
  const onOwnHint = (now: number, from: string, name: LogName, head: number): void => {
    if (!isAhead(name, head) || !owners.isPeer(from) || !hintPace.take(now)) return;
    // Whoever has it can show our signature.
    outbox.send(URGENCY.control, from, encodePull(name, Math.max(0, head - 1)), false);
  };
  const tellFarewell = (to: string, owner: string, epoch: bigint): boolean => {
    const bytes = farewells.of(owner, epoch);
    if (bytes !== undefined) outbox.send(URGENCY.relay, to, bytes, false);
    return bytes !== undefined;
  };
  const server = new SyncServer({
    self,
    packetBytes,
    store,
    owners,
    strangers,
    outbox,
    bulk,
    divergence,
    counters,
    fault,
    isJoining: (scope) => client.isJoining(scope),
    onOwnHint,
    tellFarewell,
  });

  const treeRepair = new TreeRepair({
    self,
    store,
    owners,
    outbox,
    counters,
    bury: (now, scope, { table, key }) => ownLogs.bury(now, scope, table, key),
    sendWhole: (log, peer) => server.sendWhole(log, peer),
    askWhole: (log) => server.askWhole(log),
    suspect: (log, peer, atMs) => divergence.suspect(log, peer, atMs),
  });

  merge.onOwnHint = onOwnHint;
  gaps.onDoubt = (now, log) => {
    counters.add('withheld');
    treeRepair.start(now, log, log.owner);
  };
  divergence.onDue = (now, log, peer) => treeRepair.start(now, log, peer);
  outbox.bulk = () => bulk.next();
  outbox.hasBulk = () => !bulk.isIdle;
  gaps.isComing = (now, log) => merge.isComing(now, log);
  gaps.onGiveUp = (now, scope) => client.trigger(now, scope, undefined);
  epidemic.onOverflow = (now, scope) => client.trigger(now, scope, undefined, EARLY_SYNC_MS);
  // Not all parts: those that only other parts need stay inside.
  const wired = { counters, hlc, owners, store, identities, ownLogs, merge, outbox, epidemic, heads, gaps };
  return {
    ...wired,
    farewells,
    revocations,
    tellFarewell,
    piggyback,
    client,
    server,
    divergence,
    treeRepair,
    peers,
    fastPath,
  };
}
