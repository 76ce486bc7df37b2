/**
 * The configuration as people write it: one zod schema for the YAML file, the environment and the flags.
 *
 * A key is the flag's name; `networks` and `static-peers` hold lists of what `--network` and `--static-peer` give one at
 * a time, as mappings or as the flag's own text. Only single values are judged here; what depends on other values or
 * on the machine is judged in resolve.ts.
 */
import { z } from 'zod';
import { canonicalIp, canonicalMac, ipKind, parseCidr, parseHostPort } from './address.ts';
import { parseInterval } from './interval.ts';
import { TUNNEL_VERSIONS } from '../../proto/versions.ts';
import { LOG_FORMATS, LOG_LEVELS } from './run-config.ts';

/** IFNAMSIZ is 16 with the terminating zero. */
const IFNAME_MAX = 15;
export const VNI_MAX = 2 ** 24 - 1;
/** IPv4 asks every link for 68 bytes (RFC 791); the ceiling is what one UDP datagram holds after VXLAN and Ethernet. */
const MTU_MIN = 68;
export const MTU_MAX = 65535 - 50;

/** A string that `read` turns into its canonical form; undefined becomes an error that says what was expected. */
function textOf(expected: string, read: (text: string) => string | undefined): z.ZodType<string> {
  return z.string(`expected ${expected}`).transform((text, context) => {
    const value = read(text);
    if (value !== undefined) return value;
    context.addIssue({ code: 'custom', message: `expected ${expected}, got "${text}"` });
    return z.NEVER;
  });
}

function integer(min: number, max: number): z.ZodType<number> {
  return z.int(`expected a whole number, ${min} to ${max}`).check((context) => {
    if (context.value >= min && context.value <= max) return;
    const message = `expected a whole number, ${min} to ${max}, got ${context.value}`;
    context.issues.push({ code: 'custom', message, input: context.value });
  });
}

const matching = (pattern: RegExp) => (text: string) => (pattern.test(text) ? text : undefined);

const nodeName = textOf(
  'a name of 1 to 128 letters, digits, dots, dashes or underscores',
  matching(/^[A-Za-z0-9._-]{1,128}$/),
);
const networkName = textOf(
  'a name of 1 to 63 letters, digits, dots, dashes or underscores, starting with a letter or digit',
  matching(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/),
);
// No dot: Docker takes "tap0.5" for VLAN 5 of tap0 and makes that interface itself.
const interfaceName = textOf(
  `an interface name of 1 to ${IFNAME_MAX} letters, digits, dashes or underscores (IFNAMSIZ)`,
  matching(/^[A-Za-z0-9_-]{1,15}$/),
);
const ip = textOf('an IP address', canonicalIp);
const unicastIp = textOf('a unicast IP address', (text) => {
  const address = canonicalIp(text);
  if (address === undefined) return undefined;
  return ['unspecified', 'multicast', 'broadcast'].includes(ipKind(address)) ? undefined : address;
});
const mac = textOf('a unicast MAC address such as 02:42:0a:2a:00:02', canonicalMac);
const absolutePath = textOf('an absolute path', matching(/^\/[^\0]+$/));
// Whoever takes the option for the key itself must not find it in a log: not quoted, nor opened as a file, which would be.
const BASE64_KEY = /^([\w+/]{22}==|[\w+/]{43}=)$/;
const keyringPath = z.string().refine((text) => /^\/[^\0]+$/.test(text) && !BASE64_KEY.test(text), {
  error: 'expected an absolute path of a file with keys (not shown here: it may be a key)',
});
const pathOrNone = textOf('an absolute path or "none"', matching(/^(\/[^\0]+|none)$/));
const hostPort = textOf('HOST or HOST:PORT', (text) => (parseHostPort(text, 1) ? text : undefined));
const metricsAddr = textOf('IP:PORT or "none"', (text) => {
  const target = parseHostPort(text, 0);
  const good = text === 'none' || (target !== undefined && target.port > 0 && canonicalIp(target.host));
  return good ? text : undefined;
});

/** A key that lives shorter is busy with its successor; as a number of milliseconds it must fit a timer. */
const REKEY_MIN_MS = 10_000;
const REKEY_MAX_MS = 365 * 24 * 3_600_000;
const rekeyInterval = textOf('a time from 10s to 8760h, or "off"', (text) => {
  if (text === 'off' || text === '0') return 'off';
  const intervalMs = parseInterval(text);
  return intervalMs !== undefined && intervalMs >= REKEY_MIN_MS && intervalMs <= REKEY_MAX_MS
    ? text
    : undefined;
});

