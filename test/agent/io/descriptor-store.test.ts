/** What systemd's file descriptor store is told and hands back (sd_notify(3), sd_listen_fds(3)). */
import { closeSync, fstatSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import tap from 'tap';
import { NO_DESCRIPTORS, handedOver, openDescriptorStore } from '../../../agent/io/descriptor-store.ts';
import { ServiceManager } from '../../../agent/io/service-manager.ts';
import { scratchDirectory } from '../api/fake-view.ts';
import { FakeManager } from '../fake-manager.ts';

const PID = 4_711;
const of = (more: Record<string, string>): readonly unknown[] =>
  handedOver({ LISTEN_PID: `${PID}`, LISTEN_FDS: '2', LISTEN_FDNAMES: 'ovl1:ovl2', ...more }, PID);

void tap.test('what is handed over is what the variables say, if they are for us', async (t) => {
  t.strictSame(of({}), [
    { fd: 3, name: 'ovl1' },
    { fd: 4, name: 'ovl2' },
  ]);
  t.strictSame(of({ LISTEN_FDS: '1', LISTEN_FDNAMES: 'one' }), [{ fd: 3, name: 'one' }]);
  t.strictSame(of({ LISTEN_FDNAMES: 'same:same' }).length, 2, 'the queues of one TAP');
  t.strictSame(of({ LISTEN_PID: '1' }), [], 'those of whoever started us');
  for (const LISTEN_FDS of ['', '0', '-1', '1', '3', '2x', '1e1', '99999', '123456'])
    t.strictSame(of({ LISTEN_FDS }), [], `LISTEN_FDS=${LISTEN_FDS}`);
  t.strictSame(of({ LISTEN_FDNAMES: '' }), []);
  t.strictSame(handedOver({}, PID), []);
});

void tap.test('the variables are for this process alone', async (t) => {
  const manager = new ServiceManager({});
  const environment = {
    LISTEN_PID: `${process.pid}`,
    LISTEN_FDS: '1',
    LISTEN_FDNAMES: 'ovl1',
    PATH: '/bin',
  };
  const store = openDescriptorStore(environment, manager);
  t.strictSame(environment, { PATH: '/bin' });
  t.notOk(store.holds('ovl1'), 'descriptor 3 is one of Node, and no TAP');
  t.strictSame(store.take('ovl1'), []);
  t.strictSame(
    store.dropRest(() => false),
    [],
  );
});

void tap.test('descriptors go to the manager, and are taken back by name', async (t) => {
  const folder = scratchDirectory(); // a short path: that of a socket is limited
  const manager = new FakeManager(join(folder, 'notify'));
  t.teardown(() => manager.close());
  const store = openDescriptorStore({}, new ServiceManager({ NOTIFY_SOCKET: manager.name }));
  const files = ['a', 'b', 'c'].map((name) => join(folder, name));
  for (const file of files) writeFileSync(file, '');
  const fds = files.map((file) => openSync(file, 'r')) as [number, number, number];
  t.ok(store.keep('ovl1', [fds[0], fds[1]]));
  t.ok(store.keep('ovl2', [fds[2]]));
  for (const fd of fds) closeSync(fd);
  t.strictSame(manager.stored, ['ovl1', 'ovl1', 'ovl2']);
  t.strictSame(manager.said, ['FDSTORE=1\nFDPOLL=0\nFDNAME=ovl1', 'FDSTORE=1\nFDPOLL=0\nFDNAME=ovl2']);
  const inodes = manager.hand().fds.map((fd) => fstatSync(fd).ino);
  t.strictSame(
    inodes,
    files.map((file) => fstatOf(file)),
    'these very files, in their order',
  );
  t.match(manager.hand().environment, { LISTEN_FDS: '3', LISTEN_FDNAMES: 'ovl1:ovl1:ovl2' });
  store.drop('ovl1');
  t.strictSame(manager.stored, ['ovl2']);
  t.equal(manager.said.at(-1), 'FDSTOREREMOVE=1\nFDNAME=ovl1');
  for (const name of ['a:b', 'tap0\nREADY=1', 'täp', '', 'x'.repeat(256)]) {
    t.notOk(store.keep(name, [0]));
    store.drop(name);
  }
  t.strictSame(manager.stored, ['ovl2'], 'what systemd takes for no name is not said');
  t.equal(manager.said.length, 3);
});

void tap.test('a manager that does not hear is no manager that holds', async (t) => {
  const NOTIFY_SOCKET = join(scratchDirectory(), 'nobody');
  const manager = new ServiceManager({ NOTIFY_SOCKET });
  t.notOk(openDescriptorStore({}, manager).keep('ovl1', [0]));
});

void tap.test('without a manager nothing is held', async (t) => {
  const store = openDescriptorStore({}, new ServiceManager({}));
  for (const each of [store, NO_DESCRIPTORS]) {
    t.ok(each.keep('ovl1', [0]), 'nobody was to hold it');
    each.drop('ovl1');
    t.notOk(each.holds('ovl1'));
    t.strictSame(each.take('ovl1'), []);
    t.strictSame(
      each.dropRest(() => false),
      [],
    );
  }
});

function fstatOf(file: string): number {
  const fd = openSync(file, 'r');
  try {
    return fstatSync(fd).ino;
  } finally {
    closeSync(fd);
  }
}
