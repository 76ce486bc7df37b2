/** Many MACs that say they have one IP: who answers for it, and at what cost. */
import t from 'tap';
import { SeededRng, below } from '../../../proto/rng.ts';
import type { Winner } from '../../../proto/view/network-table.ts';
import { NetworkTable } from '../../../proto/view/network-table.ts';
import type { RowChange } from '../../../proto/view/rows.ts';

const IP = '10.0.0.1';
const OWN = { network: 0, vni: 7, suppress: true, sealed: false };

/** A table whose every owner but "me" is at peer 1, and what it would have the data path know of IP. */
function tableOf(): { table: NetworkTable; answer: () => number | undefined } {
  let mac: number | undefined;
  const note = (change: RowChange): void => {
    if (change.op === 'neighbour-put') ({ mac } = change);
    if (change.op === 'neighbour-del') mac = undefined;
  };
  return {
    table: new NetworkTable(OWN, 'me', (owner) => (owner === 'me' ? undefined : 1), note),
    answer: () => mac,
  };
}

const claim = (mobility: number, hlc = 0n, held = false, owner = 'a'): Winner => ({
  owner,
  held,
  mobility,
  hlc,
  ips: [IP],
  name: '',
});

void t.test('whatever comes and goes, the best claim answers', async (test) => {
  const rng = new SeededRng(1);
  const { table, answer } = tableOf();
  const claims = new Map<number, Winner>();
  const best = (): number | undefined => {
    const [first] = [...claims].sort(([macA, a], [macB, b]) => {
      if (a.held !== b.held) return a.held ? 1 : -1;
      if (a.mobility !== b.mobility) return b.mobility - a.mobility;
      if (a.hlc !== b.hlc) return a.hlc > b.hlc ? -1 : 1;
      if (a.owner !== b.owner) return a.owner < b.owner ? -1 : 1;
      return macA - macB;
    });
    return first === undefined || first[1].owner === 'me' ? undefined : first[0];
  };
  for (let i = 0; i < 5_000; i++) {
    const mac = 1 + below(rng, 60);
    if (below(rng, 3) === 0) {
      claims.delete(mac);
      table.setWinner(mac, undefined);
    } else {
      const owner = ['a', 'b', 'me'][below(rng, 3)]!;
      const winner = claim(below(rng, 3), BigInt(below(rng, 2)), below(rng, 4) === 0, owner);
      claims.set(mac, winner);
      table.setWinner(mac, winner);
    }
    if (answer() !== best()) test.fail(`step ${i}: ${answer()} answers, not ${best()}`);
  }
  test.pass();
});

void t.test('a change costs little, however many MACs share the IP', async (test) => {
  const { table, answer } = tableOf();
  const MACS = 4_000;
  let looks = 0;
  const counted = (mobility: number): Winner => {
    const winner = claim(mobility);
    return Object.defineProperty({ ...winner }, 'held', { get: () => (looks++, false) });
  };
  for (let mac = 1; mac <= MACS; mac++) table.setWinner(mac, counted(mac));
  test.equal(answer(), MACS);
  // The best goes, again and again.
  for (let mac = MACS; mac > 1; mac--) table.setWinner(mac, undefined);
  test.equal(answer(), 1);
  test.ok(looks < MACS * 150, `${looks} looks at a claim for ${2 * MACS} changes`);
});