const SESSION_REKEY_MIN_MS = 1_000;
const SESSION_REKEY_MAX_MS = 24 * 3_600_000;
const sessionRekeyInterval = textOf('a time from 1s to 24h', (text) => {
  const intervalMs = parseInterval(text) ?? 0;
  return intervalMs >= SESSION_REKEY_MIN_MS && intervalMs <= SESSION_REKEY_MAX_MS ? text : undefined;
});

const RANGE_LEASE_MIN_MS = 5_000;
const RANGE_LEASE_MAX_MS = 30 * 24 * 3_600_000;
const rangeLease = textOf('a time from 5s to 720h', (text) => {
  const leaseMs = parseInterval(text) ?? 0;
  return leaseMs >= RANGE_LEASE_MIN_MS && leaseMs <= RANGE_LEASE_MAX_MS ? text : undefined;
});

const cidr = z.string('expected a subnet such as 10.42.0.0/16').transform((text, context) => {
  const read = parseCidr(text);
  if (read !== undefined && !read.hostBitsSet) return read.cidr.text;
  const message =
    read === undefined
      ? `expected a subnet such as 10.42.0.0/16, got "${text}"`
      : `"${text}" has host bits set; the subnet is ${read.cidr.text}`;
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
});

const port = integer(1, 65535);

export const networkSchema = z.strictObject({
  name: networkName,
  vni: integer(1, VNI_MAX),
  subnet: cidr.optional(),
  gateway: ip.optional(),
  'ip-range': cidr.optional(),
  tap: interfaceName.optional(),
  mtu: integer(MTU_MIN, MTU_MAX).optional(),
  encrypted: z.boolean('expected true or false').optional(),
});
export type RawNetwork = z.infer<typeof networkSchema>;

const LABEL_TEXT_MAX = 255;
/** `POST /v1/networks`: what is not given is chosen. */
export const networkCreateSchema = z.strictObject({
  name: networkName,
  /** At most one of each family. */
  subnets: z.array(cidr).max(2).optional(),
  gateways: z.array(ip).max(2).optional(),
  vni: integer(1, VNI_MAX).optional(),
  mtu: integer(MTU_MIN, MTU_MAX).optional(),
  encrypted: z.boolean().optional(),
  internal: z.boolean().optional(),
  labels: z.record(z.string().min(1).max(LABEL_TEXT_MAX), z.string().max(LABEL_TEXT_MAX)).optional(),
});
export type NetworkCreate = z.infer<typeof networkCreateSchema>;
export const networkAttachSchema = z.strictObject({ tap: interfaceName.optional() });
export type NetworkAttach = z.infer<typeof networkAttachSchema>;
export const networkDetachSchema = z.strictObject({ force: z.boolean().optional() });
export type NetworkDetach = z.infer<typeof networkDetachSchema>;

export const staticPeerSchema = z.strictObject({
  ip: unicastIp,
  network: networkName,
  macs: z.array(mac).optional(),
});
export type RawStaticPeer = z.infer<typeof staticPeerSchema>;

export const configSchema = z.strictObject({
  'node-name': nodeName.optional(),
  'advertise-addr': unicastIp.optional(),
  'data-path-addr': unicastIp.optional(),
  'gossip-port': port.optional(),
  'data-port': port.optional(),
  join: z.array(hostPort, 'expected a list of HOST[:PORT]').optional(),
  networks: z.array(networkSchema, 'expected a list of networks').optional(),
  keyring: keyringPath.optional(),
  'gossip-encryption': z.enum(['required', 'transition'], 'expected required or transition').optional(),
  'gossip-rekey-interval': rekeyInterval.optional(),
  'rekey-interval': sessionRekeyInterval.optional(),
  'range-lease': rangeLease.optional(),
  identities: absolutePath.optional(),
  'join-all': z.boolean('expected true or false').optional(),
  'static-peers': z.array(staticPeerSchema, 'expected a list of static peers').optional(),
  'wire-version': integer(TUNNEL_VERSIONS.min, TUNNEL_VERSIONS.max).optional(),
  workers: integer(1, 64).optional(),
  io: z.enum(['batch', 'dgram'], 'expected batch or dgram').optional(),
  socket: absolutePath.optional(),
  'state-dir': absolutePath.optional(),
  'metrics-addr': metricsAddr.optional(),
  'docker-socket': pathOrNone.optional(),
  'docker-plugin': pathOrNone.optional(),
  'docker-scope': z.enum(['local', 'global'], 'expected local or global').optional(),
  'log-level': z.enum(LOG_LEVELS, `expected one of ${LOG_LEVELS.join(', ')}`).optional(),
  'log-format': z.enum(LOG_FORMATS, 'expected json or text').optional(),
  'remove-taps-on-exit': z.boolean('expected true or false').optional(),
});
/** One source's part of the configuration, or all sources merged: canonical values under the keys of the file. */
export type RawConfig = z.infer<typeof configSchema>;
export type ConfigKey = keyof RawConfig;
