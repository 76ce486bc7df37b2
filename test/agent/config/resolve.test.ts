import tap from 'tap';
import { loadConfig } from '../../../agent/config/load.ts';
import type { RunConfig } from '../../../agent/config/run-config.ts';
import { defaultTapMtu, thisMachine, vxlanOverhead } from '../../../agent/config/underlay.ts';
import type { Machine } from '../../../agent/config/underlay.ts';
import { machine } from './machine.ts';

async function load(flags: Record<string, string | string[]>, on: Machine = machine()): Promise<RunConfig> {
  return (await loadConfig({ flags, environment: {}, configFile: undefined }, on)).config;
}

void tap.test('MTU arithmetic: 20+8+8+14 and 40+8+8+14', async (t) => {
  t.equal(vxlanOverhead(4), 50);
  t.equal(vxlanOverhead(6), 70);
  t.equal(defaultTapMtu(1500, 4), 1450);
  t.equal(defaultTapMtu(1500, 6), 1430);
  t.equal(defaultTapMtu(65536, 4), 65485, 'the loopback interface promises more than an IP packet holds');
});

void tap.test('the MTU follows the interface and the family of the data path', async (t) => {
  t.equal((await load({ 'data-path-addr': '198.51.100.1' })).networks[0]?.mtu, 8950);
  t.equal((await load({ 'data-path-addr': '2001:db8::1' })).networks[0]?.mtu, 1430);
  t.equal((await load({}, machine({ mtu: () => Promise.resolve(undefined) }))).networks[0]?.mtu, 1450);
  t.equal((await load({ networks: ['name=a,vni=1,mtu=1300'] })).networks[0]?.mtu, 1300);
  await t.rejects(
    load({ networks: ['name=a,vni=1,mtu=1451'] }),
    /mtu 1451 does not fit the underlay, at most 1450/,
  );
  await t.rejects(load({ networks: ['name=a,vni=1,subnet=fd00::/64,mtu=1279'] }), /too small for IPv6/);
});

void tap.test('control and data may go apart', async (t) => {
  const config = await load({ 'advertise-addr': '203.0.113.7', 'data-path-addr': '198.51.100.1' });
  t.equal(config.advertiseAddr, '203.0.113.7', 'an advertise address may be behind NAT');
  t.equal(config.dataPathAddr, '198.51.100.1');
  t.equal(config.underlayMtu, 9000);
  await t.rejects(load({ 'advertise-addr': '203.0.113.7' }), {
    code: 'OVL_ADDR_NOT_LOCAL',
    hint: /--data-path-addr IP; this machine has .*192\.0\.2\.1 \(eth0\)/,
  });
});

void tap.test('an interface without carrier is waited for', async (t) => {
  let looks = 0;
  const booting = machine({
    addresses: () => (++looks > 3 ? [{ ip: '192.0.2.1', interfaceName: 'eth0' }] : []),
    owns: () => Promise.resolve(true),
  });
  t.equal((await load({}, booting)).dataPathAddr, '192.0.2.1');
  t.equal(looks, 4);
  let pausedMs = 0;
  const unplugged = machine({
    addresses: () => [],
    owns: () => Promise.resolve(true),
    pause: (ms) => {
      pausedMs += ms;
      return Promise.resolve();
    },
  });
  await t.rejects(load({}, unplugged), { code: 'OVL_NO_CARRIER', hint: /Waited 30 s.*ip link/ });
  t.equal(pausedMs, 30_000);
});

void tap.test('no default route, no usable host name: the cure is said', async (t) => {
  const lonely = machine({ defaultAddress: () => Promise.resolve(undefined) });
  await t.rejects(load({}, lonely), {
    code: 'OVL_NO_ADVERTISE_ADDR',
    hint: /--advertise-addr IP; .*192\.0\.2\.1/,
  });
  t.equal((await load({ 'advertise-addr': '192.0.2.1' }, lonely)).advertiseAddr, '192.0.2.1');
  await t.rejects(load({}, machine({ hostName: () => 'my host' })), /--node-name|cannot be a node name/);
});

void tap.test('networks fit together', async (t) => {
  const refused: Record<string, string[]> = {
    'networks "a" and "b" have the same VNI 1': ['name=a,vni=1', 'name=b,vni=1'],
    'networks "a" and "a" have the same name a': ['name=a,vni=1', 'name=a,vni=2'],
    'networks "a" and "b" have the same TAP tap1': ['name=a,vni=1,tap=tap1', 'name=b,vni=2'],
    'network "a": gateway 10.1.0.1 is not in subnet 10.0.0.0/16': [
      'name=a,vni=1,subnet=10.0.0.0/16,gateway=10.1.0.1',
    ],
    'network "a": gateway 10.0.255.255 is the network or broadcast address of 10.0.0.0/16': [
      'name=a,vni=1,subnet=10.0.0.0/16,gateway=10.0.255.255',
    ],
    'network "a": gateway fd00::1 is not in subnet 10.0.0.0/16': [
      'name=a,vni=1,subnet=10.0.0.0/16,gateway=fd00::1',
    ],
    'network "a": a gateway needs a subnet': ['name=a,vni=1,gateway=10.0.0.1'],
    'network "a": an ip-range needs a subnet': ['name=a,vni=1,ip-range=10.0.0.0/24'],
    'network "a": ip-range 10.0.0.0/8 is not in subnet 10.0.0.0/16': [
      'name=a,vni=1,subnet=10.0.0.0/16,ip-range=10.0.0.0/8',
    ],
  };
  for (const [message, networks] of Object.entries(refused)) {
    await t.rejects(load({ networks }), { code: 'OVL_CONFIG_INVALID', message: `--network: ${message}` });
  }
  const good = await load({
    networks: ['name=a,vni=16777215,subnet=fd00::/64,gateway=fd00::1', 'name=b,vni=1'],
  });
  t.strictSame(
    good.networks.map((network) => network.tap),
    ['tap0', 'tap1'],
  );
});

