/** The options of `docker network create -d overlayd --opt KEY[=VALUE]`, read strictly: a typing error must not pass. */
import { didYouMean } from '../../config/nearest.ts';
import { OverlaydError } from '../../errors.ts';

export interface NetworkOptions {
  /** The network's name among all hosts; default: Docker's name for it. */
  readonly name?: string;
  readonly vni?: number;
  readonly mtu?: number;
  readonly encrypted?: boolean;
}

const VNI_MAX = 0xff_ffff;
const MTU_MIN = 68;
const MTU_MAX = 65_485;
/** Docker's own word for it, which its bridge driver takes too. */
const DOCKER_MTU = 'com.docker.network.driver.mtu';
const KNOWN = ['name', 'vni', 'mtu', 'encrypted'] as const;
export const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/;

/** Throws OverlaydError. */
export function readOptions(given: Readonly<Record<string, unknown>>): NetworkOptions {
  const options: { -readonly [K in keyof NetworkOptions]: NetworkOptions[K] } = {};
  for (const [key, raw] of Object.entries(given)) {
    const value = typeof raw === 'string' ? raw : String(raw);
    switch (key) {
      case 'name':
        options.name = readName(value);
        break;
      case 'vni':
        options.vni = integer(key, value, 1, VNI_MAX);
        break;
      case 'mtu':
      case DOCKER_MTU:
        options.mtu = integer(key, value, MTU_MIN, MTU_MAX);
        break;
      case 'encrypted':
        options.encrypted = truth(key, value);
        break;
      default:
        // What Docker itself or swarm adds.
        if (!key.startsWith('com.docker.')) throw unknown(key);
    }
  }
  return options;
}

export function readName(value: string): string {
  if (NAME_PATTERN.test(value)) return value;
  throw bad(
    `"${value}" cannot be a network's name among hosts`,
    "Use 1 to 63 letters, digits, dots, dashes or underscores, a letter or digit first; --opt name=NAME gives the network one that differs from Docker's.",
  );
}

function integer(key: string, value: string, min: number, max: number): number {
  const number = Number(value);
  if (/^\d{1,9}$/.test(value) && number >= min && number <= max) return number;
  throw bad(`--opt ${key} is a whole number, ${min} to ${max}, not "${value}"`, `Give --opt ${key}=N.`);
}

/** `--opt encrypted` alone comes as the empty text. */
function truth(key: string, value: string): boolean {
  if (['', 'true', '1', 'yes'].includes(value.toLowerCase())) return true;
  if (['false', '0', 'no'].includes(value.toLowerCase())) return false;
  throw bad(`--opt ${key} is true or false, not "${value}"`, `Give --opt ${key} alone.`);
}

function unknown(key: string): OverlaydError {
  return bad(`unknown --opt ${key}${didYouMean(key, KNOWN)}`, `There are: ${KNOWN.join(', ')}.`);
}

function bad(message: string, hint: string): OverlaydError {
  return new OverlaydError('OVL_DOCKER_OPTION', message, { hint, exitCode: 2 });
}
