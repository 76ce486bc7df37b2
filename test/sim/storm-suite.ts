import t from 'tap';
import { runStorm } from './storm.ts';
import type { StormOptions, StormResult } from './storm.ts';

/**
 * Storms by seed, 20 hosts over five virtual minutes each, spread over several files so that they run beside each other
 * (issue 3.7: 200 seeds). OVERLAYD_SEED=N runs one alone.
 */
const SEEDS_PER_FILE = 25;
const { OVERLAYD_SEED: only } = process.env;

export function stormSuite(file: number): void {
  t.setTimeout(175_000);
  const seeds = Array.from({ length: SEEDS_PER_FILE }, (_, i) => file * SEEDS_PER_FILE + i + 1);
  void t.test(
    `3.7: seeds ${seeds[0]} to ${seeds.at(-1)}: all agree again, and nothing was ever wrong`,
    (test) => {
      const agreed: number[] = [];
      for (const seed of only === undefined ? seeds : [Number(only)]) {
        const options = optionsOf(seed);
        const result = runStorm(options);
        test.equal(result.problem, undefined, sayStorm(seed, result));
        agreed.push(result.agreedMs ?? Infinity);
        if (seed % 25 !== 0) continue;
        test.equal(runStorm(options).traceHash, result.traceHash, `seed ${seed} gives one trace`);
      }
      agreed.sort((a, b) => a - b);
      test.comment(
        `all agree ${agreed[agreed.length >> 1]} ms (median), ${agreed.at(-1)} ms (worst) after the storm`,
      );
      test.end();
    },
  );
}

/** Every fourth cluster is sealed, which doubles the cost; by the real cipher now and then. */
function optionsOf(seed: number): StormOptions {
  const seal = seed % 4 !== 1 ? 'none' : seed % 25 === 1 ? 'aes' : 'cheap';
  return { seed, hosts: 20, minutes: 5, calmMs: 90_000, seal };
}

/** What is needed to see it again. */
export function sayStorm(seed: number, { problem, script, traceHash }: StormResult): string {
  const trace = `seed ${seed}, trace ${traceHash.slice(0, 16)}`;
  return problem === undefined ? trace : `${trace}: ${problem}; script ${JSON.stringify(script)}`;
}
