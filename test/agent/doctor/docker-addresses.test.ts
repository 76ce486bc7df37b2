/** T8: what Docker hands out, against what is this host's; and the words that make it right (T6: the gateway). */
import tap from 'tap';
import { checkDocker } from '../../../agent/doctor/docker-checks.ts';
import type { DockerNetwork, DockerSubnet } from '../../../agent/doctor/docker-facts.ts';
import type { Finding } from '../../../agent/doctor/finding.ts';
import type { OwnNetwork, OwnRange, OwnSubnet } from '../../../agent/doctor/own-networks.ts';
import { ownSubnets } from '../../../agent/doctor/own-networks.ts';

const HERE: OwnRange = { host: 'a', isOurs: true, cidrs: ['10.42.0.0/17'], docker: ['10.42.127.0/24'] };
const THERE: OwnRange = { host: 'b', isOurs: false, cidrs: ['10.42.128.0/17'], docker: ['10.42.255.0/24'] };
const ADDRESSING = { subnet: '10.42.0.0/16', gateway: '10.42.0.1' };
const DOCKER: DockerSubnet = { ...ADDRESSING, ipRange: '10.42.127.0/24', reserved: [] };

interface Case {
  readonly docker?: Partial<DockerSubnet>;
  readonly network?: Partial<DockerNetwork>;
  readonly ranges?: readonly OwnRange[];
  /** In the configuration. */
  readonly ipRange?: string;
  readonly gateway?: string | undefined;
  readonly peers?: number;
  readonly containers?: readonly string[];
}

function check(given: Case): Finding[] {
  const { docker = {}, network = {}, ranges = [HERE, THERE], peers = 1, containers = [] } = given;
  const subnets = ownSubnets({ ...ADDRESSING, ...given }, ranges);
  return checkNetwork(
    { ...network, ipam: network.ipam ?? [{ ...DOCKER, ...docker }] },
    subnets,
    peers,
    containers,
  );
}

function checkNetwork(
  network: Partial<DockerNetwork>,
  subnets: readonly OwnSubnet[],
  peers = 1,
  containers: readonly string[] = [],
): Finding[] {
  const own: OwnNetwork = { name: 'overlay', tap: 'tap0', subnets, mtu: 1450, persistent: true, peers };
  const options = { parent: 'tap0', macvlan_mode: 'vepa' };
  const base: DockerNetwork = { name: 'ov', driver: 'macvlan', options, ipamDriver: 'default', ipam: [] };
  const endpoints = containers.map((container) => ({
    container,
    network: 'ov',
    mac: '02:42:0a:2a:01:02',
    ips: [],
    mtu: 1450,
  }));
  return checkDocker(
    { swarmDataPort: undefined, networks: [{ ...base, ...network }], endpoints },
    { networks: [own], ports: [], remote: [] },
  );
}

const CREATE = 'docker network create -d macvlan -o parent=tap0 -o macvlan_mode=vepa';
const MARKED = `${CREATE} --subnet 10.42.0.0/16 --gateway 10.42.0.1 --ip-range 10.42.127.0/24 ov`;

void tap.test(
  'T8: what docker-command prints is sound, a part of it too, and the gateway by any spelling',
  async (t) => {
    t.strictSame(check({}), []);
    t.strictSame(check({ docker: { ipRange: '10.42.127.128/25' } }), []);
    t.strictSame(check({ docker: { subnet: '10.42.7.7/16' } }), [], 'as older engines keep what was typed');
    t.strictSame(
      check({ docker: { ipRange: '10.42.9.0/24' }, ipRange: '10.42.8.0/22' }),
      [],
      'as the operator says',
    );
  },
);

