/** Each trap of Docker's macvlan driver (checklist T1 to T8), as Docker's API would show it; a sound set-up finds nothing. */
import tap from 'tap';
import { checkDocker } from '../../../agent/doctor/docker-checks.ts';
import type { OwnFacts } from '../../../agent/doctor/docker-checks.ts';
import type { DockerFacts, DockerNetwork } from '../../../agent/doctor/docker-facts.ts';
import type { OwnNetwork } from '../../../agent/doctor/own-networks.ts';

const OVERLAY: OwnNetwork = {
  name: 'overlay',
  tap: 'tap0',
  subnets: [
    {
      subnet: '10.42.0.0/16',
      gateway: '10.42.0.1',
      ipRange: '10.42.1.0/24',
      isGiven: true,
      ranges: [],
    },
  ],
  mtu: 1450,
  persistent: true,
  peers: 2,
};
const OWN: OwnFacts = { networks: [OVERLAY], ports: [4789, 7946], remote: [] };

const SOUND: DockerNetwork = {
  name: 'ov',
  driver: 'macvlan',
  options: { parent: 'tap0', macvlan_mode: 'vepa' },
  ipamDriver: 'default',
  ipam: [{ subnet: '10.42.0.0/16', gateway: '10.42.0.1', ipRange: '10.42.1.0/24', reserved: [] }],
};
const ENDPOINT = { container: 'web', network: 'ov', mac: '02:42:0a:2a:01:02', ips: ['10.42.1.2'], mtu: 1450 };

function docker(network: Partial<DockerNetwork>, more: Partial<DockerFacts> = {}): DockerFacts {
  return { swarmDataPort: undefined, networks: [{ ...SOUND, ...network }], endpoints: [ENDPOINT], ...more };
}

const options = (more: Record<string, string>) => ({ options: { ...SOUND.options, ...more } });

void tap.test('a sound set-up, and networks that are none of ours: nothing', async (t) => {
  t.strictSame(checkDocker(docker({}), OWN), []);
  t.strictSame(checkDocker(docker({ driver: 'bridge', options: {} }), OWN), []);
  t.strictSame(checkDocker(docker({ options: { parent: 'eth0' } }), OWN), []);
});

const CASES: [
  name: string,
  docker: DockerFacts,
  own: OwnFacts,
  check: string,
  severity: string,
  what: RegExp,
  cure: RegExp,
][] = [
  [
    'T1: a bridge that carries parent=',
    docker({ driver: 'bridge', name: 'macvlan' }),
    OWN,
    'docker-t1',
    'error',
    /"macvlan" is a bridge that carries parent=tap0/,
    /docker network create -d macvlan -o parent=tap0 -o macvlan_mode=vepa --subnet 10\.42\.0\.0\/16 --gateway 10\.42\.0\.1 --ip-range 10\.42\.1\.0\/24 macvlan/,
  ],
  [
    'T3: swarm on the same ports',
    docker({}, { swarmDataPort: 4789 }),
    OWN,
    'docker-t3',
    'error',
    /port 4789 and 7946/,
    /--data-port/,
  ],
  [
    'T4: passthru',
    docker(options({ macvlan_mode: 'passthru' })),
    OWN,
    'docker-t4',
    'warn',
    /one container/,
    /vepa/,
  ],
  [
    'T4: private',
    docker(options({ macvlan_mode: 'private' })),
    OWN,
    'docker-t4',
    'warn',
    /cannot reach each other/,
    /vepa/,
  ],
  [
    'T4: bridge',
    docker({ options: { parent: 'tap0' } }),
    OWN,
    'docker-t4',
    'info',
    /unseen by overlayd/,
    /vepa/,
  ],
  [
    'T5: the TAP is gone',
    docker({}),
    { ...OWN, networks: [{ ...OVERLAY, mtu: undefined, persistent: undefined }] },
    'docker-t5',
    'error',
    /tap0, which is not there/,
    /Before=docker\.service/,
  ],
  [
    'T5: the TAP is not persistent',
    docker({}),
    { ...OWN, networks: [{ ...OVERLAY, persistent: false }] },
    'docker-t5',
    'error',
    /not persistent/,
    /overlayd/,
  ],
  [
    'T6: an MTU that macvlan ignores',
    docker(options({ 'com.docker.network.driver.mtu': '1300' })),
    OWN,
    'docker-t6',
    'warn',
    /ignores/,
    /mtu=1300/,
  ],
  [
    'T6: a container from before',
    docker({}, { endpoints: [{ ...ENDPOINT, mtu: 1400 }] }),
    OWN,
    'docker-t6',
    'info',
    /web on "ov" still has MTU 1400/,
    /restarted/,
  ],
  [
    'T7: a VLAN of the TAP',
    docker(options({ parent: 'tap0.10' })),
    OWN,
    'docker-t7',
    'warn',
    /VLAN 10 of tap0/,
    /1446/,
  ],
  [
    'T8: an address that another host has too',
    docker({}),
    {
      ...OWN,
      remote: [{ network: 'overlay', mac: '02:00:00:00:00:07', ips: ['10.42.1.2'], owner: 'host-b' }],
    },
    'docker-t8',
    'error',
    /container web has address 10\.42\.1\.2, and so has 02:00:00:00:00:07 on host-b/,
    /--ip-range/,
  ],
];
for (const [name, facts, own, check, severity, what, cure] of CASES) {
  void tap.test(name, async (t) => {
    t.match(checkDocker(facts, own), [{ check, severity, what, cure }]);
    t.equal(checkDocker(facts, own).length, 1);
  });
}
