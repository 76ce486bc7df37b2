/** The routes of the admin API: one table from which the server, the OpenAPI document and the tests are made. */
import { z } from 'zod';
import { networkAttachSchema, networkCreateSchema, networkDetachSchema } from '../config/schema.ts';
import type { NetworkAttach, NetworkCreate, NetworkDetach } from '../config/schema.ts';
import { findingSchema } from '../doctor/finding.ts';
import { OverlaydError } from '../errors.ts';
import { networkNotFound } from '../networks/not-found.ts';
import { specOf } from '../networks/network-spec.ts';
import type { DaemonView, NetworkDetail } from '../status.ts';
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

export interface Route {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Fastify's spelling: `/v1/networks/:name`. */
  readonly path: string;
  readonly summary: string;
  readonly response: z.ZodType;
  readonly parameters?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: z.ZodType;
  handle(view: DaemonView, input: RouteInput): unknown;
}

export interface RouteInput {
  readonly parameters: Readonly<Record<string, string | undefined>>;
  readonly query: Readonly<Record<string, string | undefined>>;
  /** As `body` of the route reads it. */
  readonly body: unknown;
}

/** More seeds than anybody types, and few enough to try one after the other. */
const JOIN_MAX = 64;
export const joinRequestSchema = z.strictObject({
  addresses: z.array(z.string().min(1).max(300)).min(1).max(JOIN_MAX),
});
/** 32 bytes as base64 have 44 characters; what is wrong with it is said without quoting it. */
export const keyRequestSchema = z.strictObject({ key: z.string().min(1).max(100) });
export const fingerprintRequestSchema = z.strictObject({ fingerprint: z.string().min(1).max(64) });
/** Names of members have 255 bytes at most. */
const nodeSchema = z.string().min(1).max(255);
export const revokeRequestSchema = z.strictObject({
  node: nodeSchema,
  fingerprint: z.string().min(1).max(64).optional(),
  undo: z.boolean().optional(),
});
export const nodeRequestSchema = z.strictObject({ name: nodeSchema });
export const reclaimRequestSchema = z.strictObject({ host: nodeSchema });
export const dockerRangeRequestSchema = z.strictObject({
  size: z
    .int()
    .min(1)
    .max(1 << 24)
    .optional(),
  family: z.union([z.literal(4), z.literal(6)]).optional(),
});
export const emptySchema = z.strictObject({});

