/**
 * Last step of `npm test`: reads the raw TAP of every tier, prints what failed or was skipped, and the totals as the
 * last line. Exit code 1 when anything failed, a tier broke off, or no test ran.
 *
 * Usage: summary.js FOLDER, which holds TIER.tap (raw TAP) and TIER.exit (tap's exit code) for each tier that ran.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { countTap } from './tap-count.ts';

const folder = process.argv[2];
if (folder === undefined) throw new Error('usage: summary.js FOLDER');

let passed = 0;
let failed = 0;
let skipped = 0;
const say = (line: string): boolean => process.stdout.write(`${line}\n`);

for (const file of readdirSync(folder)
  .filter((name) => name.endsWith('.tap'))
  .sort()) {
  const tier = file.replace(/\.tap$/, '');
  const count = countTap(readFileSync(join(folder, file), 'utf8'));
  const exit = readFileSync(join(folder, `${tier}.exit`), 'utf8').trim();
  say(`${tier}: ${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
  for (const skip of count.skips) say(`  skipped: ${skip}`);
  for (const failure of count.failures) say(`  FAILED: ${failure}`);
  passed += count.passed;
  failed += count.failed;
  skipped += count.skipped;
  // A runner that failed for a reason that no test point names must not look green.
  if (count.failed === 0 && (exit !== '0' || !count.complete)) {
    say(`  FAILED: tap ended with exit code ${exit}${count.complete ? '' : ' before all files were run'}`);
    failed++;
  }
}
if (passed + failed === 0) {
  say('FAILED: no test ran');
  failed = 1;
}
say(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = failed === 0 ? 0 : 1;
