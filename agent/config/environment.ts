/** Environment variables and flags: both are text under the flag's name, one list item per word or per flag. */
import { nearest } from './nearest.ts';
import { OPTIONS, environmentName } from './options.ts';
import { checkLayer } from './layer.ts';
import type { Locate } from './layer.ts';
import type { RawConfig } from './schema.ts';
import { numberIfDigits } from './spec.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Flag values as the command line gives them, by file key: text, list of texts, or true for a switch. */
export type FlagValues = Readonly<Record<string, string | readonly string[] | boolean | undefined>>;

/** Variables of ours that are not options of `run`. */
const OTHER_VARIABLES = ['OVERLAYD_CONFIG', 'OVERLAYD_SOCKET'];

export function readEnvironment(environment: Environment): RawConfig {
  const values: Record<string, unknown> = {};
  for (const option of OPTIONS) {
    const text = environment[environmentName(option.flag)];
    if (text === undefined || text === '') continue;
    if (option.kind === 'integer') values[option.key] = numberIfDigits(text);
    else if (option.kind === 'switch') values[option.key] = readSwitch(text);
    // Specs have commas inside, so items are parted by white space.
    else if (option.kind === 'list') values[option.key] = text.trim().split(/\s+/);
    else values[option.key] = text;
  }
  return checkLayer(values, locateEnvironment, 'named');
}

export const locateEnvironment: Locate = ([key]) => environmentName(flagOf(key));

/** Variables that look like ours and are not: mistyped, most likely, and silently without effect. */
export function unknownVariables(environment: Environment): { name: string; nearest: string | undefined }[] {
  const known = [...OTHER_VARIABLES, ...OPTIONS.map(({ flag }) => environmentName(flag))];
  return Object.keys(environment)
    .filter((name) => name.startsWith('OVERLAYD_') && !known.includes(name))
    .map((name) => ({ name, nearest: nearest(name, known) }));
}

export function readFlags(flags: FlagValues): RawConfig {
  const values: Record<string, unknown> = {};
  for (const { key, kind } of OPTIONS) {
    const value = flags[key];
    if (value === undefined) continue;
    values[key] = kind === 'integer' && typeof value === 'string' ? numberIfDigits(value) : value;
  }
  return checkLayer(values, locateFlag, 'named');
}

export const locateFlag: Locate = ([key]) => `--${flagOf(key)}`;

function flagOf(key: PropertyKey | undefined): string {
  return OPTIONS.find((option) => option.key === key)?.flag ?? String(key);
}

function readSwitch(text: string): boolean | string {
  if (['1', 'true', 'yes'].includes(text.toLowerCase())) return true;
  return ['0', 'false', 'no'].includes(text.toLowerCase()) ? false : text;
}
