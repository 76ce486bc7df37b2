/** The ring of what the core hands to control: nothing waits there unannounced, whenever it was put in. */
import t from 'tap';
import type { Core } from '../../../agent/dataplane/core.ts';
import { PuntRing } from '../../../agent/dataplane/punts.ts';
import { clearProbe } from '../../../proto/pmtu/messages.ts';
import { Harness } from '../../model/harness.ts';

const MEMBER = '192.0.2.7';

interface Bench {
  readonly h: Harness;
  readonly ring: PuntRing;
  /** A probe of so many bytes comes from a member. */
  readonly come: (size: number) => void;
  /** What is to happen while control reads a message of the ring, once. */
  readonly meanwhile: (act: () => void) => void;
}

function bench(): Bench {
  const h = new Harness();
  h.peer(7, MEMBER);
  let act: (() => void) | undefined;
  const { core } = h;
  const watched: Core = {
    ...core,
    get bytes() {
      const now = act;
      act = undefined;
      now?.();
      return core.bytes;
    },
  };
  return {
    h,
    ring: new PuntRing(watched),
    come: (size) => h.tunnel(MEMBER, clearProbe(size, size)),
    meanwhile: (next) => {
      act = next;
    },
  };
}

const announced = (h: Harness): number => h.events().filter(({ type }) => type === 'punted').length;

void t.test('what fills an empty ring is announced, what joins it is not', async (sub) => {
  const { h, ring, come } = bench();
  for (const size of [100, 101, 102]) come(size);
  sub.equal(announced(h), 1);
  sub.strictSame(
    ring.drain().map(({ ip, length }) => [ip, length]),
    [100, 101, 102].map((size) => [MEMBER, size]),
  );
  sub.strictSame(ring.drain(), []);
  come(103);
  sub.equal(announced(h), 1);
  sub.equal(ring.drain().length, 1);
});

void t.test('what comes while control reads is read at once, or announced', async (sub) => {
  const { h, ring, come, meanwhile } = bench();
  come(100);
  sub.equal(announced(h), 1);
  meanwhile(() => come(200));
  const read = ring.drain().map(({ length }) => length);
  sub.ok(read.includes(200) || announced(h) === 1, `read ${read.join(', ')}`);
  h.events();
  ring.drain();
  come(300);
  sub.equal(announced(h), 1, 'and the next one is announced again');
});

void t.test('a ring that is full takes no more, and all that is in it is read', async (sub) => {
  const { h, ring, come, meanwhile } = bench();
  const slots = h.constant('PUNT_SLOTS');
  for (let i = 0; i < slots + 10; i++) come(100);
  sub.equal(h.drops('punt-rate'), 10);
  meanwhile(() => come(200));
  sub.equal(ring.drain().length, slots, 'there is no place while it is read');
  come(300);
  sub.strictSame(
    ring.drain().map(({ length }) => length),
    [300],
  );
  sub.equal(h.imbalance(), 0);
});
