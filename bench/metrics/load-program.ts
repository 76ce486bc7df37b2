/** Command lines of the bench's own load programs (bench/*.ts), each a process of its own in the endpoint's namespace. */

import { fileURLToPath } from 'node:url';

export function loadProgram(name: string, values: Readonly<Record<string, string>>): string[] {
  const program = fileURLToPath(new URL(`../${name}.js`, import.meta.url));
  return [
    process.execPath,
    program,
    ...Object.entries(values).flatMap(([key, value]) => [`--${key}`, value]),
  ];
}
