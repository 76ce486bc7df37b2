/** The MTU of TAPs (issue 5.5; checklist T6, 3.16): right at creation, lowered when no path takes more, and never silently. */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { TapMtus } from '../../../agent/control/tap-mtus.ts';
import { recordingLog } from '../recording-log.ts';

const NETWORKS = [
  { name: 'overlay', tap: 'tap0', mtu: 1450, encrypted: false },
  { name: 'vault', tap: 'tap1', mtu: 1418, encrypted: true },
];
const overhead = (encrypted: boolean): number => (encrypted ? 82 : 50);
const SECOND = 1_000;

function bench(test: Test, dir = scratch(test)) {
  const { log, lines } = recordingLog();
  const mtus = new TapMtus({ networks: NETWORKS, overhead, stateDir: dir, log });
  const set: [network: number, mtu: number][] = [];
  const born = [mtus.mtu(0), mtus.mtu(1)];
  mtus.onChange((network, mtu) => {
    set.push([network, mtu]);
  });
  let now = 0;
  const look = (seconds: number, ...proven: (number | undefined)[]): void => {
    for (const end = now + seconds * SECOND; now < end; now += 500) mtus.look(now, [{ network: 0, proven }]);
  };
  return { dir, lines, mtus, set, born, look };
}

function scratch(test: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'overlayd-mtus-'));
  test.teardown(() => rmSync(dir, { recursive: true }));
  return dir;
}

void t.test(
  '5.5: lowered when every path has shown less for a while, said so, and kept over a restart',
  async (test) => {
    const { dir, lines, mtus, set, born, look } = bench(test);
    test.same(born, [1450, 1418]);
    look(60, 1500, 1400);
    look(60, undefined, 1400);
    look(60);
    test.same(set, [], 'one path takes it, or is not known, or there is none');
    look(15, 1400, 1380);
    look(1, 1500, 1380);
    look(15, 1400, 1380);
    test.same(set, [], 'not for long');
    look(10, 1400, 1380);
    test.same(set, [[0, 1350]], 'by the widest');
    test.equal(mtus.mtu(0), 1350);
    const fields = { network: 'overlay', tap: 'tap0', mtu: 1350, before: 1450 };
    test.match(lines, [{ level: 'warn', fields }]);
    const file = join(dir, 'tap-mtus.json');
    test.equal(statSync(file).mode & 0o777, 0o600);
    test.notOk(existsSync(`${file}.new`));

    const again = bench(test, dir);
    test.same(again.born, [1350, 1418], 'right from the start');
    test.match(again.lines, [{ level: 'warn', fields: { tap: 'tap0', mtu: 1350 } }], 'and said again');
    again.look(290, 1500, 1400);
    test.same(again.set, []);
    again.look(20, 1500, 1400);
    test.same(again.set, [[0, 1450]], 'raised to what was configured, no more, after five minutes');
    test.match(again.lines.at(-1), { message: /keep theirs until they are restarted/ });
    test.same(JSON.parse(readFileSync(file, 'utf8')).taps, {}, 'nothing is lower any more');
  },
);

void t.test(
  '5.5: never so low that the kernel would take IPv6 away; what cannot be set is told',
  async (test) => {
    const { set, look, mtus } = bench(test);
    look(60, 1280);
    test.same(set, [[0, 1280]]);
    test.equal(mtus.mtu(7), 0, 'no such network');
    mtus.look(1e9, [{ network: 9, proven: [1300] }]);
    const { log, lines } = recordingLog();
    const stuck = new TapMtus({ networks: NETWORKS, overhead, stateDir: scratch(test), log });
    stuck.onChange(() => {
      throw new Error('no such device');
    });
    for (let now = 0; now < 60_000; now += 500) stuck.look(now, [{ network: 0, proven: [1400] }]);
    test.equal(stuck.mtu(0), 1450, 'what is shown is what is');
    test.match(lines[0], { fields: { error: 'no such device', tap: 'tap0' } });
    test.ok(lines.length <= 3, 'not a line each time it is looked at');
  },
);

void t.test('5.5: a damaged file is told, and does not keep a host from starting', async (test) => {
  const dir = scratch(test);
  for (const text of ['{', '[]', '{"version":1,"taps":{"tap0":12}}', '{"version":1,"taps":{"tap0":"x"}}']) {
    writeFileSync(join(dir, 'tap-mtus.json'), text);
    const { born, lines } = bench(test, dir);
    test.same(born, [1450, 1418]);
    test.equal(lines.length, 1);
  }
  writeFileSync(join(dir, 'tap-mtus.json'), '{"version":1,"taps":{"tap0":9000,"tap1":600,"old":1300}}');
  test.same(bench(test, dir).born, [1450, 1280], 'no more than configured, and no less than IPv6 needs');
});

void t.test(
  '5.5: a made network follows its paths too, and what it had is kept while it is left',
  async (test) => {
    const dir = scratch(test);
    const id = (number: number): string => number.toString(16).padStart(32, '0');
    const facts = { id: id(7), name: 'blue', mtu: 1418, encrypted: true };
    const { mtus, set, lines } = bench(test, dir);
    mtus.add(2, facts, []);
    test.same([mtus.has(2), mtus.mtu(2), lines], [true, 1418, []]);
    for (let now = 0; now <= 21_000; now += 500) mtus.look(now, [{ network: 2, proven: [1400] }]);
    test.same([set, mtus.mtu(2), mtus.mtu(0)], [[[2, 1318]], 1318, 1450], 'that network alone');
    test.match(lines, [{ level: 'warn', fields: { network: 'blue', mtu: 1318, before: 1418 } }]);

    // The next run writes the file before it knows of the network again.
    const next = bench(test, dir);
    next.look(30, 1400);
    const last = bench(test, dir);
    last.mtus.add(5, facts, []);
    test.equal(last.mtus.mtu(5), 1318, 'under whatever index');
    test.match(last.lines.at(-1), { level: 'warn', fields: { network: 'blue', mtu: 1318 } });
    last.mtus.rename(5, id(8), 'green');
    last.mtus.remove(5);
    test.same([last.mtus.has(5), last.mtus.mtu(5)], [false, 0]);
    last.mtus.add(3, { ...facts, id: id(8) }, []);
    last.mtus.add(4, facts, []);
    test.same([last.mtus.mtu(3), last.mtus.mtu(4)], [1318, 1418], 'it has another id now');

    // Bounded, whatever comes and goes: the oldest is found out again.
    const taps = Object.fromEntries(Array.from({ length: 256 }, (_, number) => [id(100 + number), 1300]));
    writeFileSync(
      join(dir, 'tap-mtus.json'),
      JSON.stringify({ version: 1, taps: { ...taps, [id(7)]: 1318 } }),
    );
    const full = bench(test, dir).mtus;
    full.add(2, facts, []);
    full.remove(2);
    for (const [index, number] of [7, 100, 101].entries())
      full.add(2 + index, { ...facts, id: id(number) }, []);
    test.same([full.mtu(2), full.mtu(3), full.mtu(4)], [1318, 1418, 1300]);
  },
);