void tap.test(
  'T8: no --ip-range where others have the subnet too: the exact words to make it anew',
  async (t) => {
    const what = 'Docker network "ov": without --ip-range Docker hands out the same addresses on every host';
    const finding = { check: 'docker-t8', severity: 'warn', what } as const;
    const docker = { ipRange: undefined };
    t.strictSame(check({ docker }), [{ ...finding, cure: `docker network rm ov; ${MARKED}` }]);
    t.strictSame(check({ docker, containers: ['web', 'db'] }), [
      { ...finding, cure: `Remove its containers (web, db), then: docker network rm ov; ${MARKED}` },
    ]);
    const unmarked = [{ ...HERE, docker: [] }, THERE];
    const none = { ...HERE, cidrs: [], docker: [] };
    const cure = 'docker network rm ov; sh -c "$(overlayd docker-command overlay)"';
    t.strictSame(check({ docker, ranges: unmarked }), [{ ...finding, cure }], 'the daemon marks a range');
    t.match(check({ docker, ranges: [none, THERE], peers: 0 }), [finding], 'all of it is theirs');
    t.strictSame(check({ docker, ranges: [], peers: 1 }), [{ ...finding, cure }], 'others are on it');
    t.strictSame(check({ docker, ranges: unmarked, peers: 0 }), [{ ...finding, cure }], 'others have a part');
    t.strictSame(
      check({ docker, ranges: [{ ...HERE, docker: [] }], peers: 0 }),
      [{ ...finding, cure }],
      'a part is ours',
    );
  },
);

void tap.test('T8: a single host may do without an ip-range', async (t) => {
  const docker = { ipRange: undefined };
  const whole = [{ ...HERE, cidrs: ['10.42.0.0/16'], docker: [] }];
  t.strictSame(check({ docker, ranges: whole, peers: 0 }), []);
  t.strictSame(check({ docker, ranges: [], peers: 0 }), []);
});

void tap.test('T8: a range of another host: an error that names it', async (t) => {
  const error = (what: string): Finding => ({
    check: 'docker-t8',
    severity: 'error',
    what: `Docker network "ov": ${what}`,
    cure: `docker network rm ov; ${MARKED}`,
  });
  const part = "this host's part is 10.42.127.0/24";
  t.strictSame(check({ docker: { ipRange: '10.42.255.0/25' } }), [
    error(`it hands out 10.42.255.0/25, which belongs to b; ${part}`),
  ]);
  t.strictSame(check({ docker: { ipRange: '10.42.200.0/24' } }), [
    error(`it hands out 10.42.200.0/24, which belongs to b; ${part}`),
  ]);
  const third = { host: 'c', isOurs: false, cidrs: ['10.42.64.0/18'], docker: [] };
  t.strictSame(
    check({ docker: { ipRange: '10.42.0.0/16' }, ranges: [HERE, THERE, third] }),
    [error(`it hands out 10.42.0.0/16, which belongs to b; ${part}`)],
    'whoever has Docker hand it out',
  );
  t.match(check({ docker: { ipRange: '10.42.64.0/19' }, ranges: [HERE, third] }), [
    { severity: 'error', what: /which belongs to c;/ },
  ]);
});

