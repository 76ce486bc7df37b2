/** The life of workers: what is asked of the data path while one is being put in the place of a dead one. No TAP is needed for it. */
import { fstatSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import { openDataplane } from '../../../agent/dataplane/supervisor.ts';
import { WorkerThread } from '../../../agent/dataplane/worker-thread.ts';
import { silentLog } from '../api/fake-view.ts';

const TURNS = 100;

function isOpen(fd: number): boolean {
  try {
    fstatSync(fd);
    return true;
  } catch {
    return false;
  }
}

void t.test('a stop waits for the worker that is being started, and closes nothing under it', async (sub) => {
  const workers: WorkerThread[] = [];
  let second = (): void => undefined;
  const isStarting = new Promise<void>((resolve) => (second = resolve));
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  let receiveFd = -1;
  const dataplane = await openDataplane(
    { io: 'dgram', workers: 1, dataPathAddr: '127.0.0.1', dataPort: 0, taps: [] },
    silentLog,
    {
      startWorker: async (birth, listener) => {
        ({ receiveFd } = birth);
        const worker = await WorkerThread.start(birth, listener);
        workers.push(worker);
        if (workers.length > 1) {
          second();
          await released;
        }
        return worker;
      },
    },
  );
  const events: string[] = [];
  dataplane.onEvent(({ type }) => events.push(type));
  workers[0]?.terminate();
  await isStarting;
  let isStopped = false;
  const stopping = dataplane.stop(false).then(() => (isStopped = true));
  for (let turn = 0; turn < TURNS; turn++) await setImmediate();
  sub.notOk(isStopped);
  sub.ok(isOpen(receiveFd), 'what the new worker reads from');
  release();
  await stopping;
  sub.notOk(isOpen(receiveFd));
  sub.equal(workers.length, 2);
  sub.ok(workers[1]?.control.stopRequested, 'and it was ended');
  sub.notOk(events.includes('failed'));
});
