import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mock } from 'node:test';
import t from 'tap';
import type { Test } from 'tap';
import { monotonicMs, wallMs } from '../../../agent/clock.ts';
import { NetworkDefinitions } from '../../../agent/networks/definitions.ts';
import { NetworkFile } from '../../../agent/networks/network-file.ts';
import { TABLE } from '../../../proto/state/interface.ts';
import { State } from '../../../proto/state/state.ts';
import { encodeInterest, interestKey } from '../../../proto/state/values/interest.ts';
import { encodeNetwork, networkKey } from '../../../proto/state/values/network.ts';
import { SeededRng } from '../../../proto/rng.ts';
import { fakeSigner, fakeVerifier } from '../../proto/state/fake-identity.ts';
import { scratchDirectory } from '../api/fake-view.ts';
import { recordingLog, type Line } from '../recording-log.ts';

interface Host {
  readonly state: State;
  readonly definitions: NetworkDefinitions;
  readonly lines: readonly Line[];
}

function host(test: Test, folder: string): Host {
  const { log, lines } = recordingLog();
  const state = new State(
    { node: 'a', epoch: BigInt(Date.now()) },
    { rng: new SeededRng(1), wall: wallMs, signer: fakeSigner('a'), verifier: fakeVerifier },
  );
  const definitions = new NetworkDefinitions({
    self: 'a',
    state,
    limits: { largestMtu: () => 1_450, hasKeyring: false },
    file: new NetworkFile(folder, log),
    isAway: () => false,
    wrote: () => undefined,
    log,
  });
  test.teardown(() => definitions.close());
  return { state, definitions, lines };
}

function folderOf(test: Test): string {
  const folder = scratchDirectory();
  test.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

void t.test('5.1 made, found by name and id, and there after a restart', async (test) => {
  const folder = folderOf(test);
  const first = host(test, folder);
  let changes = 0;
  first.definitions.onChange(() => changes++);
  const blue = first.definitions.create({ name: 'blue', labels: { team: 'web' } });
  test.match(blue, { name: 'blue', mtu: 1_450, createdBy: 'a', labels: { team: 'web' }, encrypted: false });
  test.match(blue.subnet, /^10\.\d+\.\d+\.0\/20$/);
  test.equal(changes, 1);
  test.same(first.definitions.find('blue'), blue);
  test.same(first.definitions.find(blue.id), blue);
  test.same(first.definitions.find(blue.id.slice(0, 8)), blue);
  test.equal(first.definitions.find(blue.id.slice(0, 7)), undefined, 'too short to be an id');
  const second = host(test, folder);
  test.same(second.definitions.list(), [blue], 'the very same');
  second.definitions.remove('blue', false);
  test.same(host(test, folder).definitions.list(), [], 'gone for good');
  test.ok(readFileSync(join(folder, 'networks.json'), 'utf8').includes(blue.id), 'which is remembered');
});

void t.test('5.1 changes that come without end keep no change from being heard', (test) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  test.teardown(() => mock.timers.reset());
  const { definitions, state } = host(test, folderOf(test));
  const value = { name: 'blue', vni: 7, subnet: '', gateway: '', mtu: 1_450, encrypted: false };
  state.put(monotonicMs(), 0, TABLE.network, networkKey('blue'), encodeNetwork(value));
  for (let i = 0; i < 3; i++) {
    definitions.touch();
    mock.timers.tick(30);
  }
  test.match(definitions.list(), [{ name: 'blue' }]);
  test.end();
});

void t.test('5.1 a removal that could not be kept has not happened', async (test) => {
  const folder = folderOf(test);
  const { definitions, state } = host(test, folder);
  const blue = definitions.create({ name: 'blue' });
  const file = join(folder, 'networks.json');
  rmSync(file);
  mkdirSync(join(file, 'full'), { recursive: true });
  test.throws(() => definitions.remove('blue', true), { code: 'OVL_STATE_DIR' });
  rmSync(file, { recursive: true });
  const red = definitions.create({ name: 'red' });
  test.same([definitions.list(), definitions.isGone(blue.id)], [[blue, red], false]);
  test.same([...state.records(0, TABLE.networkGone)], [], 'nothing was said of it');
  test.same(host(test, folder).definitions.list(), [blue, red], 'also after a restart');
  definitions.remove('blue', true);
  test.same([definitions.list(), definitions.isGone(blue.id)], [[red], true]);
});

