/**
 * What Docker asks of its network and IPAM drivers: one schema a message, as recorded from a real engine.
 *
 * Null stands for "nothing" in several places; unknown fields belong to later versions and are let through.
 */
import { z } from 'zod';

/** Docker's IDs are 64 hex digits, swarm's 25 letters and digits. */
const id = z.string().regex(/^[A-Za-z0-9]{1,64}$/, 'expected an ID');
const short = z.string().max(256);
const optionMap = z
  .record(short, z.unknown())
  .nullish()
  .transform((value) => value ?? {});
const textMap = z
  .record(short, short)
  .nullish()
  .transform((value) => value ?? {});

export const requestPoolSchema = z.object({
  AddressSpace: short.default(''),
  Pool: short.default(''),
  SubPool: short.default(''),
  Options: textMap,
  V6: z.boolean().default(false),
});
export const releasePoolSchema = z.object({ PoolID: short });
export const requestAddressSchema = z.object({
  PoolID: short,
  Address: short.default(''),
  Options: textMap,
});
export const releaseAddressSchema = z.object({ PoolID: short, Address: short });

const poolDataSchema = z.object({
  AddressSpace: short.default(''),
  Pool: short,
  /** With prefix length. */
  Gateway: short.nullish().transform((value) => value ?? ''),
  AuxAddresses: textMap,
});
export type PoolData = z.infer<typeof poolDataSchema>;
const poolList = z
  .array(poolDataSchema)
  .max(16)
  .nullish()
  .transform((value) => value ?? []);

export const createNetworkSchema = z.object({
  NetworkID: id,
  Options: optionMap,
  IPv4Data: poolList,
  IPv6Data: poolList,
});
/** Swarm's; its options are flat. */
export const allocateNetworkSchema = z.object({
  NetworkID: id,
  Options: textMap,
  IPv4Data: poolList,
  IPv6Data: poolList,
});
export const networkSchema = z.object({ NetworkID: id });

const nullable = short.nullish().transform((value) => value ?? '');
export const createEndpointSchema = z.object({
  NetworkID: id,
  EndpointID: id,
  Interface: z
    .object({ Address: nullable, AddressIPv6: nullable, MacAddress: nullable })
    .nullish()
    .transform((value) => value ?? { Address: '', AddressIPv6: '', MacAddress: '' }),
  Options: optionMap,
});
const portMapSchema = z
  .array(z.object({ Proto: z.int(), Port: z.int(), HostPort: z.int().default(0) }))
  .max(65_536);
/** IANA numbers. */
const PROTOCOLS: Readonly<Record<number, string>> = { 6: 'tcp', 17: 'udp', 132: 'sctp' };

/** Ports that the user wants published (`-p`), as text: `8080:80/tcp`. */
export function publishedPorts(options: Readonly<Record<string, unknown>>): string[] {
  const read = portMapSchema.safeParse(options['com.docker.network.portmap']);
  return (read.data ?? []).map(({ Proto, Port, HostPort }) => {
    const where = HostPort === 0 ? '' : `${HostPort}:`;
    return `${where}${Port}/${PROTOCOLS[Proto] ?? Proto}`;
  });
}
export const joinSchema = z.object({
  NetworkID: id,
  EndpointID: id,
  SandboxKey: z.string().min(1).max(4096),
});
export const endpointSchema = z.object({ NetworkID: id, EndpointID: id });
export const anySchema = z.unknown();
