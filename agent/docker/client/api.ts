/**
 * A small client of Docker's API over its Unix socket: the few questions that overlayd has.
 *
 * The version is negotiated once per connection epoch: the newest that both know. Answers are bounded in size and time.
 * Throws OverlaydError; `OVL_DOCKER_ABSENT` when nobody answers, which callers take for a state and not a failure.
 *
 * Networks may be asked for at any time, also while Docker waits for the driver's answer. Containers may not by the
 * daemon: Docker holds a container's lock while it starts, and a question about it would wait for our own answer.
 */
import { Pool } from 'undici';
import { z } from 'zod';
import { OverlaydError } from '../../errors.ts';
import { checkSocketPath } from '../../api/socket.ts';
import {
  containerSchema,
  infoSchema,
  messageSchema,
  networkSchema,
  runningSchema,
  versionSchema,
} from './schemas.ts';
import type { DockerContainer, DockerInfo, DockerNetwork } from './schemas.ts';

/** Older ones have no network scopes; newer ones keep what is read here, or say so by their lowest version. */
const OLDEST = '1.24';
const NEWEST = '1.51';
const ANSWER_MS = 10_000;
/** 1,000 containers on a network are 300 kB. */
const ANSWER_MAX_BYTES = 32 << 20;
const CONNECTIONS = 8;

/** A stream of bytes that ends when `signal` aborts or Docker goes. */
export type ByteStream = AsyncIterable<Uint8Array>;

export class DockerApi {
  readonly socket: string;
  readonly #pool: Pool;
  #version: Promise<string> | undefined;

  constructor(socket: string, answerMs = ANSWER_MS) {
    checkSocketPath(socket, '--docker-socket');
    this.socket = socket;
    this.#pool = new Pool('http://docker', {
      socketPath: socket,
      connections: CONNECTIONS,
      headersTimeout: answerMs,
      bodyTimeout: answerMs,
      connect: { timeout: answerMs },
    });
  }

  /** `1.41`. Asked for again after `forget`, since dockerd may have been replaced. */
  version(): Promise<string> {
    this.#version ??= this.#negotiate().catch((error: unknown) => {
      this.#version = undefined;
      throw error;
    });
    return this.#version;
  }

  forget(): void {
    this.#version = undefined;
  }

  /** All, or those of one driver; without their containers. */
  async networks(driver?: string): Promise<DockerNetwork[]> {
    const filters =
      driver === undefined ? '' : `?filters=${encodeURIComponent(JSON.stringify({ driver: [driver] }))}`;
    return this.#get(`/networks${filters}`, z.array(networkSchema));
  }

  /** With its containers; undefined when there is none with this ID (or name). */
  async network(id: string): Promise<DockerNetwork | undefined> {
    try {
      return await this.#get(`/networks/${encodeURIComponent(id)}`, networkSchema);
    } catch (error) {
      if (error instanceof OverlaydError && error.details['status'] === 404) return undefined;
      throw error;
    }
  }

  info(): Promise<DockerInfo> {
    return this.#get('/info', infoSchema);
  }

  /** IDs of the containers that run. */
  async running(): Promise<string[]> {
    const rows = await this.#get('/containers/json', z.array(runningSchema));
    return rows.map(({ Id }) => Id);
  }

  container(id: string): Promise<DockerContainer> {
    return this.#get(`/containers/${encodeURIComponent(id)}/json`, containerSchema);
  }

  /** Containers and networks: what happens from now on, as JSON lines. */
  async events(signal: AbortSignal): Promise<ByteStream> {
    const filters = encodeURIComponent(JSON.stringify({ type: ['container', 'network'] }));
    const path = `/v${await this.version()}/events?filters=${filters}`;
    try {
      // Docker answers at once and then is silent for as long as nothing happens.
      const { statusCode, body } = await this.#pool.request({ method: 'GET', path, signal, bodyTimeout: 0 });
      if (statusCode === 200) return body as ByteStream;
      throw refused(path, statusCode, await readBounded(body));
    } catch (error) {
      throw this.#asError(error);
    }
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }

  async #negotiate(): Promise<string> {
    const answer = await this.#exchange('/version', versionSchema);
    const chosen = isOlder(answer.ApiVersion, NEWEST) ? answer.ApiVersion : NEWEST;
    const lowest = answer.MinAPIVersion ?? OLDEST;
    if (!isOlder(chosen, OLDEST) && !isOlder(chosen, lowest)) return chosen;
    throw new OverlaydError(
      'OVL_DOCKER_VERSION',
      `Docker ${answer.Version} speaks API ${lowest} to ${answer.ApiVersion}, overlayd ${OLDEST} to ${NEWEST}`,
      { hint: 'Bring Docker (or overlayd) up to date.' },
    );
  }

  async #get<T>(path: string, schema: z.ZodType<T>): Promise<T> {
    return this.#exchange(`/v${await this.version()}${path}`, schema);
  }

  async #exchange<T>(path: string, schema: z.ZodType<T>): Promise<T> {
    let text: string;
    try {
      const { statusCode, body } = await this.#pool.request({ method: 'GET', path });
      text = await readBounded(body);
      if (statusCode !== 200) throw refused(path, statusCode, text);
    } catch (error) {
      throw this.#asError(error);
    }
    const checked = schema.safeParse(parseJson(text));
    if (checked.success) return checked.data;
    throw new OverlaydError(
      'OVL_DOCKER_ANSWER',
      `Docker answered strangely to ${path}: ${z.prettifyError(checked.error)}`,
      {
        hint: 'Is the socket that of a Docker engine?',
      },
    );
  }

  #asError(error: unknown): OverlaydError {
    if (error instanceof OverlaydError) return error;
    const { code = '', message } = error as NodeJS.ErrnoException;
    const denied = code === 'EACCES' || code === 'EPERM';
    return new OverlaydError(
      'OVL_DOCKER_ABSENT',
      `Docker does not answer on ${this.socket}: ${message || code}`,
      {
        hint: denied
          ? 'Run as root, or as a member of the group "docker".'
          : 'Start Docker, or give its socket with --docker-socket (none: there is no Docker here).',
        cause: error,
      },
    );
  }
}

/** True when Docker is not there, or went away in the middle of an answer. */
export function isAbsent(error: unknown): boolean {
  return error instanceof OverlaydError && error.code === 'OVL_DOCKER_ABSENT';
}

async function readBounded(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > ANSWER_MAX_BYTES) {
      throw new OverlaydError(
        'OVL_DOCKER_ANSWER',
        `Docker's answer is longer than ${ANSWER_MAX_BYTES} bytes`,
      );
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function refused(path: string, status: number, text: string): OverlaydError {
  const said = messageSchema.safeParse(parseJson(text));
  const why = said.success ? said.data.message : `HTTP ${status}`;
  return new OverlaydError('OVL_DOCKER_REFUSED', `Docker refused ${path}: ${why}`, { details: { status } });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** `1.9` is older than `1.10`. */
function isOlder(version: string, than: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [otherMajor = 0, otherMinor = 0] = than.split('.').map(Number);
  return major === otherMajor ? minor < otherMinor : major < otherMajor;
}
