/**
 * One source of configuration (file, environment or flags) against the schema, with errors that name the place.
 *
 * Every source is checked whole, also what another source overrides: a broken file is an error before it matters.
 */
import type { z } from 'zod';
import { OverlaydError } from '../errors.ts';
import { didYouMean } from './nearest.ts';
import { configSchema, networkSchema, staticPeerSchema } from './schema.ts';
import type { RawConfig } from './schema.ts';
import { parseNetworkSpec, parseStaticPeer } from './spec.ts';

export type Path = readonly PropertyKey[];

/** Where a value stands, for people: `overlayd.yaml:3:1`, `--gossip-port`, `OVERLAYD_JOIN`. */
export type Locate = (path: Path) => string;

/** Whether a place tells the top-level key by itself, as a flag or a variable does and a line number does not. */
export type Places = 'named' | 'numbered';

export interface Problem {
  readonly where: string;
  readonly message: string;
}

/** Exit code 2: what was asked for cannot be right. */
export function configError(problems: readonly Problem[], hint?: string): OverlaydError {
  const lines = problems.map(({ where, message }) => (where === '' ? message : `${where}: ${message}`));
  return new OverlaydError('OVL_CONFIG_INVALID', lines.join('\n'), {
    exitCode: 2,
    details: { problems },
    ...(hint !== undefined && { hint }),
  });
}

/** Checks a source's values; throws one OverlaydError that lists everything wrong with it. */
export function checkLayer(
  values: Readonly<Record<string, unknown>>,
  locate: Locate,
  places: Places,
): RawConfig {
  const problems: Problem[] = [];
  const expanded = {
    ...values,
    ...expandSpecs(values, 'networks', parseNetworkSpec, locate, problems),
    ...expandSpecs(values, 'static-peers', parseStaticPeer, locate, problems),
  };
  const result = configSchema.safeParse(expanded, { reportInput: true });
  for (const issue of result.error?.issues ?? []) problems.push(...problemsOf(issue, locate, places));
  if (problems.length > 0 || !result.success) throw configError(inFileOrder(problems));
  return result.data;
}

/** Sorted by place, line 9 before line 10: that is how somebody mends them. */
function inFileOrder(problems: readonly Problem[]): Problem[] {
  return problems.toSorted((a, b) => a.where.localeCompare(b.where, 'en', { numeric: true }));
}

/** Replaces the texts in a list of specs by the mappings they stand for; what does not parse is left out, and told. */
function expandSpecs(
  values: Readonly<Record<string, unknown>>,
  key: 'networks' | 'static-peers',
  parse: (spec: string) => unknown,
  locate: Locate,
  problems: Problem[],
): Record<string, unknown> {
  const list = values[key];
  if (!Array.isArray(list)) return {};
  const expanded = list.map((item: unknown, index) => {
    if (typeof item !== 'string') return item;
    try {
      return parse(item);
    } catch (error) {
      problems.push({ where: locate([key, index]), message: (error as Error).message });
      return undefined;
    }
  });
  return { [key]: expanded.filter((item) => item !== undefined) };
}

function problemsOf(issue: z.core.$ZodIssue, locate: Locate, places: Places): Problem[] {
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(issue.path);
    return issue.keys.map((key) => ({
      where: locate([...issue.path, key]),
      message: `unknown key "${key}"${didYouMean(key, known)}`,
    }));
  }
  const name = places === 'named' && issue.path.length === 1 ? '' : keyName(issue.path);
  const message = issue.code === 'invalid_type' && issue.input === undefined ? 'is missing' : issue.message;
  return [{ where: locate(issue.path), message: name === '' ? message : `${name}: ${message}` }];
}

function knownKeys(path: Path): string[] {
  if (path[0] === 'networks') return Object.keys(networkSchema.shape);
  if (path[0] === 'static-peers') return Object.keys(staticPeerSchema.shape);
  return Object.keys(configSchema.shape);
}

/** `networks[0].vni` */
function keyName(path: Path): string {
  return path.reduce<string>((name, part) => {
    if (typeof part === 'number') return `${name}[${part}]`;
    return name === '' ? String(part) : `${name}.${String(part)}`;
  }, '');
}
