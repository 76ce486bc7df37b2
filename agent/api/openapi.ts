/**
 * The OpenAPI 3.1 document of the admin API, generated from the routes and their zod schemas.
 *
 * A copy is checked in beside this file; a test compares both, so that every change of the API is seen in review.
 */
import { z } from 'zod';
import { findingSchema } from '../doctor/finding.ts';
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
import { networkAttachSchema, networkCreateSchema, networkDetachSchema } from '../config/schema.ts';
import { PROBLEM_TYPE, problemSchema } from './problem.ts';
import {
  ROUTES,
  dockerRangeRequestSchema,
  emptySchema,
  fingerprintRequestSchema,
  joinRequestSchema,
  keyRequestSchema,
  reclaimRequestSchema,
  nodeRequestSchema,
  revokeRequestSchema,
} from './routes.ts';
import type { Route } from './routes.ts';

const NAMED: Readonly<Record<string, z.ZodType>> = {
  Status: statusSchema,
  Peer: peerSchema,
  NetworkSummary: networkSummarySchema,
  NetworkDetail: networkDetailSchema,
  NetworkCreate: networkCreateSchema,
  NetworkAttach: networkAttachSchema,
  NetworkDetach: networkDetachSchema,
  NetworkRemoval: networkRemovalSchema,
  FdbEntry: fdbEntrySchema,
  JoinRequest: joinRequestSchema,
  JoinResult: joinResultSchema,
  Finding: findingSchema,
  KeyringEntry: keyringEntrySchema,
  KeyRequest: keyRequestSchema,
  FingerprintRequest: fingerprintRequestSchema,
  Identity: identitySchema,
  NodeRequest: nodeRequestSchema,
  RevokeRequest: revokeRequestSchema,
  RevokeResult: revokeResultSchema,
  NetworkRanges: networkRangesSchema,
  DockerRange: dockerRangeSchema,
  DockerRangeRequest: dockerRangeRequestSchema,
  Reclaimed: reclaimedSchema,
  ReclaimRequest: reclaimRequestSchema,
  Empty: emptySchema,
  Problem: problemSchema,
};

type Json = Record<string, unknown>;

export function openApiDocument(): Json {
  const paths: Record<string, Json> = {};
  for (const route of ROUTES) {
    const path = route.path.replaceAll(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(route) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'overlayd admin API',
      version: '1',
      description:
        'HTTP and JSON on the Unix socket of the daemon. Additive changes only; absent means unknown.',
    },
    paths,
    components: { schemas: componentSchemas() },
  };
}

function operation(route: Route): Json {
  const parameters = [
    ...Object.entries(route.parameters ?? {}).map(([name, text]) => parameter(name, 'path', text)),
    ...Object.entries(route.query ?? {}).map(([name, text]) => parameter(name, 'query', text)),
  ];
  return {
    summary: route.summary,
    ...(parameters.length > 0 && { parameters }),
    ...(route.body && { requestBody: { required: true, content: content('application/json', route.body) } }),
    responses: {
      200: { description: 'Done', content: content('application/json', route.response) },
      default: { description: 'Refused or failed', content: content(PROBLEM_TYPE, problemSchema) },
    },
  };
}

function parameter(name: string, place: 'path' | 'query', description: string): Json {
  return { name, in: place, required: place === 'path', description, schema: { type: 'string' } };
}

function content(type: string, schema: z.ZodType): Json {
  return { [type]: { schema: reference(schema) } };
}

function reference(schema: z.ZodType): Json {
  if (schema instanceof z.ZodArray) return { type: 'array', items: reference(schema.element as z.ZodType) };
  const name = Object.keys(NAMED).find((key) => NAMED[key] === schema);
  if (name === undefined) throw new TypeError('a schema of a route has no name in the OpenAPI document');
  return { $ref: `#/components/schemas/${name}` };
}

function componentSchemas(): Json {
  return Object.fromEntries(
    Object.entries(NAMED).map(([name, schema]) => {
      // 'input' leaves objects open: a newer daemon may say more.
      const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input' });
      return [name, rest];
    }),
  );
}
