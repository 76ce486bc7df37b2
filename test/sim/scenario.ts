import t from 'tap';
import type { Test } from 'tap';
import { Simulation } from './simulation.ts';

/**
 * Runs one scenario under several seeds, each as a subtest named after its seed, so that a failure tells what to repeat:
 * OVERLAYD_SEED=N runs that seed alone.
 */
export function scenario(
  name: string,
  seeds: readonly number[],
  play: (test: Test, sim: Simulation) => void,
): void {
  // The machine may be busy: tap's own limit of 30 s is for a quiet one.
  t.setTimeout(180_000);
  const { OVERLAYD_SEED: only } = process.env;
  void t.test(name, (test) => {
    for (const seed of only === undefined ? seeds : [Number(only)]) {
      void test.test(`seed ${seed}`, (subtest) => {
        const sim = new Simulation(seed);
        play(subtest, sim);
        subtest.comment(`seed ${seed}: ${sim.now} virtual ms, ${sim.network.packets.sent} packets`);
        subtest.end();
      });
    }
    test.end();
  });
}
