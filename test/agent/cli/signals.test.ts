/** Signals while the daemon starts. */
import tap from 'tap';
import { StopSignals } from '../../../agent/cli/signals.ts';

void tap.test('5.7 a SIGHUP before there is anything to reload is kept', async (t) => {
  const signals = new StopSignals(() => undefined);
  t.teardown(() => signals.dispose());
  let reloads = 0;
  process.emit('SIGHUP');
  process.emit('SIGHUP');
  signals.onReload(() => reloads++);
  t.equal(reloads, 1, 'once');
  process.emit('SIGHUP');
  t.equal(reloads, 2);
});
