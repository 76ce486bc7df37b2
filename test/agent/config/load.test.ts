import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import tap from 'tap';
import { loadConfig } from '../../../agent/config/load.ts';
import { OPTIONS, environmentName } from '../../../agent/config/options.ts';
import { configSchema } from '../../../agent/config/schema.ts';
import { machine } from './machine.ts';

const NOTHING = { flags: {}, environment: {}, configFile: undefined };

void tap.test('defaults', async (t) => {
  const { config, origins, warnings } = await loadConfig(NOTHING, machine());
  t.strictSame(
    { ...config, logFormat: undefined },
    {
      nodeName: 'host-a',
      advertiseAddr: '192.0.2.1',
      dataPathAddr: '192.0.2.1',
      gossipPort: 7946,
      dataPort: 4789,
      join: [],
      networks: [
        {
          name: 'overlay',
          vni: 4096,
          subnet: '10.42.0.0/16',
          gateway: undefined,
          ipRange: undefined,
          tap: 'tap0',
          mtu: 1450,
          isMtuFitted: true,
          encrypted: false,
        },
      ],
      staticPeers: [],
      keyringFile: undefined,
      gossipEncryption: 'off',
      gossipRekeyMs: 43_200_000,
      rangeLeaseMs: 86_400_000,
      rekeyMs: 43_200_000,
      wireVersion: 2,
      identitiesFile: undefined,
      workers: 1,
      io: undefined,
      socket: '/run/overlayd/overlayd.sock',
      stateDir: '/var/lib/overlayd',
      metricsAddr: { host: '127.0.0.1', port: 9472 },
      dockerSocket: '/run/docker.sock',
      dockerPlugin: { path: '/run/docker/plugins/overlayd.sock', isDefault: true },
      dockerScope: 'local',
      logLevel: 'info',
      logFormat: undefined,
      removeTapsOnExit: false,
      joinAll: false,
      underlayMtu: 1500,
    },
  );
  t.strictSame(
    [...origins.values()].filter(({ source }) => source !== 'default'),
    [],
  );
  t.strictSame(warnings, []);
});

void tap.test('flags beat environment beats file beats default, and the origin is kept', async (t) => {
  const configFile = join(t.testdir({}), 'o.yaml');
  writeFileSync(configFile, 'gossip-port: 1001\ndata-port: 2001\nworkers: 3\njoin: [file-a, file-b]\n');
  const { config, origins } = await loadConfig(
    {
      flags: { 'gossip-port': '1003', 'remove-taps-on-exit': true },
      environment: {
        OVERLAYD_GOSSIP_PORT: '1002',
        OVERLAYD_DATA_PORT: '2002',
        OVERLAYD_JOIN: 'env-a  env-b:1',
        OVERLAYD_NODE_NAME: '',
      },
      configFile,
    },
    machine(),
  );
  t.match(config, {
    gossipPort: 1003,
    dataPort: 2002,
    workers: 3,
    removeTapsOnExit: true,
    nodeName: 'host-a',
    join: [
      { host: 'env-a', port: 1003 },
      { host: 'env-b', port: 1 },
    ],
  });
  t.strictSame(origins.get('gossip-port'), { source: 'flag', where: '--gossip-port' });
  t.strictSame(origins.get('data-port'), { source: 'environment', where: 'OVERLAYD_DATA_PORT' });
  t.strictSame(origins.get('workers'), { source: 'file', where: `${configFile}:3:1` });
  t.strictSame(origins.get('socket'), { source: 'default', where: 'default' });
});

void tap.test('the environment may name the file, and hold everything', async (t) => {
  const configFile = join(t.testdir({}), 'o.yaml');
  writeFileSync(configFile, 'workers: 2\n');
  const { config } = await loadConfig(
    {
      ...NOTHING,
      environment: {
        OVERLAYD_CONFIG: configFile,
        OVERLAYD_NETWORK: 'name=a,vni=1 name=b,vni=2',
        OVERLAYD_STATIC_PEER: '192.0.2.9,network=b',
        OVERLAYD_REMOVE_TAPS_ON_EXIT: 'yes',
        OVERLAYD_METRICS_ADDR: 'none',
      },
    },
    machine(),
  );
  t.match(config, { workers: 2, removeTapsOnExit: true, metricsAddr: undefined });
  t.strictSame(
    config.networks.map((network) => [network.name, network.tap]),
    [
      ['a', 'tap0'],
      ['b', 'tap1'],
    ],
  );
  t.strictSame(config.staticPeers, [{ ip: '192.0.2.9', network: 'b', macs: [] }]);
});

void tap.test('errors name the flag or the variable', async (t) => {
  await t.rejects(loadConfig({ ...NOTHING, flags: { 'gossip-port': 'x' } }, machine()), {
    code: 'OVL_CONFIG_INVALID',
    exitCode: 2,
    message: '--gossip-port: expected a whole number, 1 to 65535',
  });
  await t.rejects(loadConfig({ ...NOTHING, environment: { OVERLAYD_DATA_PORT: '0' } }, machine()), {
    message: 'OVERLAYD_DATA_PORT: expected a whole number, 1 to 65535, got 0',
  });
  await t.rejects(loadConfig({ ...NOTHING, environment: { OVERLAYD_REMOVE_TAPS_ON_EXIT: 'x' } }, machine()), {
    message: 'OVERLAYD_REMOVE_TAPS_ON_EXIT: expected true or false',
  });
  await t.rejects(loadConfig({ ...NOTHING, flags: { networks: ['name=a'] } }, machine()), {
    message: '--network: "vni" is missing in "name=a"',
  });
});

void tap.test('a broken file is an error even where a flag overrides it', async (t) => {
  const configFile = join(t.testdir({}), 'o.yaml');
  writeFileSync(configFile, 'workers: many\n');
  await t.rejects(loadConfig({ ...NOTHING, flags: { workers: '1' }, configFile }, machine()), {
    message: `${configFile}:1:1: workers: expected a whole number, 1 to 64`,
  });
});

void tap.test('a mistyped variable is told', async (t) => {
  const environment = { OVERLAYD_GOSIP_PORT: '1', OVERLAYD_SOMETHING_ELSE: '2', PATH: '/bin' };
  const { warnings } = await loadConfig({ ...NOTHING, environment }, machine());
  t.strictSame(warnings, [
    'OVERLAYD_GOSIP_PORT is no option of ours; OVERLAYD_GOSSIP_PORT is',
    'OVERLAYD_SOMETHING_ELSE is no option of ours',
  ]);
});

void tap.test('every key of the schema has a flag and a variable, and the other way round', async (t) => {
  t.strictSame(OPTIONS.map(({ key }) => key).toSorted(), Object.keys(configSchema.shape).toSorted());
  t.equal(environmentName('advertise-addr'), 'OVERLAYD_ADVERTISE_ADDR');
});