void tap.test(
  'T8: with the ranges of the configuration only what is known for sure names another host',
  async (t) => {
    const ipRange = '10.42.1.0/24';
    t.match(check({ docker: { ipRange: '10.42.200.0/24' }, ipRange }), [
      { severity: 'error', what: /it hands out 10\.42\.200\.0\/24; this host's part is 10\.42\.1\.0\/24/ },
    ]);
    t.match(check({ docker: { ipRange: '10.42.255.0/24' }, ipRange }), [
      { severity: 'error', what: /which belongs to b; this host's part is 10\.42\.1\.0\/24/ },
    ]);
  },
);

void tap.test(
  'T8: a range of this host that overlayd does not know of, and one that is nobody’s',
  async (t) => {
    t.match(check({ docker: { ipRange: '10.42.5.0/24' } }), [
      {
        check: 'docker-t8',
        severity: 'warn',
        what: /it hands out 10\.42\.5\.0\/24: overlayd does not know that.*this host's part is 10\.42\.127\.0\/24/,
        cure: `docker network rm ov; ${MARKED}`,
      },
    ]);
    const unmarked = { ...HERE, docker: [] };
    t.match(check({ docker: { ipRange: '10.42.5.0/24' }, ranges: [unmarked] }), [
      { severity: 'warn', cure: /overlayd docker-command overlay/ },
    ]);
    t.match(check({ docker: { ipRange: '10.42.200.0/24' }, ranges: [unmarked] }), [
      { severity: 'error', what: /this host has only 10\.42\.0\.0\/17/ },
    ]);
    t.strictSame(check({ docker: { ipRange: '10.42.200.0/24' }, ranges: [] }), [], 'nothing is known');
  },
);

void tap.test('T8: another subnet', async (t) => {
  t.strictSame(check({ docker: { subnet: '10.43.0.0/16', ipRange: undefined } }), [
    {
      check: 'docker-t8',
      severity: 'warn',
      what: 'Docker network "ov": its subnet is 10.43.0.0/16, that of network "overlay" is 10.42.0.0/16',
      cure: `docker network rm ov; ${MARKED}`,
    },
  ]);
  t.strictSame(check({ docker: { subnet: undefined } }), []);
  t.strictSame(check({ docker: { subnet: 'fd00::/64' } }), [], 'of a family that the network has not');
});

void tap.test('T6: another gateway, and none at all', async (t) => {
  t.match(check({ docker: { gateway: '10.42.1.1' } }), [
    {
      check: 'docker-t6',
      severity: 'warn',
      what: /gateway is 10\.42\.1\.1, that of.*10\.42\.0\.1/,
      cure: new RegExp(MARKED),
    },
  ]);
  t.match(check({ docker: { gateway: undefined } }), [
    { check: 'docker-t6', severity: 'warn', what: /made without --gateway/ },
  ]);
  t.strictSame(check({ docker: { gateway: '10.42.1.1' }, gateway: undefined }), []);
});

void tap.test('T8: an address that is kept free here and handed out by Docker elsewhere', async (t) => {
  const kept = (ip: string): Finding[] => check({ docker: { reserved: [{ name: 'router', ip }] } });
  t.strictSame(kept('10.42.255.7'), [
    {
      check: 'docker-t8',
      severity: 'warn',
      what: 'Docker network "ov": it keeps 10.42.255.7 (--aux-address router), but Docker on b hands it out',
      cure: 'Choose one of this host\'s addresses ("overlayd networks ranges overlay"), or say the same --aux-address on b too.',
    },
  ]);
  t.strictSame(kept('10.42.127.7'), []);
  t.strictSame(kept('10.42.200.7'), [], 'overlayd there keeps off what it sees');
  t.match(
    check({ docker: { ipRange: undefined, reserved: [{ name: "it's", ip: '10.42.127.7' }] } }),
    [
      {
        cure: `docker network rm ov; ${CREATE} --aux-address 'it'\\''s=10.42.127.7' --subnet 10.42.0.0/16 --gateway 10.42.0.1 --ip-range 10.42.127.0/24 ov`,
      },
    ],
    'kept in the words that make it anew, whatever its name',
  );
});

void tap.test('T8: another IPAM driver may know of other hosts', async (t) => {
  const network = { ipamDriver: 'overlayd' };
  t.strictSame(check({ network, docker: { ipRange: undefined } }), []);
  t.match(check({ network, docker: { subnet: '10.43.0.0/16' } }), [{ check: 'docker-t8' }]);
});

void tap.test('T8: two families, each with its own', async (t) => {
  const ranges = [
    { ...HERE, cidrs: [...HERE.cidrs, 'fd42::/65'], docker: HERE.docker },
    { ...THERE, cidrs: [...THERE.cidrs, 'fd42::8000:0:0:0/65'], docker: THERE.docker },
  ];
  const both = { ...ADDRESSING, subnet6: 'fd42::/64', gateway6: 'fd42::1' };
  const subnets = ownSubnets(both, ranges);
  t.match(subnets, [
    { subnet: '10.42.0.0/16', gateway: '10.42.0.1', ranges: [{ cidrs: ['10.42.0.0/17'] }, {}] },
    { subnet: 'fd42::/64', gateway: 'fd42::1', ipRange: undefined, ranges: [{ cidrs: ['fd42::/65'] }, {}] },
  ]);
  const second = { subnet: 'fd42::/64', gateway: 'fd42:0::1', ipRange: 'fd42::8000:0:0:0/72', reserved: [] };
  t.match(checkNetwork({ ipam: [DOCKER, second] }, subnets), [
    {
      severity: 'error',
      what: /hands out fd42::8000:0:0:0\/72, which belongs to b$/,
      cure: /--ipv6 --subnet 10\.42.* --subnet fd42::\/64 --gateway fd42::1 ov$/,
    },
  ]);
  t.match(ownSubnets({ subnet: 'fd42::/64', gateway: 'fd42::1', ipRange: 'fd42::/80' }, []), [
    { gateway: 'fd42::1', ipRange: 'fd42::/80', isGiven: true },
  ]);
  t.match(
    ownSubnets({ subnet: '10.42.0.0/16', subnet6: 'fd42::/64', gateway: 'fd42::1' }, []),
    [{ gateway: undefined }, { gateway: 'fd42::1' }],
    'the only gateway may be of the second family',
  );
});
