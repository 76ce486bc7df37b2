/** What /healthz and the watchdog go by. */
import t from 'tap';
import { Pulse } from '../../../agent/dataplane/pulse.ts';

void t.test(
  'a worker that died is as silent as one that hangs, until another is in its place',
  async (test) => {
    const pulse = new Pulse();
    test.equal(pulse.ageMs(1_000, [10, 30]), 30);
    pulse.died(0, 1_000);
    test.equal(pulse.ageMs(7_000, []), 6_000, 'nobody lives');
    test.equal(pulse.ageMs(7_000, [10]), 6_000, 'the others do not speak for it');
    pulse.revived(0);
    test.equal(pulse.ageMs(7_100, [10, 20]), 20);
  },
);
