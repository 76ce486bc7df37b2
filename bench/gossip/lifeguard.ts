/** What Lifeguard is worth: well hosts that are declared dead because some others are sick, with it and without. */
import { runCampaign, scenarioSchema } from '../../test/sim/campaign.ts';
import type { Figure, Part } from './figure.ts';
import { percentile } from './figure.ts';

const HOSTS = 50;
const RUNS = 3;
const SCENARIO = scenarioSchema.parse({
  title: 'a tenth of the hosts hear and say nothing for 18 s of every 20',
  minutes: 1.5,
  lagging: 0.1,
  laggingPeriodSeconds: 20,
  crashes: 1,
});

export const LIFEGUARD: readonly Part[] = [{ id: 'lifeguard', measure }];

function measure(seed: number): Figure[] {
  return [true, false].flatMap((lifeguard) => {
    const runs = Array.from({ length: RUNS }, (_, i) =>
      runCampaign({ nodes: HOSTS, seed: seed + i, scenario: SCENARIO, lifeguard }),
    );
    const how = lifeguard ? 'with Lifeguard' : 'without it';
    const id = lifeguard ? 'with' : 'without';
    const wrong = runs.map(({ falsePositivesOfWell }) => falsePositivesOfWell);
    const deadS = runs.map(({ crashes }) => (crashes[0]?.deadMs ?? Infinity) / 1000);
    return [
      {
        id: `false-positives/${id}`,
        title: `${HOSTS} hosts, 5 of them sick: well ones declared dead, ${how}`,
        unit: 'times',
        value: percentile(wrong, 0.5),
        raw: wrong,
        note: `${SCENARIO.title}; counted at each host that believes it`,
      },
      {
        id: `death-among-sick/${id}`,
        title: `… one that died is declared dead, ${how}`,
        unit: 's',
        value: percentile(deadS, 0.5),
        raw: deadS,
      },
    ];
  });
}
