/**
 * The shipped unit under a real systemd, with the Docker driver (issue 5.7, T5): whatever happens to the daemon, containers
 * are connected again, and CAP_NET_ADMIN is all that it has.
 */
import tap from 'tap';
import { ApiClient } from '../../agent/api/client.ts';
import type { Host } from '../../agent/demo/hosts.ts';
import { ip, ipBatch, run, runNow, until } from '../../agent/demo/process.ts';
import { Testbed, testbedProblem } from '../../agent/demo/testbed.ts';
import { DockerSpeaker } from '../../bench/endpoints/docker-speaker.ts';
import type { SpokenEndpoint } from '../../bench/endpoints/docker-speaker.ts';
import { missing, rootTest } from './guard.ts';
import { systemdProblem } from './systemd-host.ts';
import { SystemdService } from './systemd-service.ts';

tap.setTimeout(600_000);

const NET_ADMIN = 1n << 12n;
const ALL_SETS = [NET_ADMIN, NET_ADMIN, NET_ADMIN, NET_ADMIN];
const ROUNDS = 3;

interface Inside extends SpokenEndpoint {
  readonly namespace: string;
}

/** What Docker does with the interface after Join. */
function enter(host: Host, endpoint: SpokenEndpoint): Inside {
  const { id, source, address, prefix } = endpoint;
  const namespace = host.testbed.namespaceName(id.slice(0, 8));
  host.testbed.record.addNamespaces([namespace]);
  ip('netns', 'add', namespace);
  host.ip('link', 'set', source, 'netns', namespace, 'name', 'eth0');
  ipBatch(
    [
      ['addr', 'add', `${address}/${prefix}`, 'dev', 'eth0'],
      ['link', 'set', 'eth0', 'up'],
    ],
    namespace,
  );
  return { ...endpoint, namespace };
}

async function reaches(from: Inside, to: Inside): Promise<boolean> {
  const argv = [
    'nsenter',
    `--net=/run/netns/${from.namespace}`,
    '--',
    'ping',
    '-n',
    '-c1',
    '-W1',
    to.address,
  ];
  return (await run(argv)).status === 0;
}

function carrier(endpoint: Inside): boolean {
  return !ip('-n', endpoint.namespace, 'link', 'show', 'eth0').includes('NO-CARRIER');
}

rootTest(
  '5.7, T5: the unit, with CAP_NET_ADMIN alone, over kill -9, restart, stop and start',
  testbedProblem()?.message ?? systemdProblem() ?? missing(['ping', 'findmnt']),
  async (t) => {
    const testbed = new Testbed();
    t.teardown(() => testbed.close());
    const host = testbed.addHost();
    const service = await SystemdService.start(t, host, () => ({ 'docker-socket': 'none' }));
    const { systemd } = service;
    const speaker = new DockerSpeaker(systemd.path('/run/docker/plugins/overlayd.sock'), 4);
    t.teardown(() => speaker.close());
    const flows = (from: Inside, to: Inside): Promise<boolean> =>
      until(`${to.address} is reached from ${from.address}`, 20_000, () => reaches(from, to));
    const start = (): Promise<SpokenEndpoint> =>
      speaker.startEndpoint(`/run/netns/${testbed.namespaceName('box')}`);
    t.strictSame(await service.capabilities(), ALL_SETS);
    // A host that has just booted: dockerd, which makes that folder, comes later.
    t.equal((await systemd.run('stat', '-c', '%F', '/run/docker/plugins/overlayd.sock')).trim(), 'socket');
    await speaker.createNetwork('blue', '10.64.0.0/16');
    const one = enter(host, await start());
    const two = enter(host, await start());
    await flows(one, two);
    t.equal(await service.held(), 2);

    await service.kill(() => t.ok(carrier(one) && carrier(two), 'the containers notice nothing'));
    await flows(one, two);
    t.strictSame(await service.capabilities(), ALL_SETS);

    // In the moment after a TAP was made, before Docker moves it.
    for (let round = 0; round < ROUNDS; round++) {
      const made = await start();
      let last: Inside | undefined;
      await service.kill(() => (last = enter(host, made)));
      await flows(last!, two);
      t.equal(await service.held(), 3 + round);
    }

    await service.systemctl('restart');
    await flows(one, two);
    const before = ROUNDS + 2;
    t.equal(await service.held(), before);

    await speaker.stopEndpoint(one);
    await until('its TAP is gone', 10_000, () => !ip('-n', one.namespace, 'link').includes('eth0'));
    t.equal(await service.held(), before - 1);
    const another = enter(host, await start());
    await flows(another, two);

    await service.stop();
    await service.systemctl('start');
    // FileDescriptorStorePreserve= is of systemd 254; before it, what is stopped keeps nothing.
    const version = Number(/systemd (\d+)/.exec(runNow(['systemctl', '--version']))?.[1]);
    t.equal(await service.held(), version >= 254 ? before : 0, `systemd ${version}`);
    t.equal(carrier(two), version >= 254);
    const status = await new ApiClient(systemd.path('/run/overlayd/overlayd.sock')).status();
    t.equal(status.node, host.name);
  },
);
