/**
 * The comma-separated texts of `--network` and `--static-peer`, read into the shape that the file has.
 *
 *   SPEC = name=NAME,vni=N[,subnet=CIDR][,gateway=IP][,ip-range=CIDR][,tap=IFNAME][,mtu=N][,encrypted]
 *   PEER = IP,network=NAME[,mac=MAC]...
 *
 * Only the grammar is judged here; values are the schema's. Throws SyntaxError with a message for people.
 */
import { didYouMean } from './nearest.ts';
import { networkSchema } from './schema.ts';

const NETWORK_KEYS = Object.keys(networkSchema.shape);
const NUMBERS = new Set(['vni', 'mtu']);

/** What a spec holds, before the schema has seen it. */
export type SpecFields = Record<string, unknown>;

export function parseNetworkSpec(spec: string): SpecFields {
  const fields: SpecFields = {};
  for (const part of spec.split(',')) {
    const [key, value] = keyAndValue(part, spec);
    if (!NETWORK_KEYS.includes(key)) {
      throw new SyntaxError(`unknown key "${key}" in "${spec}"${didYouMean(key, NETWORK_KEYS)}`);
    }
    if (key in fields) throw new SyntaxError(`"${key}" is given twice in "${spec}"`);
    if (key === 'encrypted') {
      if (value !== undefined) throw new SyntaxError(`"encrypted" takes no value in "${spec}"`);
      fields[key] = true;
    } else if (value === undefined) {
      throw new SyntaxError(`"${key}" needs a value in "${spec}": ${key}=…`);
    } else {
      fields[key] = NUMBERS.has(key) ? numberIfDigits(value) : value;
    }
  }
  for (const key of ['name', 'vni']) {
    if (!(key in fields)) throw new SyntaxError(`"${key}" is missing in "${spec}"`);
  }
  return fields;
}

export function parseStaticPeer(spec: string): SpecFields {
  const [ip, ...parts] = spec.split(',');
  const macs: string[] = [];
  let network: string | undefined;
  for (const part of parts) {
    const [key, value] = keyAndValue(part, spec);
    if (key !== 'network' && key !== 'mac') {
      throw new SyntaxError(`unknown key "${key}" in "${spec}"${didYouMean(key, ['network', 'mac'])}`);
    }
    if (value === undefined) throw new SyntaxError(`"${key}" needs a value in "${spec}": ${key}=…`);
    if (key === 'mac') {
      macs.push(value);
    } else {
      if (network !== undefined) throw new SyntaxError(`"network" is given twice in "${spec}"`);
      network = value;
    }
  }
  if (ip === undefined || ip === '' || ip.includes('=')) {
    throw new SyntaxError(`"${spec}" does not start with an IP address`);
  }
  if (network === undefined) throw new SyntaxError(`"network" is missing in "${spec}"`);
  return { ip, network, ...(macs.length > 0 && { macs }) };
}

/** Digits become a number; anything else stays text for the schema to refuse by name. */
export function numberIfDigits(text: string): number | string {
  return /^\d{1,15}$/.test(text) ? Number(text) : text;
}

function keyAndValue(part: string, spec: string): [key: string, value: string | undefined] {
  if (part.trim() === '') throw new SyntaxError(`an empty part in "${spec}"`);
  const equals = part.indexOf('=');
  if (equals === -1) return [part.trim(), undefined];
  return [part.slice(0, equals).trim(), part.slice(equals + 1).trim()];
}
