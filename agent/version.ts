import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The version of the package, from its package.json beside the build folder. */
export const VERSION: string = (
  JSON.parse(readFileSync(fileURLToPath(new URL('../../package.json', import.meta.url)), 'utf8')) as {
    version: string;
  }
).version;
