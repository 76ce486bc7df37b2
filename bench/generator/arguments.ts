/** Arguments of the load programs: `--name value` pairs, written by the bench itself and so barely checked. */

import { parseArgs } from 'node:util';

export function programArguments<Name extends string>(names: readonly Name[]): Record<Name, string> {
  const options = Object.fromEntries(names.map((name) => [name, { type: 'string' as const }]));
  const { values } = parseArgs({ options });
  return Object.fromEntries(
    names.map((name) => {
      const value = values[name];
      if (typeof value !== 'string') throw new Error(`--${name} is missing`);
      return [name, value];
    }),
  ) as Record<Name, string>;
}
