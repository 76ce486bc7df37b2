/**
 * Bench of many endpoints: how long 2,000 take to come up over three hosts, and what they cost.
 *
 *   node build/bench/endpoints.js [--endpoints N] [--hosts N] [--pairs N]
 */
import { parseArgs } from 'node:util';
import { Testbed } from '../agent/demo/testbed.ts';
import { storm, stormArgs } from './endpoints/storm.ts';

const { values } = parseArgs({
  options: {
    endpoints: { type: 'string', default: '2000' },
    hosts: { type: 'string', default: '3' },
    pairs: { type: 'string', default: '300' },
  },
});

const testbed = new Testbed();
try {
  const hosts = Number(values.hosts);
  for (let made = 0; made < hosts; made++) testbed.addHost();
  const daemons = testbed.hosts.map((host) => host.startDaemon({ args: stormArgs(host) }));
  await Promise.all(daemons.map((daemon) => daemon.ready(hosts - 1)));
  const options = { endpoints: Number(values.endpoints), hosts, pairs: Number(values.pairs) };
  process.stdout.write(`${JSON.stringify(await storm(testbed, daemons, options), undefined, 2)}\n`);
} finally {
  testbed.close();
}
