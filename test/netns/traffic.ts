/** Starts `traffic-child` in containers and reads what it found. */
import { fileURLToPath } from 'node:url';
import type { Background, Finished } from '../../agent/demo/process.ts';
import { until } from '../../agent/demo/process.ts';
import type { Container } from '../../agent/demo/hosts.ts';

const CHILD = fileURLToPath(new URL('traffic-child.js', import.meta.url));

export type Place = Pick<Container, 'exec' | 'spawn' | 'name'>;

function trafficCommand(...args: readonly string[]): string[] {
  return [process.execPath, CHILD, ...args];
}

/** Starts a server mode and waits until it is ready. */
export async function serve(place: Place, ...args: readonly string[]): Promise<Background> {
  const server = place.spawn(trafficCommand(...args));
  await until(`${place.name}: ${args.join(' ')} is ready`, 10_000, () => server.log().includes('ready'));
  return server;
}

export function traffic(place: Place, ...args: readonly string[]): Promise<Finished> {
  return place.exec(trafficCommand(...args));
}

/** A TCP connection that carries ascending numbers there and back. */
export class NumberStream {
  readonly #echo: Background;
  readonly #client: Background;

  private constructor(echo: Background, client: Background) {
    this.#echo = echo;
    this.#client = client;
  }

  static async open(from: Place, to: Place, address: string, port = 7007): Promise<NumberStream> {
    const echo = await serve(to, 'tcp-echo', address, `${port}`);
    const client = from.spawn(trafficCommand('tcp-count', address, `${port}`));
    const stream = new NumberStream(echo, client);
    await stream.advance(3);
    return stream;
  }

  /** The last number that came back; the child ends at the first that is out of order. */
  last(): number {
    return Number(/(\d+)\n$/.exec(this.#client.log())?.[1] ?? 0);
  }

  /** Waits until `more` further numbers have come back over the same connection. */
  async advance(more: number, timeoutMs = 30_000): Promise<void> {
    const goal = this.last() + more;
    await until(`the TCP stream reaches ${goal} (${this.problem() ?? 'open'})`, timeoutMs, () => {
      return this.last() >= goal || this.problem() !== undefined;
    });
    const problem = this.problem();
    if (problem !== undefined) throw new Error(problem);
  }

  /** Why the connection is no longer there; undefined while it is. */
  problem(): string | undefined {
    const broken = /^broken: .*$/m.exec(this.#client.log());
    if (broken !== null) return broken[0];
    return this.#client.running ? undefined : 'the client ended';
  }

  async close(): Promise<void> {
    await Promise.all([this.#client.stop('SIGKILL'), this.#echo.stop('SIGKILL')]);
  }
}
