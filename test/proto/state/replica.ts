/**
 * The parts of a State without the State: replicas whose logs a test may damage, and the messages between them counted.
 * Nothing is lost and nothing takes time but what waits for a deadline.
 */
import { SeededRng } from '../../../proto/rng.ts';
import { toHex } from '../../../proto/state/bytes.ts';
import { SYNC_FLAG, decodeMessage, encodeUpdate } from '../../../proto/state/messages.ts';
import type { Message, Update } from '../../../proto/state/messages.ts';
import { withDefaults } from '../../../proto/state/options.ts';
import type { OwnerLog } from '../../../proto/state/owner-log.ts';
import { makeParts } from '../../../proto/state/parts.ts';
import type { Parts } from '../../../proto/state/parts.ts';
import type { LogRecord } from '../../../proto/state/record.ts';
import { recordId } from '../../../proto/state/record.ts';
import { TABLE } from '../../../proto/state/interface.ts';
import { interestKey } from '../../../proto/state/values/interest.ts';
import { macKey, macKeyHex } from '../../../proto/state/values/mac.ts';
import { fakeSigner, fakeVerifier } from './fake-identity.ts';

export const VNI = 7;
const NO_BYTES = new Uint8Array(0);
const WALL_MS = 1_700_000_000_000;

export class Replicas {
  readonly hosts = new Map<string, Parts>();
  now = 1_000;
  /** Bytes of state messages, by kind. */
  readonly bytes = new Map<string, number>();
  messages = 0;

  /** All hold VNI and know each other. */
  constructor(...names: string[]) {
    for (const [i, name] of names.entries()) {
      const options = { node: name, epoch: BigInt(WALL_MS), rateBytes: 1e9, burstBytes: 1e9 };
      const parts = makeParts(withDefaults(options), {
        rng: new SeededRng(i),
        wall: () => WALL_MS + this.now,
        signer: fakeSigner(name),
        verifier: fakeVerifier,
      });
      parts.ownLogs.put(this.now, 0, TABLE.interest, interestKey(VNI), NO_BYTES);
      parts.ownLogs.open(this.now, VNI);
      this.hosts.set(name, parts);
    }
    for (const name of names) {
      for (const [other, { owners }] of this.hosts) if (other !== name) owners.alive(name, BigInt(WALL_MS));
    }
  }

  parts(name: string): Parts {
    return this.hosts.get(name)!;
  }

  log(holder: string, owner: string): OwnerLog {
    return this.parts(holder).store.log(VNI, owner)!;
  }

  record(holder: string, owner: string, mac: number): LogRecord | undefined {
    return this.log(holder, owner).records.get(recordId(TABLE.endpoint, macKeyHex(mac)));
  }

  /** The owner writes; everybody gets the very same, whatever that takes on a network. */
  write(owner: string, macs: Iterable<number>, value = new Uint8Array(24)): void {
    const { ownLogs } = this.parts(owner);
    for (const mac of macs) ownLogs.put(this.now, VNI, TABLE.endpoint, macKey(mac), value);
    this.spread(owner);
  }

  remove(owner: string, mac: number): void {
    this.parts(owner).ownLogs.delete(this.now, VNI, TABLE.endpoint, macKey(mac));
    this.spread(owner);
  }

  spread(owner: string): void {
    this.now += 20;
    const { ownLogs } = this.parts(owner);
    while (ownLogs.isDue(this.now)) {
      for (const { log, update } of ownLogs.takeUpdates(this.now)) {
        if (log.scope !== 0 && log.scope !== VNI) continue;
        // Each has its own: records know the block that they are in.
        for (const [name, { merge }] of this.hosts)
          if (name !== owner) merge.update(this.now, owner, copyOf(update));
      }
    }
  }

  /** Runs until nothing is under way or due within `ms`. */
  run(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const moved = [...this.hosts].map(([name, parts]) => this.#deliver(name, parts)).some(Boolean);
      if (moved) continue;
      const next = Math.min(...[...this.hosts.values()].map(deadline));
      if (next > end) break;
      this.now = Math.max(this.now, next);
      for (const parts of this.hosts.values()) {
        parts.divergence.handleDeadline(this.now);
        parts.treeRepair.handleDeadline(this.now);
      }
    }
    this.now = end;
  }

  /** `from` asks `to` to compare what they have, as the timer of anti-entropy would. */
  sync(from: string, to: string): void {
    const { client } = this.parts(from);
    client.open(this.now, VNI);
    client.trigger(this.now, VNI, to);
    client.handleDeadline(this.now);
    this.run(60_000);
    client.close(VNI);
    for (const owner of this.hosts.keys()) this.spread(owner);
  }

  counter(name: string, key: string): number {
    return this.parts(name).counters.all.get(key) ?? 0;
  }

  total(): number {
    return [...this.bytes.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  #deliver(name: string, { outbox }: Parts): boolean {
    outbox.release(this.now);
    let moved = false;
    for (let out = outbox.poll(); out !== undefined; out = outbox.poll()) {
      moved = true;
      const message = decodeMessage(out.bytes, this.now);
      this.messages++;
      this.bytes.set(message.kind, (this.bytes.get(message.kind) ?? 0) + out.bytes.length);
      this.#handle(this.parts(out.to), name, message);
    }
    return moved;
  }

  #handle({ merge, server, client, treeRepair }: Parts, from: string, message: Message): void {
    if (message.kind === 'update') merge.update(this.now, from, message.update);
    else if (message.kind === 'delta') {
      const { update, flags, manifest } = message;
      merge.delta(this.now, from, update, flags, manifest);
    } else if (message.kind === 'tree') treeRepair.handle(this.now, from, message.tree);
    else if (message.kind === 'sync' && (message.sync.flags & SYNC_FLAG.answer) === 0)
      server.handleRequest(this.now, from, message.sync);
    else if (message.kind === 'sync') {
      client.handleAnswer(this.now, from, message.sync);
      server.handleWants(this.now, from, message.sync);
    }
  }
}

/** As it would arrive elsewhere. */
export function copyOf(update: Update): Update {
  const message = decodeMessage(encodeUpdate(update), 0);
  if (message.kind !== 'update') throw new Error(message.kind);
  return message.update;
}

const deadline = ({ divergence, treeRepair, outbox }: Parts): number =>
  Math.min(divergence.nextDeadline(), treeRepair.nextDeadline(), outbox.nextDeadline(0));

/** What a log says, as text. */
export const contents = (log: OwnerLog): string =>
  [...log.records.values()]
    .filter(({ tombstone }) => !tombstone)
    .map(({ table, keyHex, seq, value }) => `${table}/${keyHex} ${seq} ${toHex(value)}`)
    .sort()
    .join('\n');
