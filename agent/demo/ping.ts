/** A ping that runs on, judged by its sequence numbers: an answer that never came is a gap, however late others were. */
import type { Background } from './process.ts';

/** Between two requests, seconds. */
export const PING_INTERVAL_S = 0.05;

export interface PingCount {
  readonly answered: number;
  /** Requests without an answer although a later one had one. */
  readonly lost: number;
  readonly duplicates: number;
  /** Longest run of consecutive requests without an answer. */
  readonly longestGap: number;
}

interface Pinger {
  spawn(argv: readonly string[]): Background;
}

export class Ping {
  readonly #process: Background;

  constructor(from: Pinger, address: string) {
    this.#process = from.spawn(['ping', '-n', '-i', `${PING_INTERVAL_S}`, address]);
  }

  count(): PingCount {
    return countAnswers(this.#process.log());
  }

  async stop(): Promise<PingCount> {
    await this.#process.stop('SIGINT');
    return this.count();
  }
}

function countAnswers(log: string): PingCount {
  const seen = new Set<number>();
  let duplicates = 0;
  for (const match of log.matchAll(/ bytes from .*icmp_seq=(\d+) /g)) {
    const sequence = Number(match[1]);
    if (seen.has(sequence)) duplicates++;
    seen.add(sequence);
  }
  let previous = 0;
  let longestGap = 0;
  for (const sequence of [...seen].sort((a, b) => a - b)) {
    longestGap = Math.max(longestGap, sequence - previous - 1);
    previous = sequence;
  }
  return { answered: seen.size, lost: previous - seen.size, duplicates, longestGap };
}
