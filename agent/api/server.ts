/**
 * The admin API: HTTP and JSON on a Unix socket, mode 0660. Never on TCP.
 *
 * Whoever may open the socket may do everything here; the file's mode is the whole access control.
 */
import { fastify } from 'fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { OverlaydError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { DaemonView } from '../status.ts';
import { openApiDocument } from './openapi.ts';
import { PROBLEM_TYPE, problemOf } from './problem.ts';
import { ROUTES } from './routes.ts';
import type { Route } from './routes.ts';
import type { Served } from './socket.ts';
import { serveOn } from './socket.ts';

const BODY_MAX_BYTES = 64 * 1024;
/** Longer than any name. */
const PARAMETER_MAX_CHARS = 256;
const REQUEST_TIMEOUT_MS = 10_000;
const SOCKET = { mode: 0o660, connectionsMax: 128 };

/** Throws OverlaydError. */
export function startApi(view: DaemonView, socket: string, log: Log): Promise<Served> {
  return serveOn(socket, SOCKET, () => buildApi(view, log));
}

/** The API without its socket. */
export function buildApi(view: DaemonView, log: Log): FastifyInstance {
  const app = fastify({
    bodyLimit: BODY_MAX_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: PARAMETER_MAX_CHARS },
    // What the router itself refuses (a bad or overlong URL) would not reach the error handler.
    frameworkErrors(error, request, reply) {
      void refuse(error, request, reply, log);
    },
  });
  app.setErrorHandler((error, request, reply) => refuse(error, request, reply, log));
  app.setNotFoundHandler((request) => {
    throw new OverlaydError('OVL_NO_SUCH_ROUTE', `there is no ${request.method} ${request.url}`, {
      hint: 'GET /v1/openapi.json lists what there is.',
      exitCode: 5,
    });
  });
  for (const route of ROUTES) addRoute(app, view, route);
  app.get('/v1/openapi.json', openApiDocument);
  return app;
}

function refuse(error: unknown, request: FastifyRequest, reply: FastifyReply, log: Log): FastifyReply {
  const problem = problemOf(error);
  if (problem.status >= 500) log.error({ err: error, path: request.url }, 'admin request failed');
  return reply.code(problem.status).type(PROBLEM_TYPE).send(problem);
}

function addRoute(app: FastifyInstance, view: DaemonView, route: Route): void {
  app.route({
    method: route.method,
    url: route.path,
    async handler(request, reply) {
      const input = {
        parameters: request.params as Record<string, string>,
        query: checkedQuery(route, request.query as Record<string, unknown>),
        body: checkedBody(route, request.body),
      };
      const answer: unknown = await route.handle(view, input);
      return reply.type('application/json; charset=utf-8').send(JSON.stringify(answer));
    },
  });
}

/** A mistyped filter must not mean "everything". */
function checkedQuery(route: Route, query: Record<string, unknown>): Record<string, string> {
  for (const [name, value] of Object.entries(query)) {
    if (route.query?.[name] === undefined) throw badRequest(`unknown query parameter "${name}"`);
    if (typeof value !== 'string') throw badRequest(`query parameter "${name}" is given twice`);
  }
  return query as Record<string, string>;
}

function checkedBody(route: Route, body: unknown): unknown {
  if (route.body === undefined) return undefined;
  const result = route.body.safeParse(body);
  if (result.success) return result.data;
  const issues = result.error.issues.map(({ path, message }) => `${['body', ...path].join('.')}: ${message}`);
  throw badRequest(issues.join('; '));
}

function badRequest(message: string): OverlaydError {
  return new OverlaydError('OVL_BAD_REQUEST', message, { exitCode: 2 });
}
