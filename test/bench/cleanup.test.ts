import t from 'tap';
import { CleanupStack } from '../../bench/harness/cleanup.ts';

void t.test('undoes last in first out, once, and goes on after a failure', async (test) => {
  const done: string[] = [];
  const warnings: string[] = [];
  const cleanup = new CleanupStack((line) => warnings.push(line));
  cleanup.defer('namespace', () => void done.push('namespace'));
  cleanup.defer('daemon', () => Promise.reject(new Error('still running')));
  cleanup.defer('folder', async () => void done.push('folder'));
  await cleanup.run();
  await cleanup.run();
  test.same(done, ['folder', 'namespace']);
  test.same(warnings, ['cleaning up daemon: still running']);
});

void t.test('what is deferred while undoing is undone too', async (test) => {
  const done: string[] = [];
  const cleanup = new CleanupStack(() => {});
  cleanup.defer('outer', () => cleanup.defer('inner', () => void done.push('inner')));
  await cleanup.run();
  test.same(done, ['inner']);
});
