import t from 'tap';
import type { Address } from '../../../proto/env.ts';
import { SeedKeeper, resolveSeeds } from '../../../agent/control/seeds.ts';
import { recordingLog } from '../recording-log.ts';

void t.test('addresses stand for themselves, in canonical text and once', async (t) => {
  const seeds = [
    { host: '192.0.2.1', port: 7946 },
    { host: '192.0.2.1', port: 7946 },
    { host: '192.0.2.1', port: 7947 },
    { host: '2001:DB8:0::1', port: 7946 },
  ];
  const { addresses, errors } = await resolveSeeds(seeds, 4);
  t.strictSame(addresses, [
    { ip: '192.0.2.1', port: 7946 },
    { ip: '192.0.2.1', port: 7947 },
    { ip: '2001:db8::1', port: 7946 },
  ]);
  t.strictSame(errors, []);
});

void t.test('names are looked up; one that is unknown does not hold up the others', async (t) => {
  const seeds = [
    { host: 'localhost', port: 1 },
    { host: 'no-such-host.invalid', port: 2 },
  ];
  const { addresses, errors } = await resolveSeeds(seeds, 4);
  t.strictSame(addresses, [{ ip: '127.0.0.1', port: 1 }]);
  t.equal(errors.length, 1);
  t.equal(errors[0]?.addr, 'no-such-host.invalid:2');
});

void t.test('a keeper hands over addresses, tells of unknown names, and takes new seeds', async (t) => {
  const { log, lines } = recordingLog();
  const handed: (readonly Address[])[] = [];
  let wake: () => void = () => undefined;
  const next = (): Promise<void> =>
    new Promise((resolve) => {
      wake = resolve;
    });
  const first = next();
  const keeper = new SeedKeeper({
    seeds: [{ host: 'no-such-host.invalid', port: 7946 }],
    family: 4,
    setSeeds: (addresses) => {
      handed.push(addresses);
      wake();
    },
    log,
  });
  await first;
  t.strictSame(handed, [[]]);
  const second = next();
  keeper.setSeeds([{ host: '192.0.2.9', port: 1 }]);
  await second;
  t.strictSame(handed[1], [{ ip: '192.0.2.9', port: 1 }]);
  t.strictSame(keeper.seeds, [{ host: '192.0.2.9', port: 1 }]);
  keeper.close();
  const third = next();
  keeper.open();
  await third;
  t.strictSame(handed[2], handed[1], 'a host that joins again looks its seeds up again');
  keeper.close();
  const fourth = next();
  keeper.setSeeds([{ host: '192.0.2.10', port: 1 }]);
  await fourth;
  t.strictSame(handed[3], [{ ip: '192.0.2.10', port: 1 }], 'and so when it is given others');
  t.ok(lines.some(({ level, fields }) => level === 'warn' && fields['addr'] === 'no-such-host.invalid:7946'));
  keeper.close();
});
