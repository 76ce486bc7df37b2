import * as fc from 'fast-check';
import t from 'tap';
import { FAULT_NAMES } from './faults.ts';
import type { Step } from './faults.ts';
import { runStorm } from './storm.ts';
import type { StormResult } from './storm.ts';
import { sayStorm } from './storm-suite.ts';

/** Scripts of faults that fast-check makes, and makes shorter when one fails (issue 3.7). */
const STORM_MS = 40_000;
const CALM_MS = 90_000;
t.setTimeout(175_000);

const step: fc.Arbitrary<Step> = fc.record({
  atMs: fc.integer({ min: 0, max: STORM_MS }),
  fault: fc.constantFrom(...FAULT_NAMES),
  lastsMs: fc.integer({ min: 1, max: 25_000 }),
  dice: fc.nat(),
});
const scripts = fc.array(step, { maxLength: 12 });

function stormOf(script: readonly Step[], seed: number, hosts: number): StormResult {
  const minutes = (10_000 + STORM_MS + CALM_MS) / 60_000;
  return runStorm({ seed, hosts, minutes, calmMs: CALM_MS, seal: seed % 2 === 0 ? 'none' : 'cheap', script });
}

void t.test('3.7: after any script all agree again, and nothing was ever wrong', (test) => {
  const property = fc.property(scripts, fc.nat(1000), (script, seed) => {
    const result = stormOf(script, seed, 6);
    if (result.problem !== undefined) throw new Error(sayStorm(seed, result));
  });
  test.doesNotThrow(() => fc.assert(property, { numRuns: 25, seed: 7 }));
  test.end();
});

void t.test('3.7: a script that fails is made as short as can be', (test) => {
  // Stands in for a defect: it shows whenever somebody restarts.
  const isBad = ({ fault }: Step): boolean => fault === 'crash';
  const outcome = fc.check(
    fc.property(scripts, (script) => !script.some(isBad)),
    { numRuns: 200, seed: 1 },
  );
  test.equal(outcome.failed, true);
  const [shrunk] = outcome.counterexample ?? [[]];
  test.equal(shrunk.length, 1);
  test.match(shrunk[0], { fault: 'crash', atMs: 0, lastsMs: 1 });
  test.end();
});
