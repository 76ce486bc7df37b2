import t from 'tap';
import { suspicionMinMs } from '../../proto/swim/timing.ts';
import { runCampaign, scenarioSchema } from './campaign.ts';

/** What Lifeguard is worth, and that it costs nothing (issue 3.3). OVERLAYD_SEED=N runs one seed alone. */
const { OVERLAYD_SEED: only } = process.env;
const seedsOr = (seeds: readonly number[]): readonly number[] =>
  only === undefined ? seeds : [Number(only)];
const NODES = 50;
t.setTimeout(180_000);

void t.test(
  '3.3: a host starved to 10 % for a minute is not declared dead; a dead one is, in time',
  (test) => {
    const shortestMs = suspicionMinMs(4, NODES, 1000);
    // From the period of a CPU quota to whole seconds of standing still.
    for (const starvedPeriodSeconds of [0.1, 1, 5]) {
      for (const seed of seedsOr([1, 2, 3])) {
        const scenario = scenarioSchema.parse({
          title: 'starved',
          minutes: 2,
          starved: 0.1,
          starvedPeriodSeconds,
          crashes: 1,
        });
        const { falsePositives, crashes, isWholeAtEnd } = runCampaign({ nodes: NODES, seed, scenario });
        const name = `period ${starvedPeriodSeconds} s, seed ${seed}`;
        test.equal(falsePositives, 0, name);
        test.ok(isWholeAtEnd, `${name}: all agree at the end`);
        const { suspectMs, deadMs, allMs } = crashes[0] ?? { suspectMs: NaN, deadMs: NaN, allMs: NaN };
        // Somebody probes it within seconds; then between the shortest and the longest suspicion, by the starved as well.
        test.ok(suspectMs < 10_000, `${name}: suspected after ${suspectMs} ms`);
        test.ok(
          deadMs >= shortestMs && deadMs <= suspectMs + 6 * shortestMs,
          `${name}: dead after ${deadMs} ms`,
        );
        test.ok(
          allMs <= deadMs + 2 * starvedPeriodSeconds * 1000 + 3000,
          `${name}: all know after ${allMs} ms`,
        );
      }
    }
    test.end();
  },
);

void t.test('3.3: sick hosts do not have well ones declared dead, and the dead are found as soon', (test) => {
  const scenario = scenarioSchema.parse({
    title: 'lagging',
    minutes: 1.5,
    lagging: 0.1,
    laggingPeriodSeconds: 20,
    crashes: 1,
  });
  const sum = { with: 0, without: 0, withMs: 0, withoutMs: 0 };
  const seeds = seedsOr([1, 2, 3]);
  for (const seed of seeds) {
    const guarded = runCampaign({ nodes: NODES, seed, scenario });
    const plain = runCampaign({ nodes: NODES, seed, scenario, lifeguard: false });
    sum.with += guarded.falsePositivesOfWell;
    sum.without += plain.falsePositivesOfWell;
    sum.withMs += guarded.crashes[0]?.deadMs ?? NaN;
    sum.withoutMs += plain.crashes[0]?.deadMs ?? NaN;
  }
  test.comment(
    `well hosts declared dead, at each that believes it: ${sum.without} without Lifeguard, ${sum.with} with`,
  );
  test.ok(sum.without > 100 * seeds.length, `${sum.without} without`);
  test.ok(sum.with * 50 < sum.without, `${sum.with} with`);
  test.ok(sum.withMs <= sum.withoutMs + 3000 * seeds.length, 'and a death is declared as soon');
  test.end();
});
