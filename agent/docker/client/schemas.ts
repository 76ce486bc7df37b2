/**
 * What is read of Docker's answers, and nothing more: unknown fields are let through, missing ones have the value that
 * Docker means by leaving them out. Docker API 1.24 and newer.
 */
import { z } from 'zod';

const text = z
  .string()
  .nullish()
  .transform((value) => value ?? '');
const texts = z
  .record(z.string(), z.string().nullable())
  .nullish()
  .transform((values) =>
    Object.fromEntries(Object.entries(values ?? {}).map(([key, value]) => [key, value ?? ''])),
  );

export const versionSchema = z.object({
  Version: text,
  ApiVersion: z.string().regex(/^\d+\.\d+$/),
  MinAPIVersion: z
    .string()
    .regex(/^\d+\.\d+$/)
    .optional(),
});

const ipamConfigSchema = z.object({
  Subnet: text,
  IPRange: text,
  Gateway: text,
  /** Named addresses that are not handed out. */
  AuxiliaryAddresses: texts,
});

const attachmentSchema = z.object({
  Name: text,
  EndpointID: text,
  MacAddress: text,
  /** With prefix length; empty when there is none. */
  IPv4Address: text,
  IPv6Address: text,
});
export type Attachment = z.infer<typeof attachmentSchema>;

/** `GET /networks/{id}`; in a list `Containers` is always empty. */
export const networkSchema = z.object({
  Id: z.string().min(1),
  Name: z.string(),
  Driver: text,
  Scope: text,
  Internal: z
    .boolean()
    .nullish()
    .transform((value) => value ?? false),
  Options: texts,
  Labels: texts,
  IPAM: z
    .object({
      Driver: text,
      Options: texts,
      Config: z
        .array(ipamConfigSchema)
        .nullish()
        .transform((value) => value ?? []),
    })
    .nullish()
    .transform((value) => value ?? { Driver: '', Options: {}, Config: [] }),
  /** By container ID; `ep-ENDPOINT` while the container is being started. */
  Containers: z
    .record(z.string(), attachmentSchema)
    .nullish()
    .transform((value) => value ?? {}),
});
export type DockerNetwork = z.infer<typeof networkSchema>;

const endpointSettingsSchema = z.object({
  MacAddress: text,
  /** Without prefix length; empty when there is none. */
  IPAddress: text,
  GlobalIPv6Address: text,
});

/** `GET /containers/{id}/json`. */
export const containerSchema = z.object({
  /** With a slash before it. */
  Name: text,
  /** 0 when it does not run. */
  State: z.object({ Pid: z.number().default(0) }),
  /** By the name of the network. */
  NetworkSettings: z.object({ Networks: z.record(z.string(), endpointSettingsSchema) }),
});
export type DockerContainer = z.infer<typeof containerSchema>;

/** A row of `GET /containers/json`. */
export const runningSchema = z.object({ Id: z.string().min(1) });

const swarmSchema = z.object({
  LocalNodeState: text,
  /** Of managers alone; a port of 0 is the default one. */
  Cluster: z.object({ DataPathPort: z.number().default(0) }).nullish(),
});

/** `GET /info`. */
export const infoSchema = z.object({ Swarm: swarmSchema.nullish() });
export type DockerInfo = z.infer<typeof infoSchema>;

export const eventSchema = z.object({
  Type: z.string(),
  Action: z.string(),
  Actor: z.object({ ID: text, Attributes: texts }),
});
export type DockerEvent = z.infer<typeof eventSchema>;

export const messageSchema = z.object({ message: z.string() });
