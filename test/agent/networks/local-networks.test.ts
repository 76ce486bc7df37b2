import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { monotonicMs } from '../../../agent/clock.ts';
import { OverlaydError } from '../../../agent/errors.ts';
import { IndexPool } from '../../../agent/networks/index-pool.ts';
import type { EndpointSpec } from '../../../agent/networks/interface.ts';
import { NO_DESCRIPTORS } from '../../../agent/io/descriptor-store.ts';
import { LocalFiles } from '../../../agent/networks/local-files.ts';
import { Turns } from '../../../agent/networks/turns.ts';
import { toHex } from '../../../proto/state/bytes.ts';
import { TABLE } from '../../../proto/state/interface.ts';
import { decodeInterest, interestKey } from '../../../proto/state/values/interest.ts';
import { encodeNetwork, isMade, networkIdKey } from '../../../proto/state/values/network.ts';
import { scratchDirectory } from '../api/fake-view.ts';
import { recordingLog } from '../recording-log.ts';
import { localHost } from './local-host.ts';

const WEB: EndpointSpec = {
  id: 'e1',
  network: 'blue',
  ifName: 'ovd-test-e1',
  mac: '02:42:0a:2b:00:02',
  ips: ['10.43.0.2'],
  name: 'web',
};

function folderOf(test: Test): string {
  const folder = scratchDirectory();
  test.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function files(folder: string): string[] {
  return existsSync(join(folder, 'endpoints')) ? readdirSync(join(folder, 'endpoints')) : [];
}

void t.test('5.1 a network is joined with its first endpoint and left with its last', async (test) => {
  const folder = folderOf(test);
  const host = await localHost(test, folder);
  const { networks, dataplane } = host;
  const { vni } = await networks.create({ name: 'blue' });
  test.same([host.interests(), dataplane.networks.size], [[4_096], 1], 'known, and not taken part in');
  const opened = await networks.addEndpoint(WEB);
  test.equal(opened.name, WEB.ifName);
  test.same(host.interests(), [4_096, vni]);
  test.same([...dataplane.networks.values()], [4_096, vni]);
  test.same(host.records(vni), ['02420a2b0002 web 10.43.0.2'], 'announced before it said anything');
  const [spec] = dataplane.open.values();
  test.match(spec, { network: 1, port: 1, reflect: false, persist: true, binding: { ips: ['10.43.0.2'] } });
  test.equal(await networks.addEndpoint(WEB), opened, 'said again: the same');
  await test.rejects(networks.addEndpoint({ ...WEB, ips: ['10.43.0.3'] }), { code: 'OVL_ENDPOINT_EXISTS' });
  await test.rejects(networks.addEndpoint({ ...WEB, id: 'e2' }), { code: 'OVL_TAP_BUSY' });
  await networks.addEndpoint({ ...WEB, id: 'e2', ifName: 'ovd-test-e2', mac: '02:42:0a:2b:00:03' });
  await networks.removeEndpoint('e1');
  test.same(host.interests(), [4_096, vni], 'one is left');
  await networks.removeEndpoint('e2');
  await networks.removeEndpoint('e2');
  test.same([host.interests(), host.records(vni), networks.endpoints()], [[4_096], [], []]);
  test.same([...dataplane.networks.values()], [4_096]);
  test.same(dataplane.removed, ['ovd-test-e1', 'ovd-test-e2'], 'their interfaces are gone');
  test.same(files(folder), [], 'and nothing is on the disk');
});

void t.test('5.1 what fails leaves nothing behind', async (test) => {
  const folder = folderOf(test);
  const host = await localHost(test, folder);
  const { networks, dataplane } = host;
  await networks.create({ name: 'blue' });
  dataplane.failWith = new OverlaydError('OVL_TAP_BUSY', 'busy');
  await test.rejects(networks.addEndpoint(WEB), { code: 'OVL_TAP_BUSY' });
  await test.rejects(networks.attach('blue'), { code: 'OVL_TAP_BUSY' });
  test.same([host.interests(), files(folder), networks.endpoints()], [[4_096], [], []]);
  dataplane.failWith = undefined;
  await networks.create({ name: 'sealed', encrypted: true });
  await test.rejects(networks.addEndpoint({ ...WEB, network: 'sealed' }), { code: 'OVL_KEYRING_MISSING' });
  await test.rejects(networks.addEndpoint({ ...WEB, mac: 'ff:ff:ff:ff:ff:ff' }), {
    code: 'OVL_ENDPOINT_INVALID',
  });
  await test.rejects(networks.addEndpoint({ ...WEB, ips: ['10.43'] }), { code: 'OVL_ENDPOINT_INVALID' });
  await test.rejects(networks.addEndpoint({ ...WEB, network: 'nope' }), { code: 'OVL_NETWORK_NOT_FOUND' });
  test.same([host.interests(), files(folder), dataplane.open.size], [[4_096], [], 0]);
  await networks.addEndpoint(WEB);
  test.equal(dataplane.open.size, 1, 'and the next one works');
});

void t.test(
  '5.1 the next run finds what was on this host, and takes it up when it is told where it is',
  async (test) => {
    const folder = folderOf(test);
    const first = await localHost(test, folder);
    const { vni } = await first.networks.create({ name: 'blue' });
    await first.networks.addEndpoint(WEB);
    await first.networks.attach('blue', 'ovd-test-blue');
    first.close();
    const second = await localHost(test, folder);
    test.match(second.networks.endpoints(), [{ id: 'e1', ifName: WEB.ifName }]);
    test.same(second.interests(), [4_096, vni], 'the network is joined again');
    test.same(
      [...second.dataplane.open.values()].map(({ name }) => name),
      ['ovd-test-blue'],
      'its TAP is open; that of the endpoint is not on this host',
    );
    await second.networks.addEndpoint({ ...WEB, netns: '/run/netns/web' });
    test.match([...second.dataplane.open.values()][1], { name: WEB.ifName, netns: '/run/netns/web' });
    test.same(second.records(vni), ['02420a2b0002 web 10.43.0.2']);
    second.close();
    const third = await localHost(test, folder);
    test.match(
      [...third.dataplane.open.values()][1],
      { netns: '/run/netns/web' },
      'which the next run remembers',
    );
    third.dataplane.emit({ type: 'tap-gone', port: [...third.dataplane.open.keys()][1]!, name: WEB.ifName });
    await new Promise((resolve) => setImmediate(resolve));
    test.same(
      [third.records(vni), third.dataplane.open.size],
      [[], 1],
      'an interface that vanished is announced no more',
    );
    await third.networks.addEndpoint(WEB);
    test.equal(third.dataplane.open.size, 2, 'and can be made again');
  },
);

void t.test('5.1 killed between two steps: what was begun is known, and goes', async (test) => {
  const folder = folderOf(test);
  const first = await localHost(test, folder);
  const { id } = await first.networks.create({ name: 'blue' });
  first.close();
  // The file was written, the TAP not yet made.
  new LocalFiles(folder, recordingLog().log).writeEndpoint({ ...WEB, network: id });
  const second = await localHost(test, folder);
  test.match(second.networks.endpoints(), [{ id: 'e1' }]);
  await second.networks.removeEndpoint('e1');
  test.same([files(folder), second.interests(), second.dataplane.open.size], [[], [4_096], 0]);
  // The network was removed, and the daemon killed before it had cut everything off.
  await second.networks.addEndpoint(WEB);
  second.definitions.remove('blue', true);
  second.close();
  const third = await localHost(test, folder);
  test.same([files(folder), third.interests(), third.networks.endpoints()], [[], [4_096], []]);
});

void t.test('5.1 removed by force, it is cut off here', async (test) => {
  const folder = folderOf(test);
  const host = await localHost(test, folder);
  const { networks, dataplane } = host;
  const { id } = await networks.create({ name: 'blue' });
  await networks.addEndpoint(WEB);
  await networks.attach('blue', 'ovd-test-blue');
  await test.rejects(networks.remove('blue', { force: false }), {
    code: 'OVL_NETWORK_IN_USE',
    message: /a: 1 endpoint \(web 10\.43\.0\.2\), attached/,
  });
  await networks.remove(id, { force: true });
  test.same(dataplane.removed.sort(), ['ovd-test-blue', 'ovd-test-e1']);
  test.same([host.interests(), dataplane.open.size, files(folder)], [[4_096], 0, []]);
  test.match(host.lines.map(({ message }) => message).join(), /its interfaces here go/);
});

void t.test(
  '5.1 the cluster knows at once of an endpoint, so that nobody removes its network',
  async (test) => {
    const { networks, state } = await localHost(test, folderOf(test));
    const { vni } = await networks.create({ name: 'blue' });
    const said = (): unknown =>
      [...state.records(0, TABLE.interest)]
        .filter(({ key }) => toHex(key) === toHex(interestKey(vni)))
        .map(({ value }) => decodeInterest(value));
    await networks.addEndpoint(WEB);
    test.match(said(), [{ endpoints: 1, names: ['web 10.43.0.2'] }]);
  },
);

void t.test('5.1 of what is cut off one failure keeps nothing else, and is tried again', async (test) => {
  const folder = folderOf(test);
  const host = await localHost(test, folder);
  const { networks, dataplane, definitions, lines } = host;
  await networks.create({ name: 'blue' });
  await networks.addEndpoint(WEB);
  await networks.addEndpoint({ ...WEB, id: 'e2', ifName: 'ovd-test-e2', mac: '02:42:0a:2b:00:03' });
  await networks.attach('blue', 'ovd-test-blue');
  dataplane.failCloseOf = WEB.ifName;
  // A disk that takes no file of this name.
  const file = join(folder, 'attached.json');
  rmSync(file);
  mkdirSync(join(file, 'full'), { recursive: true });
  const told = (): string[] =>
    lines.filter(({ level }) => level === 'error').map(({ fields }) => String(fields['tap']));
  definitions.remove('blue', true);
  while (told().length < 2) await nextTurn();
  test.same(told(), [WEB.ifName, 'ovd-test-blue'], 'both are told of');
  test.same(
    [dataplane.removed, dataplane.open.size],
    [['ovd-test-e2', 'ovd-test-blue'], 0],
    'all went that could',
  );
  rmSync(file, { recursive: true });
  while (host.interests().length > 1) await nextTurn();
  test.same([files(folder), networks.endpoints()], [[], []], 'and then the rest');
  test.equal(told().length, 2, 'told of once');
});

void t.test('5.4 a name that somebody else gave is announced again with its endpoint', async (test) => {
  const host = await localHost(test, folderOf(test));
  const { networks, dataplane } = host;
  const { vni } = await networks.create({ name: 'blue' });
  const { name: _, ...unnamed } = WEB;
  await networks.addEndpoint(unnamed);
  networks.describeMac('blue', WEB.mac, { ips: WEB.ips, name: 'web' });
  const named = ['02420a2b0002 web 10.43.0.2'];
  test.same(host.records(vni), named);
  dataplane.emit({ type: 'tap-gone', port: [...dataplane.open.keys()][0]!, name: WEB.ifName });
  test.same(host.records(vni), []);
  await networks.addEndpoint(unnamed);
  test.same(host.records(vni), named, 'its interface was lost and opened again');
  await networks.removeEndpoint(WEB.id);
  await networks.addEndpoint(unnamed);
  test.same(host.records(vni), named, 'or had to be made anew');
  networks.describeMac('blue', WEB.mac, undefined);
  await networks.removeEndpoint(WEB.id);
  await networks.addEndpoint(unnamed);
  test.same(host.records(vni), ['02420a2b0002  10.43.0.2'], 'taken back');
});

void t.test('5.3 a TAP that is gone and cannot be let go does not end the daemon', async (test) => {
  const { networks, dataplane, lines } = await localHost(test, folderOf(test));
  await networks.create({ name: 'blue' });
  await networks.addEndpoint(WEB);
  dataplane.failCloseOf = WEB.ifName;
  dataplane.emit({ type: 'tap-gone', port: [...dataplane.open.keys()][0]!, name: WEB.ifName });
  while (!lines.some(({ message }) => message.includes('could not be let go'))) await nextTurn();
  test.equal(dataplane.open.size, 0);
});

void t.test('5.1 a network that got another VNI keeps its endpoints', async (test) => {
  const host = await localHost(test, folderOf(test));
  const { networks, state, dataplane } = host;
  const { vni, id } = await networks.create({ name: 'blue' });
  await networks.addEndpoint(WEB);
  const network = host.definitions.resolution.networks.find(({ value }) => value.name === 'blue')!.value;
  if (!isMade(network)) throw new Error('blue was made');
  const next = { ...network, vni: vni + 1, made: { ...network.made, revision: 1 } };
  state.put(monotonicMs(), 0, TABLE.network, networkIdKey(id), encodeNetwork(next));
  const followed = new Promise<void>((resolve) => networks.onChange(resolve));
  host.definitions.touch();
  await followed;
  test.same(host.interests(), [4_096, vni + 1]);
  test.same([...dataplane.networks.values()], [4_096, vni + 1]);
  test.same(host.records(vni + 1), ['02420a2b0002 web 10.43.0.2']);
  test.same(host.records(vni), []);
});

void t.test('5.1 TAPs for whole networks', async (test) => {
  const host = await localHost(test, folderOf(test));
  const { networks } = host;
  const { vni } = await networks.create({ name: 'blue' });
  await networks.create({ name: 'red' });
  test.match(await networks.attach('blue'), { tap: `ov${vni}`, mtu: 1_450, name: 'blue' });
  test.match(await networks.attach('blue'), { tap: `ov${vni}` }, 'said again: the same');
  await test.rejects(networks.attach('blue', 'other'), { code: 'OVL_NETWORK_ATTACHED' });
  await test.rejects(networks.attach('red', `ov${vni}`), { code: 'OVL_TAP_BUSY' });
  await test.rejects(networks.attach('red', 'tap0.5'), { code: 'OVL_TAP_NAME' });
  await test.rejects(networks.attach('overlay', 'x'), { code: 'OVL_NETWORK_ATTACHED' });
  await test.rejects(networks.detach('red', false), { code: 'OVL_NETWORK_NOT_ATTACHED' });
  await test.rejects(networks.detach('overlay', true), { code: 'OVL_NETWORK_NOT_ATTACHED' });
  networks.describeMac('blue', '02:42:0A:2B:00:09', { ips: ['10.43.0.9'], name: 'db' });
  test.same(host.records(vni), ['02420a2b0009 db 10.43.0.9'], 'what a watcher says is announced');
  await test.rejects(networks.detach('blue', false), { code: 'OVL_NETWORK_IN_USE', message: /such as db/ });
  networks.describeMac('blue', '02:42:0a:2b:00:09', undefined);
  networks.describeMac('red', '02:42:0a:2b:00:09', { ips: [] });
  await networks.detach('blue', false);
  test.same(host.interests(), [4_096]);
});

void t.test('5.1 --join-all: every network, those that cannot be are said once', async (test) => {
  const host = await localHost(test, folderOf(test), { joinAll: true });
  const { networks, dataplane } = host;
  const names = ['n1', 'n2', 'n3', 'n4'];
  for (const name of names) await networks.create({ name });
  test.equal(dataplane.open.size, 3, 'as many as there is room for');
  const said = host.lines.filter(({ message }) => message.includes('--join-all'));
  test.equal(said.length, 1);
  test.match(said[0]?.fields, { network: 'n4', err: { code: 'OVL_NETWORKS_FULL' } });
  await test.rejects(networks.detach('n1', true), { code: 'OVL_JOIN_ALL' });
  await networks.remove('n1', { force: false });
  test.equal(dataplane.open.size, 2, 'that it is joined is no use of it');
});

void t.test('5.5 the MTU of a made network is that of all its TAPs, those to come as well', async (test) => {
  const folder = folderOf(test);
  const host = await localHost(test, folder);
  const { networks, dataplane, tapMtus } = host;
  for (const name of ['red', 'blue']) await networks.create({ name });
  // The other network's is opened first: ports and networks do not count alike.
  await networks.addEndpoint({ ...WEB, id: 'r1', network: 'red', ifName: 'ovd-test-r1' });
  await networks.attach('blue', 'ovd-test-blue');
  await networks.addEndpoint(WEB);
  await networks.addEndpoint({ ...WEB, id: 'e2', ifName: 'ovd-test-e2', mac: '02:42:0a:2b:00:03' });
  await networks.addEndpoint({ ...WEB, id: 'o1', network: 'overlay', ifName: 'ovd-test-o1' });
  await networks.removeEndpoint('e2');
  const mtuOf = (name: string): number | undefined =>
    host.joined.list().find((network) => network.name === name)?.mtu;
  const blue = host.joined.list().find(({ name }) => name === 'blue')!.index;
  let now = 0;
  const look = (network: number, bytes: number): void => {
    for (const end = now + 21_000; now <= end; now += 500) tapMtus.look(now, [{ network, proven: [bytes] }]);
  };
  const set = (): Record<string, number> =>
    Object.fromEntries(
      Array.from(dataplane.mtus, ([port, mtu]) => [dataplane.open.get(port)?.name ?? `port ${port}`, mtu]),
    );
  look(blue, 1_400);
  test.same(set(), { 'ovd-test-blue': 1_350, 'ovd-test-e1': 1_350 }, 'its own, and they alone');
  test.same([mtuOf('blue'), mtuOf('red'), mtuOf('overlay')], [1_350, 1_450, 1_450]);
  await networks.addEndpoint({ ...WEB, id: 'e3', ifName: 'ovd-test-e3', mac: '02:42:0a:2b:00:04' });
  test.equal([...dataplane.open.values()].at(-1)?.mtu, 1_350, 'a new one is made so');
  look(0, 1_390);
  test.match(set(), { 'port 0': 1_340, 'ovd-test-o1': 1_340 }, 'a configured network has endpoints as well');

  dataplane.stubborn.add(WEB.ifName);
  look(blue, 1_380);
  test.match(set(), { 'ovd-test-blue': 1_330, 'ovd-test-e1': 1_350, 'ovd-test-e3': 1_330 });
  const said = host.lines.find(({ message }) => message.includes('keeps the MTU'));
  test.match(said, { level: 'warn', fields: { mtu: 1_330, err: { message: /ovd-test-e1/ } } });
  for (const name of ['ovd-test-blue', 'ovd-test-e3']) dataplane.stubborn.add(name);
  look(blue, 1_370);
  test.equal(mtuOf('blue'), 1_330, 'what no TAP took is not shown');
  test.match(host.lines.at(-1), { fields: { network: 'blue' }, message: /could not be set/ });

  host.close();
  const next = await localHost(test, folder);
  const [first] = next.dataplane.open.values();
  test.match(first, { name: 'ovd-test-blue', mtu: 1_330 }, 'and the next run knows');
  await next.networks.detach('blue', true);
  await next.networks.removeEndpoint('e1');
  await next.networks.removeEndpoint('e3');
  test.equal(next.joined.list().length, 2, 'left');
  await next.networks.attach('blue');
  test.equal([...next.dataplane.open.values()].at(-1)?.mtu, 1_330, 'also where it was left in between');
});

void t.test(
  '5.5 containers out of reach keep their MTU, and new ones have the one that is right',
  async (test) => {
    const { networks, dataplane, tapMtus, joined, lines } = await localHost(test, folderOf(test));
    await networks.create({ name: 'blue' });
    await networks.addEndpoint(WEB);
    dataplane.away.add(WEB.ifName);
    const { index } = joined.list().find(({ name }) => name === 'blue')!;
    for (let now = 0; now <= 90_000; now += 500) tapMtus.look(now, [{ network: index, proven: [1_400] }]);
    const said = lines.filter(({ message }) => message.includes('keep the MTU that they have'));
    test.match(said, [{ level: 'warn', fields: { count: 1, mtu: 1_350 }, message: /CAP_SYS_ADMIN/ }], 'once');
    test.notOk(lines.some(({ message }) => message.includes('could not be set')));
    await networks.addEndpoint({ ...WEB, id: 'e2', ifName: 'ovd-test-e2', mac: '02:42:0a:2b:00:03' });
    test.equal([...dataplane.open.values()].at(-1)?.mtu, 1_350);
  },
);

void t.test('5.3 what an earlier run left open is taken up without being told where it is', async (test) => {
  const folder = folderOf(test);
  const first = await localHost(test, folder);
  await first.networks.create({ name: 'blue' });
  for (const id of ['e1', 'e2'])
    await first.networks.addEndpoint({
      ...WEB,
      id,
      ifName: `ovd-test-${id}`,
      mac: `02:42:0a:2b:00:0${id[1]}`,
    });
  first.close();
  const held = new Set(['ovd-test-e1']);
  const descriptors = {
    ...NO_DESCRIPTORS,
    holds: (name: string) => held.has(name),
    drop: (name: string) => void held.delete(name),
  };
  const next = await localHost(test, folder, { descriptors });
  const names = (): string[] => Array.from(next.dataplane.open.values(), ({ name }) => name);
  test.same(names(), ['ovd-test-e1'], 'the other is in a container, or was never made');
  await next.networks.addEndpoint({
    ...WEB,
    id: 'e2',
    ifName: 'ovd-test-e2',
    mac: '02:42:0a:2b:00:02',
    netns: '/n',
  });
  test.same(names(), ['ovd-test-e1', 'ovd-test-e2']);
});

void t.test('5.3 what was left open of an endpoint that goes is let go', async (test) => {
  const folder = folderOf(test);
  const first = await localHost(test, folder);
  await first.networks.create({ name: 'blue' });
  await first.networks.addEndpoint(WEB);
  first.close();
  rmSync(join(folder, 'networks.json'));
  const dropped: string[] = [];
  const descriptors = {
    ...NO_DESCRIPTORS,
    holds: () => true,
    drop: (name: string) => void dropped.push(name),
  };
  const next = await localHost(test, folder, { descriptors });
  const again = next.networks.addEndpoint({ ...WEB, network: next.networks.endpoints()[0]!.network });
  await test.rejects(again, { code: 'OVL_NETWORK_NOT_FOUND' });
  test.match(next.networks.endpoints(), [{ id: 'e1' }], 'it still waits for its network');
  await next.networks.removeEndpoint('e1');
  test.same(dropped, [WEB.ifName]);
  test.same([next.networks.endpoints(), files(folder)], [[], []]);
});

void t.test(
  '5.5 what the paths take when a network is joined is what its first TAP is made with',
  async (test) => {
    const paths: (number | undefined)[] = [1_400, undefined];
    const { networks, dataplane, lines } = await localHost(test, folderOf(test), { paths });
    await networks.create({ name: 'blue' });
    await networks.create({ name: 'red' });
    test.match(await networks.attach('blue'), { mtu: 1_450 }, 'one is not known');
    paths[1] = 1_390;
    await networks.addEndpoint({ ...WEB, network: 'red' });
    test.equal([...dataplane.open.values()].at(-1)?.mtu, 1_350, 'by the widest');
    test.match(lines.at(-1), { level: 'warn', fields: { network: 'red', mtu: 1_350 } }, 'and said');
  },
);

void t.test('indexes come again in turn, and not at once', async (test) => {
  const pool = new IndexPool(2, 5);
  test.same([pool.take(0), pool.take(0), pool.take(0), pool.take(0)], [2, 3, 4, undefined]);
  pool.free(1_000, 3);
  pool.free(1_500, 2);
  test.equal(pool.take(2_000), undefined, 'its last holder may be heard of yet');
  test.same([pool.take(3_000), pool.take(3_400), pool.take(3_500)], [3, undefined, 2]);
});

void t.test('one thing at a time under one key', async (test) => {
  const turns = new Turns();
  const order: string[] = [];
  let end: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (end = resolve));
  const work = (name: string, until?: Promise<void>) => async () => {
    order.push(`${name} begins`);
    await until;
    order.push(`${name} ends`);
    if (until !== undefined) throw new Error(name);
    return name;
  };
  const first = turns.take('k', work('a', held));
  const second = turns.take('k', work('b'));
  test.equal(await turns.take('other', work('c')), 'c');
  end();
  await test.rejects(first, { message: 'a' });
  test.equal(await second, 'b', 'whatever became of the first');
  test.same(order, ['a begins', 'c begins', 'c ends', 'a ends', 'b begins', 'b ends']);
});
