/**
 * The plugin's socket: HTTP and JSON as Docker's engine speaks it to its network and IPAM drivers.
 *
 * Docker sends neither a content type nor a host name. A failure is HTTP 500 with `{"Err": text}`: with 200, Docker
 * shows the text for a network driver but swallows it for an IPAM driver. Mode 0600: only root asks here, and Docker is.
 */
import { fastify } from 'fastify';
import type { FastifyInstance } from 'fastify';
import type { z } from 'zod';
import type { Served } from '../../api/socket.ts';
import { serveOn } from '../../api/socket.ts';
import { OverlaydError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { DockerEndpoints } from './docker-endpoints.ts';
import type { DockerNetworks } from './docker-networks.ts';
import { ADDRESS_SPACES } from './ipam-driver.ts';
import type { IpamDriver } from './ipam-driver.ts';
import * as messages from './messages.ts';

const PLUGIN_TYPE = 'application/vnd.docker.plugins.v1.2+json';
const BODY_MAX_BYTES = 1 << 20;
/** Docker names each port of a published range, twice, in some 100 bytes: room for all 65,535. */
const PORTS_MAX_BYTES = 8 << 20;
const SOCKET = { mode: 0o600, connectionsMax: 1024, flag: '--docker-plugin' };
const REQUEST_TIMEOUT_MS = 30_000;

export interface PluginDrivers {
  readonly networks: DockerNetworks;
  readonly endpoints: DockerEndpoints;
  readonly ipam: IpamDriver;
  readonly scope: 'local' | 'global';
}

interface Call {
  readonly schema: z.ZodType;
  readonly handle: (drivers: PluginDrivers, request: never) => unknown;
  readonly bodyLimit: number;
}

function call<T>(
  schema: z.ZodType<T>,
  handle: (drivers: PluginDrivers, request: T) => unknown,
  bodyLimit = BODY_MAX_BYTES,
): Call {
  return { schema, handle, bodyLimit };
}

const nothing = (): object => ({});

export const CALLS: Readonly<Record<string, Call>> = {
  'Plugin.Activate': call(messages.anySchema, () => ({ Implements: ['NetworkDriver', 'IpamDriver'] })),
  'NetworkDriver.GetCapabilities': call(messages.anySchema, ({ scope }) => ({
    Scope: scope,
    ConnectivityScope: 'global',
  })),
  'IpamDriver.GetCapabilities': call(messages.anySchema, () => ({
    RequiresMACAddress: false,
    RequiresRequestReplay: false,
  })),
  'IpamDriver.GetDefaultAddressSpaces': call(messages.anySchema, () => ADDRESS_SPACES),
  'IpamDriver.RequestPool': call(messages.requestPoolSchema, ({ ipam }, request) =>
    ipam.requestPool(request),
  ),
  'IpamDriver.ReleasePool': call(messages.releasePoolSchema, async ({ ipam }, { PoolID }) => {
    await ipam.releasePool(PoolID);
    return {};
  }),
  'IpamDriver.RequestAddress': call(messages.requestAddressSchema, ({ ipam }, request) =>
    ipam.requestAddress(request),
  ),
  'IpamDriver.ReleaseAddress': call(messages.releaseAddressSchema, async ({ ipam }, { PoolID, Address }) => {
    await ipam.releaseAddress(PoolID, Address);
    return {};
  }),
  'NetworkDriver.AllocateNetwork': call(messages.allocateNetworkSchema, ({ networks }, request) =>
    networks.allocate(request),
  ),
  'NetworkDriver.FreeNetwork': call(messages.networkSchema, ({ networks }, request) =>
    networks.free(request),
  ),
  'NetworkDriver.CreateNetwork': call(messages.createNetworkSchema, ({ networks }, request) =>
    networks.create(request),
  ),
  'NetworkDriver.DeleteNetwork': call(messages.networkSchema, ({ networks }, request) =>
    networks.delete(request),
  ),
  'NetworkDriver.CreateEndpoint': call(
    messages.createEndpointSchema,
    ({ endpoints }, request) => endpoints.create(request),
    PORTS_MAX_BYTES,
  ),
  'NetworkDriver.DeleteEndpoint': call(messages.endpointSchema, ({ endpoints }, request) =>
    endpoints.delete(request),
  ),
  'NetworkDriver.EndpointOperInfo': call(messages.endpointSchema, () => ({ Value: {} })),
  'NetworkDriver.Join': call(
    messages.joinSchema,
    ({ endpoints }, request) => endpoints.join(request),
    PORTS_MAX_BYTES,
  ),
  'NetworkDriver.Leave': call(messages.endpointSchema, ({ endpoints }, request) => endpoints.leave(request)),
  'NetworkDriver.ProgramExternalConnectivity': call(messages.endpointSchema, nothing, PORTS_MAX_BYTES),
  'NetworkDriver.RevokeExternalConnectivity': call(messages.endpointSchema, nothing),
  // Which nodes swarm has is gossip's business here.
  'NetworkDriver.DiscoverNew': call(messages.anySchema, nothing),
  'NetworkDriver.DiscoverDelete': call(messages.anySchema, nothing),
};

/** Throws OverlaydError. */
export function startPlugin(drivers: PluginDrivers, socket: string, log: Log): Promise<Served> {
  return serveOn(socket, SOCKET, () => buildPlugin(drivers, log));
}

/** The plugin without its socket. */
export function buildPlugin(drivers: PluginDrivers, log: Log): FastifyInstance {
  const app = fastify({
    requestTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: true,
    // Docker's host name is empty.
    http: { requireHostHeader: false },
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => {
    done(null, body);
  });
  app.setErrorHandler((error, request, reply) => {
    const { statusCode = 500 } = error as { statusCode?: number };
    if (!(error instanceof OverlaydError) && statusCode >= 500) {
      log.error({ err: error, path: request.url }, 'a call of Docker failed');
    }
    // Docker takes 4xx for "no such call" in places.
    return reply
      .code(500)
      .type(PLUGIN_TYPE)
      .send({ Err: textOf(error) });
  });
  app.setNotFoundHandler((request, reply) =>
    reply
      .code(404)
      .type(PLUGIN_TYPE)
      .send({ Err: `overlayd knows no ${request.method} ${request.url}` }),
  );
  for (const [name, { schema, handle, bodyLimit }] of Object.entries(CALLS)) {
    app.post(`/${name}`, { bodyLimit }, async (request, reply) => {
      if (schema !== messages.anySchema && isEmpty(request.body)) throw hollow(name);
      const asked = readBody(schema, request.body);
      const answer = await handle(drivers, asked as never);
      log.debug({ op: name }, 'Docker asked');
      return reply.type(PLUGIN_TYPE).send(JSON.stringify(answer));
    });
  }
  return app;
}

function isEmpty(body: unknown): boolean {
  return typeof body !== 'string' || body.trim() === '';
}

/** Docker repeats a call whose connection broke, but has used up its content by then. */
function hollow(name: string): OverlaydError {
  return new OverlaydError(
    'OVL_DOCKER_HOLLOW',
    `Docker repeated ${name} without its content: overlayd was restarted in the middle of it`,
    { hint: 'Do it again.' },
  );
}

function readBody(schema: z.ZodType, body: unknown): unknown {
  let json: unknown;
  try {
    json = typeof body === 'string' && body.trim() !== '' ? JSON.parse(body) : {};
  } catch {
    throw new OverlaydError('OVL_BAD_REQUEST', 'the request is no JSON', { exitCode: 2 });
  }
  const read = schema.safeParse(json);
  if (read.success) return read.data;
  const issues = read.error.issues.map(({ path, message }) => `${path.join('.') || 'request'}: ${message}`);
  throw new OverlaydError('OVL_BAD_REQUEST', `the request is not understood: ${issues.join('; ')}`, {
    exitCode: 2,
  });
}

/** One text: it is all that Docker shows. */
function textOf(error: unknown): string {
  if (error instanceof OverlaydError) {
    return error.hint === undefined ? error.message : `${error.message}. ${error.hint}`;
  }
  const { statusCode = 500, message } = error as { statusCode?: number; message?: string };
  if (statusCode === 413) {
    return 'the request is too large, as it is when too many ports are published. Publish fewer ports (-p) of this container';
  }
  return statusCode < 500 ? String(message) : 'overlayd failed; its log says more';
}
