import t from 'tap';
import { UNPACED, bisectRate } from '../../bench/harness/bisection.ts';
import type { Trial } from '../../bench/harness/bisection.ts';

const OPTIONS = { maxLoss: 0.001, resolution: 0.02, floorPps: 1000, attempts: 1 };

/** A path that carries `capacity` packets a second and less than that when overloaded, fed by a bounded sender. */
function lossyPath(path: { capacity: number; sender: number; underOverload?: number }) {
  const asked: number[] = [];
  const trial = async (askedPps: number): Promise<Trial> => {
    asked.push(askedPps);
    const offeredPps = askedPps === UNPACED ? path.sender : Math.min(askedPps, path.sender);
    const receivedPps = offeredPps <= path.capacity ? offeredPps : (path.underOverload ?? path.capacity);
    return { offeredPps, receivedPps, loss: 1 - receivedPps / offeredPps };
  };
  return { trial, asked };
}

/** A path that always loses a tenth. */
async function losingTenth(askedPps: number): Promise<Trial> {
  const offeredPps = askedPps || 100_000;
  return { offeredPps, receivedPps: offeredPps * 0.9, loss: 0.1 };
}

/** A sender of 300 k unpaced that keeps up with 200 k paced, on a path that only unpaced bursts overload. */
async function slowPacer(askedPps: number): Promise<Trial> {
  if (askedPps === UNPACED) return { offeredPps: 300_000, receivedPps: 250_000, loss: 1 / 6 };
  const offeredPps = Math.min(askedPps, 200_000);
  return { offeredPps, receivedPps: offeredPps, loss: 0 };
}

/** A path that loses the same share at any rate. */
function lossOf(loss: number) {
  return async (): Promise<Trial> => ({ offeredPps: 1000, receivedPps: 1000 * (1 - loss), loss });
}

void t.test('finds the capacity of a path within the resolution', async (test) => {
  for (const capacity of [3_000, 60_000, 149_000, 390_000]) {
    const { trial, asked } = lossyPath({ capacity, sender: 400_000 });
    const { pps } = await bisectRate(trial, OPTIONS);
    test.ok(pps <= capacity, `${pps} is not above ${capacity}`);
    test.ok(pps >= 0.96 * capacity, `${pps} is near ${capacity}`);
    test.ok(asked.length <= 16, `${asked.length} trials`);
  }
});

void t.test('one trial suffices when even an unpaced sender loses nothing', async (test) => {
  const { trial, asked } = lossyPath({ capacity: 500_000, sender: 150_000 });
  const { pps, trials } = await bisectRate(trial, OPTIONS);
  test.equal(pps, 150_000);
  test.same(asked, [UNPACED]);
  test.equal(trials.length, 1);
});

void t.test(
  'what comes through under overload is no bound: paced traffic may do far better',
  async (test) => {
    const { trial } = lossyPath({ capacity: 200_000, sender: 400_000, underOverload: 20_000 });
    const { pps } = await bisectRate(trial, OPTIONS);
    test.ok(pps > 190_000 && pps <= 200_000, `${pps}`);
  },
);

void t.test('a path that loses at every rate gives zero, and the search ends', async (test) => {
  const { pps, trials } = await bisectRate(losingTenth, OPTIONS);
  test.equal(pps, 0);
  test.ok(trials.length < 100, `${trials.length} trials`);
});

void t.test('loss up to the bound passes', async (test) => {
  test.equal((await bisectRate(lossOf(0.001), OPTIONS)).pps, 999);
  test.equal((await bisectRate(lossOf(0.0011), OPTIONS)).pps, 0);
});

void t.test('a disturbed trial is tried again', async (test) => {
  const steady = lossyPath({ capacity: 100_000, sender: 400_000 });
  let count = 0;
  const disturbed = async (askedPps: number): Promise<Trial> => {
    const outcome = await steady.trial(askedPps);
    // Every second trial meets another job on the machine.
    return ++count % 2 === 1 ? { ...outcome, receivedPps: outcome.receivedPps / 2, loss: 0.5 } : outcome;
  };
  const twice = await bisectRate(disturbed, { ...OPTIONS, attempts: 2 });
  test.ok(twice.pps > 90_000 && twice.pps <= 100_000, `${twice.pps}`);
});

void t.test('a sender that can not keep the pace ends the search at its own limit', async (test) => {
  // Unpaced bursts lose, paced ones do not, and pacing costs the sender a third of its rate.
  const { pps, trials } = await bisectRate(slowPacer, OPTIONS);
  test.equal(pps, 200_000);
  test.equal(trials.length, 2);
});

void t.test('an error of a trial ends the search', async (test) => {
  await test.rejects(
    bisectRate(() => Promise.reject(new Error('the sender could send nothing')), OPTIONS),
    /send nothing/,
  );
});
