/** The doctor's questions to Docker: what is read of the answers, and what is passed over. */
import tap from 'tap';
import type { Test } from 'tap';
import { readDocker } from '../../../agent/doctor/docker-facts.ts';
import { FakeDocker } from '../docker/fake-docker.ts';

async function started(t: Test): Promise<FakeDocker> {
  const docker = new FakeDocker();
  await docker.start();
  t.teardown(() => docker.stop());
  docker.others.set('/info', { Swarm: { LocalNodeState: 'inactive' } });
  docker.others.set('/containers/json', []);
  return docker;
}

const SWARM = { LocalNodeState: 'active', Cluster: { DataPathPort: 7777 } };
const NETWORK = {
  Id: 'n1',
  Name: 'ov',
  Driver: 'macvlan',
  Options: { parent: 'tap0' },
  IPAM: {
    Driver: 'ours',
    Config: [
      {
        Subnet: '10.42.0.0/16',
        IPRange: '10.42.1.0/24',
        AuxiliaryAddresses: { router: '10.42.1.9' },
      },
    ],
  },
  Containers: {},
};

function container(name: string): object {
  const endpoint = { MacAddress: '02:42:0a:2a:01:02', IPAddress: '10.42.1.2', GlobalIPv6Address: '' };
  return { Name: `/${name}`, State: { Pid: 0 }, NetworkSettings: { Networks: { ov: endpoint } } };
}

void tap.test('T1 to T8: networks, containers and the swarm, as far as the checks want them', async (t) => {
  const docker = await started(t);
  docker.networks.set('n1', NETWORK);
  docker.others.set('/info', { Swarm: SWARM });
  docker.others.set('/containers/json', [{ Id: 'c1' }]);
  docker.others.set('/containers/c1/json', container('web'));
  t.strictSame(await readDocker(docker.socket), {
    swarmDataPort: 7777,
    networks: [
      {
        name: 'ov',
        driver: 'macvlan',
        options: { parent: 'tap0' },
        ipamDriver: 'ours',
        ipam: [
          {
            subnet: '10.42.0.0/16',
            gateway: undefined,
            ipRange: '10.42.1.0/24',
            reserved: [{ name: 'router', ip: '10.42.1.9' }],
          },
        ],
      },
    ],
    endpoints: [
      { container: 'web', network: 'ov', mac: '02:42:0a:2a:01:02', ips: ['10.42.1.2'], mtu: undefined },
    ],
  });
});

void tap.test('T3: a worker of a swarm does not say its port: it is the default one', async (t) => {
  const docker = await started(t);
  docker.others.set('/info', { Swarm: { LocalNodeState: 'active' } });
  t.equal((await readDocker(docker.socket)).swarmDataPort, 4789);
  docker.others.set('/info', {});
  t.equal((await readDocker(docker.socket)).swarmDataPort, undefined);
});

void tap.test(
  'of a host with thousands of containers 256 are asked for; one that is gone is passed over',
  async (t) => {
    const docker = await started(t);
    docker.others.set(
      '/containers/json',
      Array.from({ length: 1_000 }, (_, i) => ({ Id: `c${i}` })),
    );
    docker.others.set('/containers/c1/json', 'nonsense');
    docker.others.set('/containers/c255/json', container('last'));
    docker.others.set('/containers/c256/json', container('beyond'));
    const { endpoints } = await readDocker(docker.socket);
    t.strictSame(
      endpoints.map((endpoint) => endpoint.container),
      ['last'],
    );
    t.equal(docker.asked.filter((path) => path.includes('/containers/c')).length, 256);
  },
);

void tap.test('nobody there, and what is no Docker, are errors with their cause', async (t) => {
  await t.rejects(readDocker('/nowhere/docker.sock'), {
    code: 'OVL_DOCKER_ABSENT',
    cause: { code: 'ENOENT' },
  });
  const docker = await started(t);
  docker.strange = '<html>';
  await t.rejects(readDocker(docker.socket), { code: 'OVL_DOCKER_ANSWER' });
});
