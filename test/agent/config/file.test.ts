import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import tap from 'tap';
import { parseConfigFile, readConfigFile } from '../../../agent/config/file.ts';
import { OverlaydError } from '../../../agent/errors.ts';

function messageOf(text: string): string {
  try {
    parseConfigFile(text, 'o.yaml');
  } catch (error) {
    if (error instanceof OverlaydError && error.code === 'OVL_CONFIG_INVALID' && error.exitCode === 2) {
      return error.message;
    }
    throw error;
  }
  throw new Error('was accepted');
}

void tap.test('every key has its place', async (t) => {
  const { values, locate } = parseConfigFile(
    `
node-name: host-a
gossip-port: 8000
join: [192.0.2.1, 'b:8000']
networks:
  - name: web
    vni: 100
    subnet: 10.50.0.0/16
  - name=db,vni=101,mtu=1400
static-peers:
  - {ip: 192.0.2.9, network: web, macs: ['02-00-00-00-00-0A']}
  - 192.0.2.10,network=db
remove-taps-on-exit: true
`,
    'o.yaml',
  );
  t.strictSame(values, {
    'node-name': 'host-a',
    'gossip-port': 8000,
    join: ['192.0.2.1', 'b:8000'],
    networks: [
      { name: 'web', vni: 100, subnet: '10.50.0.0/16' },
      { name: 'db', vni: 101, mtu: 1400 },
    ],
    'static-peers': [
      { ip: '192.0.2.9', network: 'web', macs: ['02:00:00:00:00:0a'] },
      { ip: '192.0.2.10', network: 'db' },
    ],
    'remove-taps-on-exit': true,
  });
  t.equal(locate(['gossip-port']), 'o.yaml:3:1');
  t.equal(locate(['networks', 0, 'vni']), 'o.yaml:7:5');
});

void tap.test('an empty file says nothing, JSON is read too', async (t) => {
  t.strictSame(parseConfigFile('', 'o.yaml').values, {});
  t.strictSame(parseConfigFile('# only a comment\n', 'o.yaml').values, {});
  t.strictSame(parseConfigFile('{"workers": 2}', 'o.yaml').values, { workers: 2 });
});

void tap.test('an unknown key: file, line, column and the nearest known key', async (t) => {
  t.equal(
    messageOf('node-name: a\n\nadvertise-adr: 192.0.2.1\n'),
    'o.yaml:3:1: unknown key "advertise-adr" (did you mean "advertise-addr"?)',
  );
  t.equal(
    messageOf('networks:\n  - name: a\n    vni: 1\n    gatewy: 10.0.0.1\n'),
    'o.yaml:4:5: unknown key "gatewy" (did you mean "gateway"?)',
  );
  t.equal(messageOf('network: []'), 'o.yaml:1:1: unknown key "network" (did you mean "networks"?)');
  t.equal(messageOf('zzzzzzzzzz: 1'), 'o.yaml:1:1: unknown key "zzzzzzzzzz"');
});

void tap.test('wrong values say where and what was expected, all at once', async (t) => {
  t.equal(
    messageOf('gossip-port: 70000\nio: fast\njoin: host\nworkers: 1.5\n'),
    [
      'o.yaml:1:1: gossip-port: expected a whole number, 1 to 65535, got 70000',
      'o.yaml:2:1: io: expected batch or dgram',
      'o.yaml:3:1: join: expected a list of HOST[:PORT]',
      'o.yaml:4:1: workers: expected a whole number, 1 to 64',
    ].join('\n'),
    'in the order of the file',
  );
  t.match(messageOf('networks: [{name: a}]'), /^o\.yaml:1:12: networks\[0\]\.vni: is missing$/);
  t.match(messageOf('networks: [{name: a, vni: 16777216}]'), /1 to 16777215, got 16777216/);
  t.match(messageOf('networks: [{name: a, vni: 1, tap: abcdefghijklmnop}]'), /1 to 15 letters.*IFNAMSIZ/);
  t.match(messageOf('networks: [{name: a, vni: 1, tap: tap0.5}]'), /interface name/);
  t.match(
    messageOf('networks: [{name: a, vni: 1, subnet: 10.42.0.1/16}]'),
    /host bits set; the subnet is 10\.42\.0\.0\/16/,
  );
  t.match(messageOf('advertise-addr: 0.0.0.0'), /unicast IP address/);
  t.match(messageOf('advertise-addr: 224.0.0.1'), /unicast IP address/);
  t.match(messageOf('metrics-addr: localhost:9472'), /IP:PORT or "none"/);
  t.match(messageOf('socket: overlayd.sock'), /absolute path/);
  for (const key of [24, 32, 43].map((length) => `${'S3cret/'.repeat(9).slice(0, length - 2)}==`)) {
    t.match(messageOf(`keyring: ${key}`), /keyring: expected an absolute path of a file/);
    t.notMatch(messageOf(`keyring: ${key}`), /S3cret/, 'a key is shown to nobody');
  }
  const key = `/${'S3cret/'.repeat(9).slice(0, 42)}=`;
  t.notMatch(messageOf(`keyring: ${key}`), /S3cret/, 'nor is one that looks like a path');
  t.match(messageOf('- a\n- b\n'), /expected "key: value" lines/);
  t.match(messageOf('just words'), /expected "key: value" lines/);
});

void tap.test('what is no YAML says where', async (t) => {
  t.match(messageOf('node-name: a\nnode-name: b\n'), /^o\.yaml:2:1: Map keys must be unique/);
  t.match(messageOf('join: [a\n'), /^o\.yaml:\d+:\d+: /);
  t.match(
    messageOf(`a: &a [1,1,1,1,1,1,1,1,1,1]
b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]
c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]
join: [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]
`),
    /^o\.yaml: .*alias/i,
    'an explosion of aliases',
  );
});

void tap.test('files that cannot be read', async (t) => {
  const directory = t.testdir({});
  t.throws(() => readConfigFile(join(directory, 'none.yaml')), {
    code: 'OVL_CONFIG_UNREADABLE',
    exitCode: 2,
    hint: /Create .*none\.yaml/,
  });
  t.throws(() => readConfigFile(directory), { code: 'OVL_CONFIG_UNREADABLE' });
  t.throws(() => readConfigFile('/dev/zero'), { code: 'OVL_CONFIG_INVALID', message: /too large/ });
  const file = join(directory, 'good.yaml');
  writeFileSync(file, 'workers: 1\n');
  t.strictSame(readConfigFile(file).values, { workers: 1 });
});
