/** What the doctor knows of networks while no daemon runs (T8): from the configuration and the state folder alone. */
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import tap from 'tap';
import { keptNetworks } from '../../../agent/doctor/kept-networks.ts';
import { LocalFiles } from '../../../agent/networks/local-files.ts';
import { NetworkFile } from '../../../agent/networks/network-file.ts';
import { configuredId } from '../../../proto/networks/resolve.ts';
import type { MadeNetwork } from '../../../proto/state/values/network.ts';
import { CONFIGURED } from '../networks/local-host.ts';
import { BLUE, PoolHosts } from '../ipam/pool-hosts.ts';
import { recordingLog } from '../recording-log.ts';

const RED: MadeNetwork = {
  name: 'red',
  vni: 9,
  subnet: '10.43.0.0/24',
  gateway: '',
  mtu: 1_450,
  encrypted: false,
  made: {
    id: 'e'.repeat(32),
    creator: 'a',
    hlc: 1n,
    revision: 0,
    subnet6: 'fd43::/64',
    gateway6: 'fd43::1',
    internal: false,
    labels: {},
    chosen: { vni: true, subnet: true, mtu: true },
  },
};
const { log } = recordingLog();

void tap.test('T8: the configuration alone; the ranges and copies of the state folder', async (t) => {
  const folder = t.testdir();
  const network = { ...CONFIGURED, name: 'blue', vni: 7, subnet: '10.42.0.0/24', gateway: '10.42.0.1' };
  const subnet = { subnet: '10.42.0.0/24', gateway: '10.42.0.1' };
  const found = { name: 'blue', tap: 'tap0', peers: 0 };
  t.strictSame(keptNetworks({ networks: [network], stateDir: folder }), [
    { ...found, subnets: [{ ...subnet, ipRange: undefined, isGiven: false, ranges: [] }] },
  ]);

  const cluster = new PoolHosts(folder);
  cluster.networks = [{ ...BLUE, id: configuredId(network) }];
  const a = cluster.start('a');
  const b = cluster.start('b');
  const asked = b.handOut.request('blue', { family: 4 });
  cluster.run(10_000);
  await asked;
  await a.handOut.dockerRange('blue', 16);
  cluster.run(1_000);
  const ours = { host: '', isOurs: true, cidrs: ['10.42.0.0/25'], docker: ['10.42.0.112/28'] };
  const theirs = { host: 'b', isOurs: false, cidrs: ['10.42.0.128/25'], docker: [] };
  const stateDir = join(folder, 'a');
  t.strictSame(keptNetworks({ networks: [network], stateDir }), [
    {
      ...found,
      subnets: [{ ...subnet, ipRange: '10.42.0.112/28', isGiven: false, ranges: [ours, theirs] }],
    },
  ]);
  t.match(keptNetworks({ networks: [{ ...network, ipRange: '10.42.0.64/26' }], stateDir }), [
    { subnets: [{ ipRange: '10.42.0.64/26', isGiven: true }] },
  ]);
  t.match(
    keptNetworks({ networks: [{ ...network, subnet: '10.44.0.0/24' }], stateDir }),
    [{ subnets: [{ ranges: [] }] }],
    'of another subnet',
  );
});

void tap.test('T8: networks that were made and have a TAP here, by a word', async (t) => {
  const stateDir = t.testdir();
  new NetworkFile(stateDir, log).write({ made: [RED], gone: [] });
  t.strictSame(keptNetworks({ networks: [], stateDir }), [], 'known, but not on this host');
  new LocalFiles(stateDir, log).writeAttachments([{ network: RED.made.id, tap: 'ov-red', byHand: true }]);
  const none = { ipRange: undefined, isGiven: false, ranges: [] };
  t.strictSame(keptNetworks({ networks: [], stateDir }), [
    {
      name: 'red',
      tap: 'ov-red',
      peers: 0,
      subnets: [
        { subnet: '10.43.0.0/24', gateway: undefined, ...none },
        { subnet: 'fd43::/64', gateway: 'fd43::1', ...none },
      ],
    },
  ]);
});

void tap.test(
  'T8: a network of the configuration that stands as a made one has the ranges of that',
  async (t) => {
    const folder = t.testdir();
    const subnet = '10.42.0.0/24';
    const networks = [{ ...CONFIGURED, name: 'blue', subnet }];
    const cluster = new PoolHosts(folder);
    // Before it met the one that stands it had a pool of its own, in which it never had anything.
    cluster.networks = [BLUE, { ...BLUE, id: configuredId(networks[0]!), name: 'other', createdBy: 'b' }];
    cluster.start('a');
    cluster.run(5_000);
    const stateDir = join(folder, 'a');
    const made = { ...RED, name: 'blue', subnet, made: { ...RED.made, id: BLUE.id } };
    new NetworkFile(stateDir, log).write({ made: [made], gone: [] });
    t.equal(readdirSync(join(stateDir, 'ranges')).length, 2);
    t.match(keptNetworks({ networks, stateDir }), [{ subnets: [{ ranges: [{ cidrs: [subnet] }] }] }]);
  },
);

void tap.test('who looks puts nothing aside', async (t) => {
  const stateDir = t.testdir({ ranges: {} });
  const damaged = [
    join(stateDir, 'networks.json'),
    join(stateDir, 'attached.json'),
    join(stateDir, 'ranges', `${configuredId(CONFIGURED)}-4.json`),
  ];
  for (const path of damaged) writeFileSync(path, '{');
  t.match(keptNetworks({ networks: [CONFIGURED], stateDir }), [{ subnets: [{ ranges: [] }] }]);
  t.ok(damaged.every((path) => existsSync(path)));
  t.equal(readdirSync(join(stateDir, 'ranges')).length, 1);
});