void tap.test('static peers fit the networks and the underlay', async (t) => {
  const networks = ['name=a,vni=1'];
  const refused: Record<string, string[]> = {
    'static peer 192.0.2.9 in network "b": no such network': ['192.0.2.9,network=b'],
    'static peer 192.0.2.9 in network "a" is given twice': ['192.0.2.9,network=a', '192.0.2.9,network=a'],
    'static peer 192.0.2.1 in network "a" is this host itself': ['192.0.2.1,network=a'],
    'static peer 2001:db8::9 in network "a" cannot be reached from the data path address 192.0.2.1': [
      '2001:db8::9,network=a',
    ],
  };
  for (const [message, peers] of Object.entries(refused)) {
    await t.rejects(load({ networks, 'static-peers': peers }), { message: `--static-peer: ${message}` });
  }
});

void tap.test('gossip and data cannot share a UDP port', async (t) => {
  await t.rejects(load({ 'data-port': '7946' }), /gossip and data both want UDP 7946/);
});

void tap.test('what is to be sealed and cannot be is refused, never run in clear', async (t) => {
  const networks = ['name=a,vni=1', 'name=b,vni=2,encrypted'];
  const keyring = '/etc/overlayd/keyring';
  const refused = { message: /network "b" is marked encrypted/, hint: /Nothing was started/, exitCode: 2 };
  await t.rejects(load({ networks }), { ...refused, code: 'OVL_KEYRING_MISSING' });
  await t.rejects(load({ networks, keyring, workers: '2' }), { ...refused, code: 'OVL_WORKERS_SEALED' });
  const peer = { networks, keyring, 'static-peers': ['192.0.2.9,network=b'] };
  await t.rejects(load(peer), { ...refused, code: 'OVL_STATIC_PEER_SEALED' });
  const plain = { networks, keyring, 'static-peers': ['192.0.2.9,network=a'] };
  const config = await load(plain);
  t.strictSame(
    config.networks.map(({ mtu }) => mtu),
    [1450, 1418],
    'the seal takes 32 bytes',
  );
  t.equal(config.rekeyMs, 12 * 3_600_000);
  t.equal((await load({ ...plain, 'rekey-interval': '5s' })).rekeyMs, 5_000);
  await t.rejects(load({ ...plain, 'rekey-interval': '25h' }), /a time from 1s to 24h/);
  t.equal((await load(plain)).rangeLeaseMs, 24 * 3_600_000);
  t.equal((await load({ ...plain, 'range-lease': '90m' })).rangeLeaseMs, 5_400_000);
  await t.rejects(load({ ...plain, 'range-lease': '1s' }), /a time from 5s to 720h/);
  await t.rejects(load({ networks: ['name=b,vni=2,mtu=1419,encrypted'], keyring }), /at most 1418/);
});

void tap.test('sealing of gossip', async (t) => {
  t.match(await load({}), { gossipEncryption: 'off', keyringFile: undefined, gossipRekeyMs: 12 * 3_600_000 });
  const keyring = '/etc/overlayd/keyring';
  t.match(await load({ keyring }), { gossipEncryption: 'required', keyringFile: keyring });
  const given = { keyring, 'gossip-encryption': 'transition', 'gossip-rekey-interval': '30m' };
  t.match(await load(given), { gossipEncryption: 'transition', gossipRekeyMs: 1_800_000 });
  for (const never of ['off', '0'])
    t.equal((await load({ keyring, 'gossip-rekey-interval': never })).gossipRekeyMs, Infinity);
  await t.rejects(load({ 'gossip-encryption': 'required' }), {
    message: /--gossip-encryption: gossip encryption is required, and there is no keyring/,
    hint: /--keyring FILE/,
  });
  await t.rejects(
    load({ keyring, 'gossip-rekey-interval': '1s' }),
    /expected a time from 10s to 8760h, or "off"/,
  );
  await t.rejects(load({ keyring, 'gossip-encryption': 'on' }), /expected required or transition/);
});

void tap.test('this machine', async (t) => {
  const loopback = thisMachine.addresses().find(({ ip }) => ip === '127.0.0.1');
  t.ok(loopback, 'has a loopback address');
  t.ok(((await thisMachine.mtu(loopback?.interfaceName ?? 'lo')) ?? 0) >= 16436, 'with an MTU that is large');
  t.equal(await thisMachine.mtu('no-such-if'), undefined);
  const own = await thisMachine.defaultAddress();
  if (own !== undefined)
    t.ok(
      thisMachine.addresses().some(({ ip }) => ip === own),
      'the default address is its own',
    );
  t.ok(thisMachine.hostName().length > 0);
});
