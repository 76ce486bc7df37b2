import t from 'tap';
import type { Message } from '../../../proto/memberlist/messages.ts';
import { Bench } from './bench.ts';

/** A member whose announcement missed us is met soon after it talks to us, and strangers cannot make much of that. */
const ping = (node: string, host: number): Message => ({
  type: 'ping',
  node: 'me',
  seqNo: 1,
  sourceAddr: Uint8Array.of(10, 0, 0, host),
  sourceNode: node,
  sourcePort: 7946,
});

const dialled = (bench: Bench): string[] =>
  bench.actions.flatMap((action) => (action.type === 'dial' ? [action.to.ip] : []));

void t.test('an unknown member that pings, or has a word for us, is asked for its state', (test) => {
  for (const message of [ping('late', 9), { type: 'user', bytes: Uint8Array.of(0xd7) } as const]) {
    const bench = new Bench();
    bench.hear('10.0.0.9', message);
    bench.wait(900);
    test.same(dialled(bench), [], 'its announcement may still be on its way');
    bench.wait(700);
    test.same(dialled(bench), ['10.0.0.9']);
    test.equal(bench.count('stranger-merge'), 1);
    bench.hear('10.0.0.9', message);
    bench.wait(5000);
    test.same(dialled(bench).length, 1, 'once in half a minute');
  }
  test.end();
});

void t.test('whose announcement comes meanwhile is not asked, nor who gives no name', (test) => {
  const bench = new Bench();
  bench.hear('10.0.0.9', ping('late', 9));
  bench.alive('late', 9);
  bench.hear('10.0.0.8', ping('', 8));
  bench.wait(1600);
  test.equal(bench.count('stranger-merge'), 0);
  test.end();
});

void t.test('who is held gone, and pings, is asked too, unless his refutation comes', (test) => {
  for (const from of ['x', 'late']) {
    for (const refutes of [false, true]) {
      const bench = new Bench();
      bench.alive('late', 9);
      bench.hear('10.0.0.3', { type: 'dead', node: 'late', from, incarnation: 1 });
      bench.hear('10.0.0.9', ping('late', 9));
      if (refutes) bench.alive('late', 9, { incarnation: 2 });
      bench.wait(1600);
      test.equal(bench.count('stranger-merge'), refutes ? 0 : 1);
    }
  }
  test.end();
});

void t.test('a flood of strangers costs few dials', (test) => {
  const bench = new Bench();
  for (let i = 2; i < 2000; i++) bench.hear(`10.0.${i >> 8}.${i & 255}`, ping(`x${i}`, i & 255));
  bench.wait(20_000);
  test.equal(bench.count('stranger-merge'), 16);
  test.end();
});