void t.test('5.1 an equal one is taken, another one of the name refused', async (test) => {
  const { definitions } = host(test, folderOf(test));
  const blue = definitions.create({ name: 'blue', vni: 7 });
  test.same(definitions.create({ name: 'blue' }), blue);
  test.same(definitions.create({ name: 'blue', vni: 7, mtu: 1_450 }), blue);
  test.throws(() => definitions.create({ name: 'blue', vni: 8 }), {
    code: 'OVL_NETWORK_EXISTS',
    message: /vni is 7, not 8/,
  });
  test.throws(() => definitions.create({ name: 'red', vni: 7 }), {
    code: 'OVL_VNI_TAKEN',
    message: /that of network "blue"/,
  });
  const red = definitions.create({ name: 'red', subnet: '10.1.0.0/16' });
  test.equal(
    definitions.create({ name: 'green', subnet: '10.1.0.0/16' }).subnet,
    red.subnet,
    'overlaps are allowed',
  );
  test.throws(() => definitions.known('nope'), { code: 'OVL_NETWORK_NOT_FOUND' });
});

void t.test('5.1 removal: refused while somebody uses it, and says who', async (test) => {
  const { definitions, state } = host(test, folderOf(test));
  const { id, vni } = definitions.create({ name: 'blue' });
  const interest = { id, isAttached: true, endpoints: 5, names: ['web 10.43.0.2'] };
  state.put(monotonicMs(), 0, TABLE.interest, interestKey(vni), encodeInterest(interest));
  test.throws(() => definitions.remove('blue', false), {
    code: 'OVL_NETWORK_IN_USE',
    message: /a: 5 endpoints \(web 10\.43\.0\.2, …\), attached/,
    hint: /--force.*every host/,
  });
  test.match(definitions.remove('blue', true), { id, cut: [{ host: 'a', endpoints: 5 }] });
  test.throws(() => definitions.remove('blue', true), { code: 'OVL_NETWORK_NOT_FOUND' });
});

void t.test('5.1 one that a host has in its configuration is not removed', async (test) => {
  const { definitions, state } = host(test, folderOf(test));
  const value = {
    name: 'overlay',
    vni: 4_096,
    subnet: 'fd00::/64',
    gateway: 'fd00::1',
    mtu: 1_450,
    encrypted: false,
  };
  state.put(monotonicMs(), 0, TABLE.network, networkKey('overlay'), encodeNetwork(value));
  state.put(monotonicMs(), 0, TABLE.interest, interestKey(4_096), encodeInterest());
  test.throws(() => definitions.remove('overlay', true), {
    code: 'OVL_NETWORK_CONFIGURED',
    message: /configuration of a/,
  });
  test.match(definitions.find('overlay'), { subnet6: 'fd00::/64', gateway6: 'fd00::1', createdBy: '' });
  test.equal(definitions.find('overlay')?.subnet, undefined);
  test.throws(() => definitions.create({ name: 'red', vni: 4_096 }), { code: 'OVL_VNI_TAKEN' });
});

void t.test('a damaged file is put aside; one that cannot be written makes no network', async (test) => {
  const folder = folderOf(test);
  writeFileSync(join(folder, 'networks.json'), '{"version":1,"made":[{}]');
  const { definitions, lines } = host(test, folder);
  test.match(lines[0]?.message, /could not be read.*networks\.json\.damaged/);
  rmSync(folder, { recursive: true });
  writeFileSync(folder, 'in the way');
  test.throws(() => definitions.create({ name: 'blue' }), { code: 'OVL_STATE_DIR' });
  test.same(definitions.list(), [], 'nothing was said');
});
