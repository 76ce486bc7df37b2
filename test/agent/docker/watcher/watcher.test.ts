import tap from 'tap';
import type { Test } from 'tap';
import { until } from '../../../../agent/demo/process.ts';
import { DockerApi } from '../../../../agent/docker/client/api.ts';
import { EventStream } from '../../../../agent/docker/client/events.ts';
import { DockerWatcher } from '../../../../agent/docker/watcher/watcher.ts';
import type { MacInfo } from '../../../../agent/networks/interface.ts';
import { recordingLog } from '../../../agent/recording-log.ts';
import type { Line } from '../../../agent/recording-log.ts';
import { FakeDocker } from '../fake-docker.ts';
import type { FakeAttachment } from '../fake-docker.ts';

const attachment = (name: string, last: number): FakeAttachment => ({
  Name: name,
  EndpointID: `e${last}`,
  MacAddress: `02:42:0a:2a:00:0${last}`,
  IPv4Address: `10.42.0.${last}/16`,
  IPv6Address: '',
});
const mac = (last: number): string => `overlay 02:42:0a:2a:00:0${last}`;

interface Scene {
  readonly docker: FakeDocker;
  readonly watcher: DockerWatcher;
  /** What is said of each MAC now. */
  readonly said: Map<string, MacInfo>;
  readonly lines: Line[];
  /** Gives `tap0` to another network. */
  readonly setTap: (network: string | undefined) => void;
}

function setUp(t: Test): Scene {
  const docker = new FakeDocker();
  const api = new DockerApi(docker.socket);
  const { log, lines } = recordingLog();
  const said = new Map<string, MacInfo>();
  let tapNetwork: string | undefined = 'overlay';
  const watcher = new DockerWatcher({
    api,
    tapNetwork: (name) => (name === 'tap0' ? tapNetwork : undefined),
    driverNetwork: () => undefined,
    describeMac: (network, address, info) => {
      if (info === undefined) said.delete(`${network} ${address}`);
      else said.set(`${network} ${address}`, info);
    },
    log,
  });
  const stream = new EventStream(api, watcher, log);
  t.teardown(async () => {
    watcher.close();
    await stream.close();
    await api.close();
    await docker.stop();
  });
  return { docker, watcher, said, lines, setTap: (network) => (tapNetwork = network) };
}

function addMacvlan(docker: FakeDocker): void {
  docker.networks.set('n1', {
    Id: 'n1',
    Name: 'overlay',
    Driver: 'macvlan',
    Options: { parent: 'tap0' },
    Containers: { c2: attachment('web', 2) },
  });
  docker.networks.set('n2', {
    Id: 'n2',
    Name: 'other',
    Driver: 'macvlan',
    Options: { parent: 'eth0' },
    Containers: { c9: attachment('foreign', 9) },
  });
}

void tap.test('5.4: a Docker that is not there is said once and waited for', async (t) => {
  const { docker, watcher, said, lines } = setUp(t);
  addMacvlan(docker);
  await until('it was tried more than once', 5000, () => lines.length > 0);
  await docker.start();
  await until('it is followed', 5000, () => watcher.isConnected);
  t.strictSame([...said.keys()], [mac(2)], 'containers that ran before, on our TAP alone');
  t.strictSame(
    lines.filter(({ level }) => level !== 'debug').map(({ level, message }) => `${level} ${message}`),
    ['info no Docker here yet; watching for it', 'info Docker answers'],
  );
});

void tap.test('5.4: names and addresses come and go with the containers', async (t) => {
  const { docker, watcher, said } = setUp(t);
  addMacvlan(docker);
  await docker.start();
  await until('it is followed', 5000, () => watcher.isConnected);
  t.strictSame(said.get(mac(2)), { ips: ['10.42.0.2'], name: 'web' });

  const network = docker.networks.get('n1');
  if (network === undefined) throw new Error('n1');
  network.Containers['c3'] = attachment('db', 3);
  docker.emit('network', 'connect', 'n1', { container: 'c3' });
  await until('db is known', 5000, () => said.has(mac(3)));

  said.clear();
  network.Containers['c3'] = { ...attachment('db', 3), EndpointID: 'another' };
  docker.emit('container', 'start', 'c3');
  await until('it is said again of a new endpoint', 5000, () => said.has(mac(3)));

  network.Containers['c3'] = attachment('database', 3);
  docker.emit('container', 'rename', 'c3', { name: 'database', oldName: '/db' });
  await until('its new name too', 5000, () => said.get(mac(3))?.name === 'database');

  delete network.Containers['c2'];
  docker.emit('network', 'disconnect', 'n1', { container: 'c2' });
  docker.say('no json\n{"Type":"network"}\n');
  await until('web is gone', 5000, () => !said.has(mac(2)));
  t.strictSame([...said.keys()], [mac(3)]);

  docker.networks.delete('n1');
  docker.emit('network', 'destroy', 'n1');
  await until('nothing is left', 5000, () => said.size === 0);
});

void tap.test(
  '5.4: after a break everything is read again, and nothing is forgotten meanwhile',
  async (t) => {
    const { docker, watcher, said } = setUp(t);
    addMacvlan(docker);
    await docker.start();
    await until('it is followed', 5000, () => watcher.isConnected);
    await docker.stop();
    await until('the break is seen', 5000, () => !watcher.isConnected);
    t.strictSame([...said.keys()], [mac(2)], 'containers may live without their Docker');
    const network = docker.networks.get('n1');
    if (network === undefined) throw new Error('n1');
    network.Containers = { c4: attachment('new', 4) };
    await docker.start();
    await until('the list is right again', 10_000, () => said.has(mac(4)) && !said.has(mac(2)));
  },
);

void tap.test('5.4: a TAP that goes to another network takes its containers along', async (t) => {
  const { docker, watcher, said, setTap } = setUp(t);
  addMacvlan(docker);
  await docker.start();
  await until('it is followed', 5000, () => watcher.isConnected);
  setTap('green');
  watcher.refresh();
  await until('they are on green', 5000, () => said.has(mac(2).replace('overlay', 'green')));
  t.equal(said.size, 1);
  setTap(undefined);
  watcher.refresh();
  await until('they are nowhere', 5000, () => said.size === 0);
});