export const ROUTES: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/status',
    summary: 'The daemon at a glance',
    response: statusSchema,
    handle: (view) => view.status(),
  },
  {
    method: 'GET',
    path: '/v1/peers',
    summary: 'Every known host but this one',
    response: z.array(peerSchema),
    handle: (view) => sortBy(view.peers(), ({ name }) => name),
  },
  {
    method: 'GET',
    path: '/v1/networks',
    summary: 'Networks',
    response: z.array(networkSummarySchema),
    handle: (view) => sortBy(view.networks(), ({ name }) => name),
  },
  {
    method: 'GET',
    path: '/v1/networks/:name',
    summary: 'One network',
    response: networkDetailSchema,
    parameters: { name: 'Name or id of the network' },
    handle: (view, { parameters }) => knownNetwork(view, parameters['name'] ?? ''),
  },
  {
    method: 'POST',
    path: '/v1/networks',
    summary:
      'Make a network on all hosts; what is not given is chosen, and one that is there already and fits is taken',
    response: networkDetailSchema,
    body: networkCreateSchema,
    handle: (view, { body }) => view.networkCreate(specOf(body as NetworkCreate)),
  },
  {
    method: 'DELETE',
    path: '/v1/networks/:name',
    summary:
      'Remove a network from all hosts; refused while endpoints use it, but with force=true, which cuts them',
    response: networkRemovalSchema,
    parameters: { name: 'Name or id of the network' },
    query: { force: 'true: cut endpoints that use it' },
    handle: (view, { parameters, query: { force } }) =>
      view.networkRemove(parameters['name'] ?? '', isTrue('force', force)),
  },
  {
    method: 'POST',
    path: '/v1/networks/:name/attach',
    summary: 'Put a TAP of this host on a network, for macvlan',
    response: networkDetailSchema,
    parameters: { name: 'Name or id of the network' },
    body: networkAttachSchema,
    handle: (view, { parameters, body }) =>
      view.networkAttach(parameters['name'] ?? '', (body as NetworkAttach).tap),
  },
  {
    method: 'POST',
    path: '/v1/networks/:name/detach',
    summary: 'Take that TAP away; refused while containers are seen on it, but with force',
    response: networkDetailSchema,
    parameters: { name: 'Name or id of the network' },
    body: networkDetachSchema,
    handle: (view, { parameters, body }) =>
      view.networkDetach(parameters['name'] ?? '', (body as NetworkDetach).force ?? false),
  },
  {
    method: 'GET',
    path: '/v1/networks/:name/ranges',
    summary: 'Which host has which addresses of a network, and addresses in use where they should not be',
    response: networkRangesSchema,
    parameters: { name: 'Name or id of the network' },
    handle(view, { parameters: { name: nameOrId = '' } }) {
      const { name } = knownNetwork(view, nameOrId);
      return { network: name, ranges: view.ranges(name), collisions: view.collisions(name) };
    },
  },
  {
    method: 'POST',
    path: '/v1/networks/:name/docker-range',
    summary:
      'A block of addresses of this host for Docker’s own IPAM: marked at the first call, the same ever after',
    response: dockerRangeSchema,
    parameters: { name: 'Name or id of the network' },
    body: dockerRangeRequestSchema,
    async handle(view, { parameters: { name = '' }, body }) {
      const { size, family } = body as z.infer<typeof dockerRangeRequestSchema>;
      return { ipRange: await view.dockerRange(name, size, family) };
    },
  },
  {
    method: 'POST',
    path: '/v1/reclaim',
    summary: 'Take over the addresses of a host that is gone for good',
    response: z.array(reclaimedSchema),
    body: reclaimRequestSchema,
    async handle(view, { body }) {
      const { host } = body as z.infer<typeof reclaimRequestSchema>;
      return (await view.reclaim(host)).map(({ network, cidrs, refused }) => ({
        network,
        cidrs,
        ...(refused && { refused: { code: refused.code, message: refused.message, hint: refused.hint } }),
      }));
    },
  },
  {
    method: 'GET',
    path: '/v1/fdb',
    summary: 'Forwarding table: which host has which MAC',
    response: z.array(fdbEntrySchema),
    query: { network: 'Only this network: its name or id' },
    handle(view, { query: { network } }) {
      return sortBy(
        view.fdb(network === undefined ? undefined : knownNetwork(view, network).name),
        (entry) => entry.network,
        (entry) => entry.mac,
      );
    },
  },
  {
    method: 'POST',
    path: '/v1/join',
    summary: 'Join the cluster through other hosts; each is tried once',
    response: joinResultSchema,
    body: joinRequestSchema,
    handle: (view, { body }) => view.join((body as z.infer<typeof joinRequestSchema>).addresses),
  },
  {
    method: 'POST',
    path: '/v1/leave',
    summary: 'Leave the cluster; the daemon goes on alone',
    response: emptySchema,
    async handle(view) {
      await view.leave();
      return {};
    },
  },
  {
    method: 'GET',
    path: '/v1/doctor',
    summary: 'What the daemon finds wrong with itself and its surroundings, with the cure of each',
    response: z.array(findingSchema),
    handle: (view) => view.doctor(),
  },
  {
    method: 'GET',
    path: '/v1/keyring',
    summary: 'Keys that seal gossip, by fingerprint',
    response: z.array(keyringEntrySchema),
    handle: (view) => sortBy(view.keyring(), ({ fingerprint }) => fingerprint),
  },
  {
    method: 'POST',
    path: '/v1/keyring/add',
    summary: 'Give all hosts a further key',
    response: keyringEntrySchema,
    body: keyRequestSchema,
    handle: (view, { body }) => view.keyringAdd((body as z.infer<typeof keyRequestSchema>).key),
  },
  {
    method: 'POST',
    path: '/v1/keyring/use',
    summary: 'Seal with this key, as soon as all hosts hold it',
    response: keyringEntrySchema,
    body: fingerprintRequestSchema,
    handle: (view, { body }) => view.keyringUse(fingerprintIn(body)),
  },
  {
    method: 'POST',
    path: '/v1/keyring/remove',
    summary: 'Forget this key on all hosts, as soon as nobody seals with it',
    response: keyringEntrySchema,
    body: fingerprintRequestSchema,
    handle: (view, { body }) => view.keyringRemove(fingerprintIn(body)),
  },
  {
    method: 'GET',
    path: '/v1/identities',
    summary: 'Keys of hosts: how each is known, and which are revoked',
    response: z.array(identitySchema),
    handle: (view) => view.identities(),
  },
  {
    method: 'POST',
    path: '/v1/identities/forget',
    summary: 'The key of a host is void for all, and its name takes the next key that is seen',
    response: revokeResultSchema,
    body: nodeRequestSchema,
    handle: (view, { body }) => view.identityForget((body as z.infer<typeof nodeRequestSchema>).name),
  },
  {
    method: 'POST',
    path: '/v1/revoke',
    summary: 'The key of a host is void for all, or (undo) good again',
    response: revokeResultSchema,
    body: revokeRequestSchema,
    handle: (view, { body }) => view.revoke(body as z.infer<typeof revokeRequestSchema>),
  },
];

function isTrue(name: string, text: string | undefined): boolean {
  if (text === undefined || text === 'false') return false;
  if (text === 'true') return true;
  throw new OverlaydError('OVL_BAD_REQUEST', `${name} is true or false, not ${JSON.stringify(text)}`, {
    exitCode: 2,
  });
}

function fingerprintIn(body: unknown): string {
  return (body as z.infer<typeof fingerprintRequestSchema>).fingerprint;
}

function knownNetwork(view: DaemonView, name: string): NetworkDetail {
  const network = view.network(name);
  if (network !== undefined) return network;
  const known = view.networks().map((other) => other.name);
  throw networkNotFound(name, known);
}

/** By code units, so that the order is the same on every machine. */
function sortBy<T>(rows: readonly T[], ...keys: readonly ((row: T) => string)[]): T[] {
  return [...rows].sort((a, b) => {
    for (const key of keys) {
      if (key(a) !== key(b)) return key(a) < key(b) ? -1 : 1;
    }
    return 0;
  });
}
