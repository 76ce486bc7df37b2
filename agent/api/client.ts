/**
 * The admin API from the other side: what every client verb uses.
 *
 * Answers are checked against the schemas and handed on as they came, so that fields of a newer daemon survive.
 * Throws OverlaydError: exit code 3 when nobody answers, 4 without the right to ask, else what the daemon said.
 */
import { request } from 'node:http';
import { z } from 'zod';
import type { NetworkCreate } from '../config/schema.ts';
import { findingSchema } from '../doctor/finding.ts';
import type { Finding } from '../doctor/finding.ts';
import { OverlaydError } from '../errors.ts';
import type { DockerRangeOptions } from '../ipam/interface.ts';
import type {
  FdbEntry,
  Identity,
  JoinResult,
  KeyringEntry,
  NetworkDetail,
  NetworkRanges,
  NetworkRemoval,
  NetworkSummary,
  Peer,
  ReclaimedRanges,
  RevokeRequest,
  RevokeResult,
  Status,
} from '../status.ts';
import {
  dockerRangeSchema,
  fdbEntrySchema,
  identitySchema,
  joinResultSchema,
  keyringEntrySchema,
  networkDetailSchema,
  networkRangesSchema,
  networkRemovalSchema,
  networkSummarySchema,
  peerSchema,
  reclaimedSchema,
  revokeResultSchema,
  statusSchema,
} from '../status.ts';
import { errorOf, problemSchema } from './problem.ts';
import { emptySchema } from './routes.ts';
import { checkSocketPath } from './socket.ts';

const ANSWER_TIMEOUT_MS = 15_000;
/** Joining tries every address, and one that is silent takes its time. */
const JOIN_TIMEOUT_MS = 120_000;

type Method = 'GET' | 'POST' | 'DELETE';

export class ApiClient {
  readonly #socket: string;
  readonly #patienceMs: number;

  constructor(socket: string, patienceMs = Infinity) {
    checkSocketPath(socket);
    this.#socket = socket;
    this.#patienceMs = patienceMs;
  }

  /** One that waits no longer than this for any answer. */
  within(patienceMs: number): ApiClient {
    return new ApiClient(this.#socket, Math.max(1, patienceMs));
  }

  status(): Promise<Status> {
    return this.#get('/v1/status', statusSchema);
  }

  peers(): Promise<Peer[]> {
    return this.#get('/v1/peers', z.array(peerSchema));
  }

  networks(): Promise<NetworkSummary[]> {
    return this.#get('/v1/networks', z.array(networkSummarySchema));
  }

  network(name: string): Promise<NetworkDetail> {
    return this.#get(`/v1/networks/${encodeURIComponent(name)}`, networkDetailSchema);
  }

  networkCreate(spec: NetworkCreate): Promise<NetworkDetail> {
    return this.#request('POST', '/v1/networks', networkDetailSchema, spec);
  }

  networkRemove(name: string, force: boolean): Promise<NetworkRemoval> {
    const query = force ? '?force=true' : '';
    return this.#request('DELETE', `/v1/networks/${encodeURIComponent(name)}${query}`, networkRemovalSchema);
  }

  networkAttach(name: string, tap: string | undefined): Promise<NetworkDetail> {
    const path = `/v1/networks/${encodeURIComponent(name)}/attach`;
    return this.#request('POST', path, networkDetailSchema, tap === undefined ? {} : { tap });
  }

  networkDetach(name: string, force: boolean): Promise<NetworkDetail> {
    const path = `/v1/networks/${encodeURIComponent(name)}/detach`;
    return this.#request('POST', path, networkDetailSchema, { force });
  }

  ranges(network: string): Promise<NetworkRanges> {
    return this.#get(`/v1/networks/${encodeURIComponent(network)}/ranges`, networkRangesSchema);
  }

  async dockerRange(network: string, asked: DockerRangeOptions = {}): Promise<string> {
    const path = `/v1/networks/${encodeURIComponent(network)}/docker-range`;
    return (await this.#request('POST', path, dockerRangeSchema, asked)).ipRange;
  }

  reclaim(host: string): Promise<ReclaimedRanges[]> {
    return this.#request('POST', '/v1/reclaim', z.array(reclaimedSchema), { host });
  }

  fdb(network?: string): Promise<FdbEntry[]> {
    const query = network === undefined ? '' : `?network=${encodeURIComponent(network)}`;
    return this.#get(`/v1/fdb${query}`, z.array(fdbEntrySchema));
  }

  join(addresses: readonly string[]): Promise<JoinResult> {
    return this.#request('POST', '/v1/join', joinResultSchema, { addresses });
  }

  async leave(): Promise<void> {
    await this.#request('POST', '/v1/leave', emptySchema);
  }

  doctor(): Promise<Finding[]> {
    return this.#get('/v1/doctor', z.array(findingSchema));
  }

  keyring(): Promise<KeyringEntry[]> {
    return this.#get('/v1/keyring', z.array(keyringEntrySchema));
  }

  /** Base64. */
  keyringAdd(key: string): Promise<KeyringEntry> {
    return this.#request('POST', '/v1/keyring/add', keyringEntrySchema, { key });
  }

  keyringUse(fingerprint: string): Promise<KeyringEntry> {
    return this.#request('POST', '/v1/keyring/use', keyringEntrySchema, { fingerprint });
  }

  keyringRemove(fingerprint: string): Promise<KeyringEntry> {
    return this.#request('POST', '/v1/keyring/remove', keyringEntrySchema, { fingerprint });
  }

  identities(): Promise<Identity[]> {
    return this.#get('/v1/identities', z.array(identitySchema));
  }

  revoke(order: RevokeRequest): Promise<RevokeResult> {
    return this.#request('POST', '/v1/revoke', revokeResultSchema, order);
  }

  identityForget(name: string): Promise<RevokeResult> {
    return this.#request('POST', '/v1/identities/forget', revokeResultSchema, { name });
  }

  #get<T>(path: string, schema: z.ZodType<T>): Promise<T> {
    return this.#request('GET', path, schema);
  }

  async #request<T>(method: Method, path: string, schema: z.ZodType<T>, body?: unknown): Promise<T> {
    const { status, text } = await this.#exchange(method, path, body);
    let answer: unknown;
    try {
      answer = JSON.parse(text);
    } catch {
      throw this.#strangeAnswer(`${method} ${path}: no JSON`);
    }
    if (status >= 400) {
      const problem = problemSchema.safeParse(answer);
      throw problem.success
        ? errorOf(problem.data)
        : this.#strangeAnswer(`${method} ${path}: HTTP ${status}`);
    }
    const checked = schema.safeParse(answer);
    if (!checked.success) throw this.#strangeAnswer(`${method} ${path}: ${z.prettifyError(checked.error)}`);
    return answer as T;
  }

