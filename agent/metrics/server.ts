/**
 * The metrics listener: `/metrics`, `/healthz`, `/readyz`, nothing else, GET and HEAD only.
 *
 * It may be reached by more than root (the default is loopback), so it tells numbers and takes no orders.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { formatHostPort } from '../config/address.ts';
import { OverlaydError } from '../errors.ts';
import { describeHolders, tcpPortHolders } from '../io/holders.ts';
import type { Log } from '../log.ts';
import type { DaemonView } from '../status.ts';
import type { Metrics } from './registry.ts';

/** A packet loop that has not moved for so long hangs; it beats several times a second. */
const HEARTBEAT_MAX_MS = 5_000;
const REQUEST_TIMEOUT_MS = 5_000;
const CONNECTIONS_MAX = 64;

export interface MetricsServer {
  /** The port that was asked for, or the one that the kernel chose for 0. */
  readonly port: number;
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/**
 * Throws OverlaydError when the address cannot be had. `view` has nothing while the daemon starts: all answers are 503 then.
 * `metrics` are the process's one set: each watches the event loop for as long as the process lives.
 */
export async function startMetrics(
  view: () => DaemonView | undefined,
  address: { readonly host: string; readonly port: number },
  metrics: Metrics,
  log: Log,
): Promise<MetricsServer> {
  const server = createServer(
    { requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS, maxHeaderSize: 8192 },
    (request, response) => void serve(request, response, view(), metrics, log),
  );
  server.maxConnections = CONNECTIONS_MAX;
  await listen(server, address);
  const bound = server.address();
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : address.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, { host, port }: { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.on('error', (error: NodeJS.ErrnoException) => {
      reject(listenError(error, host, port));
    });
    server.listen(port, host, resolve);
  });
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): OverlaydError {
  const where = formatHostPort(host, port);
  const options = { hint: 'Give another --metrics-addr IP:PORT, or --metrics-addr none.', cause: error };
  if (error.code !== 'EADDRINUSE') {
    return new OverlaydError(
      'OVL_METRICS_ADDR_FAILED',
      `cannot listen on ${where} for metrics: ${error.message}`,
      options,
    );
  }
  const who = describeHolders(tcpPortHolders(port)) ?? 'another process';
  return new OverlaydError(
    'OVL_PORT_TAKEN',
    `TCP port ${port} on ${host} (metrics) is taken by ${who}`,
    options,
  );
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  view: DaemonView | undefined,
  metrics: Metrics,
  log: Log,
): Promise<void> {
  let answer: Answer;
  try {
    answer = await answerTo(request, view, metrics);
  } catch (err) {
    log.error({ err }, 'metrics request failed');
    answer = text(500, 'failed');
  }
  response.writeHead(answer.status, {
    'content-type': answer.type,
    'content-length': Buffer.byteLength(answer.body),
    ...(answer.status === 405 && { allow: 'GET, HEAD' }),
  });
  response.end(request.method === 'HEAD' ? undefined : answer.body);
}

async function answerTo(
  request: IncomingMessage,
  view: DaemonView | undefined,
  metrics: Metrics,
): Promise<Answer> {
  if (request.method !== 'GET' && request.method !== 'HEAD') return text(405, 'only GET and HEAD');
  if (view === undefined) return text(503, 'starting');
  switch (request.url?.split('?', 1)[0]) {
    case '/metrics':
      return { status: 200, type: metrics.contentType, body: await metrics.render(view.metrics()) };
    case '/healthz': {
      const ageMs = Math.round(view.heartbeatAgeMs());
      return ageMs <= HEARTBEAT_MAX_MS ? text(200, 'ok') : text(503, `packet loop silent for ${ageMs} ms`);
    }
    case '/readyz': {
      const notReady = view.notReady();
      return notReady === undefined ? text(200, 'ready') : text(503, `not ready: ${notReady}`);
    }
    default:
      return text(404, 'not found');
  }
}

function text(status: number, body: string): Answer {
  return { status, type: 'text/plain; charset=utf-8', body: `${body}\n` };
}
