/** Texts that users see, compared with checked-in copies. `UPDATE_GOLDEN=1` writes them anew, for review. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** From build/test/agent/golden.js to the sources. */
const ROOT = new URL('../../../', import.meta.url);

/** The checked-in text at `path`, relative to the repository; `actual` replaces it first when that is asked for. */
export function golden(path: string, actual: string): string {
  const file = fileURLToPath(new URL(path, ROOT));
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, actual);
  return readFileSync(file, 'utf8');
}
