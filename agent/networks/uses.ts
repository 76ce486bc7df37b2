/** Who takes part in networks, in words, and what hosts said that cannot be asked any more. */
import type { HostUse } from '../../proto/networks/resolve.ts';
import type { NetworkUse } from '../status.ts';

/** As long as the replicated state keeps what a dead host said. */
const KEEP_MS = 24 * 3_600_000;

/**
 * What dead hosts said last. They may come back with their containers, or run on behind a split: a network that they use is
 * not removed without a word.
 */
export class AwayHosts {
  readonly #isAway: (host: string) => boolean;
  readonly #last = new Map<string, { readonly uses: readonly HostUse[]; readonly seenMs: number }>();
  #present: ReadonlySet<string> = new Set();

  constructor(isAway: (host: string) => boolean) {
    this.#isAway = isAway;
  }

  /** Of hosts whose records are in force now. */
  note(uses: readonly HostUse[], nowMs: number): void {
    const byHost = new Map<string, HostUse[]>();
    for (const use of uses) byHost.set(use.owner, [...(byHost.get(use.owner) ?? []), use]);
    for (const [host, { seenMs }] of this.#last) {
      if (!byHost.has(host) && (!this.#isAway(host) || nowMs - seenMs > KEEP_MS)) this.#last.delete(host);
    }
    for (const [host, its] of byHost) this.#last.set(host, { uses: its, seenMs: nowMs });
    this.#present = new Set(byHost.keys());
  }

  uses(): HostUse[] {
    return [...this.#last].flatMap(([host, { uses }]) =>
      this.#present.has(host) || !this.#isAway(host) ? [] : uses,
    );
  }
}

/** "host-b: 3 endpoints (web 10.43.0.2, 02:42:0a:2b:00:03, …)". */
export function describeUse({ host, endpoints = 0, names, attached, away }: NetworkUse): string {
  const more = endpoints > names.length ? ', …' : '';
  const shown = names.length === 0 ? '' : ` (${names.join(', ')}${more})`;
  const parts = [
    ...(endpoints > 0 ? [`${endpoints} ${endpoints === 1 ? 'endpoint' : 'endpoints'}${shown}`] : []),
    ...(attached ? ['attached'] : []),
    ...(away ? ['not reachable now'] : []),
  ];
  return `${host}: ${parts.join(', ') || 'takes part'}`;
}
