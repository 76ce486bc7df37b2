import t from 'tap';
import { messageOf } from '../../bench/harness/errors.ts';

void t.test('a message is one line without the paths of this machine', async (test) => {
  test.equal(
    messageOf(new Error('/usr/bin/node /home/me/x/main.js wait: no\nSee there.')),
    'node main.js wait: no',
  );
  test.equal(messageOf(new Error('10.0.0.1/24 and a/b, 5 Gb/s')), '10.0.0.1/24 and a/b, 5 Gb/s', 'no paths');
  test.equal(messageOf('thrown text'), 'thrown text');
  test.equal(messageOf(new Error('')), '');
});
