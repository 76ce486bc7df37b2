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

export const eventSchema = z.object({
  Type: z.string(),
  Action: z.string(),
  Actor: z.object({ ID: text, Attributes: texts }),
});
export type DockerEvent = z.infer<typeof eventSchema>;

export const messageSchema = z.object({ message: z.string() });