  /** A connection of its own for each request: nothing stays open that would have to be closed. */
  #exchange(method: Method, path: string, body: unknown): Promise<{ status: number; text: string }> {
    const usualMs = method === 'GET' ? ANSWER_TIMEOUT_MS : JOIN_TIMEOUT_MS;
    const timeoutMs = Math.ceil(Math.min(usualMs, this.#patienceMs));
    const content = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => reject(this.#unreachable(error));
      const asked = request({
        socketPath: this.#socket,
        method,
        path,
        agent: false,
        timeout: timeoutMs,
        ...(content !== undefined && {
          headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(content) },
        }),
      });
      asked.once('error', fail);
      // Node only tells of it.
      asked.once('timeout', () => {
        asked.destroy(Object.assign(new Error('no answer in time'), { code: 'ETIMEDOUT' }));
      });
      asked.once('response', (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (text += chunk));
        response.once('error', fail);
        response.once('end', () => resolve({ status: response.statusCode ?? 0, text }));
      });
      asked.end(content);
    });
  }

  #unreachable(error: unknown): OverlaydError {
    const { code = '', message } = error as NodeJS.ErrnoException;
    if (code === 'EACCES' || code === 'EPERM') {
      return new OverlaydError('OVL_NOT_PERMITTED', `no right to open ${this.#socket}`, {
        hint: 'Run as root, or as a member of the group that owns the socket.',
        cause: error,
        exitCode: 4,
      });
    }
    const why: Readonly<Record<string, string>> = {
      ENOENT: 'there is no such socket',
      ECONNREFUSED: 'nobody listens on it',
      ENOTSOCK: 'it is not a socket',
      ETIMEDOUT: 'the daemon does not answer',
    };
    return new OverlaydError(
      'OVL_DAEMON_UNREACHABLE',
      `cannot reach the daemon on ${this.#socket}: ${why[code] ?? message}`,
      {
        hint: 'Start it with "overlayd run", or give its socket with --socket or OVERLAYD_SOCKET.',
        cause: error,
        exitCode: 3,
      },
    );
  }

  #strangeAnswer(what: string): OverlaydError {
    return new OverlaydError(
      'OVL_API_MISMATCH',
      `the daemon on ${this.#socket} answered strangely: ${what}`,
      {
        hint: 'Daemon and client may be of different versions: compare "overlayd version" with "overlayd status".',
      },
    );
  }
}
