/** Many endpoints through the Docker driver's protocol; 2,000 of them are `npm run bench:endpoints`. */
import { storm, stormArgs } from '../../bench/endpoints/storm.ts';
import { startCluster } from './cluster.ts';
import { netnsTest } from './guard.ts';

const ENDPOINTS = 300;
const PAIRS = 90;
const UP_SECONDS = 60;

netnsTest(
  '3.2, 5.6: endpoints by the hundred over three hosts, every sampled pair pings',
  ['ping'],
  async (t) => {
    const { testbed, daemons } = await startCluster(t, { hosts: 3, argsOf: stormArgs });
    const result = await storm(testbed, daemons, { endpoints: ENDPOINTS, hosts: 3, pairs: PAIRS });
    t.comment(JSON.stringify(result));
    t.strictSame(result.silent, []);
    t.ok(result.knownSeconds < UP_SECONDS, `up in ${result.upSeconds.toFixed(1)} s`);
    for (const daemon of daemons) {
      const { name } = daemon.host;
      t.notMatch(daemon.host.ip('-o', 'link'), / ovl/, `${name}: no interface is left`);
      const left = (await daemon.fdb()).filter(({ network, local }) => local && network === 'storm');
      t.strictSame(left, [], `${name}: no entry is left`);
    }
  },
);
