/** Texts that users see, compared with checked-in copies. `UPDATE_GOLDEN=1` writes them anew, for review. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';

/** From build/test/agent/golden.js to the sources. */
const ROOT = new URL('../../../', import.meta.url);

/** `path` is relative to the repository. */
export function matchGolden(t: Test, path: string, actual: string): void {
  const file = fileURLToPath(new URL(path, ROOT));
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, actual);
  t.equal(actual, readFileSync(file, 'utf8'), `is what ${path} says (UPDATE_GOLDEN=1 writes it anew)`);
}
