/**
 * Path MTU discovery on simulated links (issue 5.5; checklist 3.16, 3.17; RFC 8899): found without ICMP, believed only by
 * answers, not shaken by loss, quick when a path narrows, cheap when nothing goes on.
 */
import * as fc from 'fast-check';
import t from 'tap';
import { clearAnswer, clearProbe, tokenOf } from '../../../proto/pmtu/messages.ts';
import { DEFAULT_TIMING } from '../../../proto/pmtu/options.ts';
import { PathSearch } from '../../../proto/pmtu/path-search.ts';
import { Paths } from '../../../proto/pmtu/paths.ts';
import { ProbeBudget } from '../../../proto/pmtu/probe-budget.ts';
import { SeededRng } from '../../../proto/rng.ts';
import { Link } from './link.ts';

const SEED = 20261130;
const STEP = 8;

void t.test(
  '5.5: what a path takes is found, to the byte where links commonly have that size',
  async (sub) => {
    for (const mtu of [
      1500, 1492, 1480, 1450, 1400, 1380, 1350, 1280, 1200, 1437, 1301, 1190, 900, 600, 576,
    ]) {
      for (const delayMs of [0.2, 40]) {
        const link = new Link({ mtu, delayMs });
        const took = link.run(mtu < 1200 ? 8_000 : 10_000, () => link.path.state === 'complete');
        const { mtu: found, proven } = link.path;
        sub.equal(found, proven);
        sub.ok(found <= mtu && found > mtu - STEP, `${found} of ${mtu}`);
        if (mtu >= 1280 && mtu !== 1437 && mtu !== 1301) sub.equal(found, mtu);
        if (mtu >= 1200) sub.ok(took < (delayMs < 1 ? 3_500 : 9_000), `${mtu}: ${took} ms`);
        sub.equal(link.path.blackHoles, 0);
      }
    }
  },
);

void t.test('5.5: jumbo links, IPv6, and a link that takes less than the base size', async (sub) => {
  for (const [linkBytes, mtu, least] of [
    [9000, 9000, 9000],
    [9000, 1500, 1500],
    [9000, 8_940, 8_900],
    [65_535, 65_535, 65_535],
    [1_000, 1_000, 1_000],
    [1_000, 700, 692],
  ] as const) {
    const link = new Link({ mtu, linkBytes, addrs: ['fd00::1', 'fd00::2'] });
    link.run(8_000);
    sub.ok(link.path.mtu <= mtu && link.path.mtu >= least, `${link.path.mtu} of ${mtu}`);
  }
  const narrow = new Link({ mtu: 800 });
  narrow.run(8_000);
  sub.equal(narrow.path.state, 'error', 'RFC 8899 §5.2.2');
});

void t.test(
  '5.5: an interface of whatever size is begun with, in small rounds, and used whole',
  async (sub) => {
    const rng = new SeededRng(2);
    const budget = new ProbeBudget(1e6);
    for (let linkBytes = 68; linkBytes <= 2_000; linkBytes++) {
      const search = new PathSearch(0, {
        linkBytes,
        rng,
        timing: DEFAULT_TIMING,
        budget,
        canProbe: () => true,
      });
      search.handleDeadline(1_000);
      const sizes: number[] = [];
      for (let out = search.pollProbe(); out !== undefined; out = search.pollProbe()) sizes.push(out.bytes);
      if (sizes.length > 7 || Math.max(...sizes) !== Math.max(linkBytes, 576)) {
        sub.fail(`${linkBytes}: ${sizes.join(', ')}`);
      }
    }
    for (const linkBytes of [1_202, 1_250, 1_280, 1_281]) {
      const link = new Link({ mtu: linkBytes, linkBytes });
      link.run(3_000);
      sub.equal(link.path.proven, linkBytes);
      const narrower = new Link({ mtu: linkBytes - 1, linkBytes });
      narrower.run(3_000);
      const { mtu } = narrower.path;
      sub.ok(mtu < linkBytes && mtu > linkBytes - 1 - STEP, `${mtu} of ${linkBytes - 1}`);
    }
  },
);

void t.test('5.5: until something is known the link is gone by, and never falls in between', async (sub) => {
  const link = new Link({ mtu: 1400, delayMs: 5 });
  const seen = new Set<number>();
  link.run(5_000, () => {
    seen.add(link.path.mtu);
    return false;
  });
  sub.ok(seen.has(1500));
  sub.ok(Math.min(...seen) >= 1_280, `what was gone by: ${[...seen].join(', ')}`);
  sub.equal(link.path.mtu, 1400);
});

void t.test(
  '3.16: a path that narrows in mid-flow is found out within a second or two, lossy or not',
  async (sub) => {
    const worst = { clean: 0, lossy: 0 };
    for (let seed = 0; seed < 60; seed++) {
      const isLossy = seed % 2 === 1;
      const link = new Link({ seed, mtu: 1500, delayMs: seed % 3 === 0 ? 30 : 0.3, jitterMs: 2 });
      link.loss = isLossy ? 0.1 : 0;
      link.isBusy = true;
      link.run(4_000 + seed * 37);
      sub.equal(link.path.mtu, 1500);
      const mtu = [1450, 1400, 1280, 1200, 1100][seed % 5] ?? 0;
      link.mtu = mtu;
      const tookMs = link.run(20_000, () => link.path.mtu <= mtu);
      if (isLossy) worst.lossy = Math.max(worst.lossy, tookMs);
      else worst.clean = Math.max(worst.clean, tookMs);
      sub.ok(link.path.mtu >= Math.min(mtu, 1200) - 100 || link.path.mtu >= 576);
      link.run(8_000);
      sub.ok(link.path.mtu <= mtu && link.path.mtu > mtu - STEP, `${link.path.mtu} of ${mtu} in the end`);
      sub.ok(link.path.blackHoles >= 1);
    }
    t.comment(
      `found out within ${worst.clean.toFixed(0)} ms, with a tenth lost within ${worst.lossy.toFixed(0)} ms`,
    );
    sub.ok(worst.clean < 1_500 && worst.lossy < 3_500);
  },
);

void t.test('5.5: a lost probe is no answer: loss and a dead path lower nothing', async (sub) => {
  for (const loss of [0.01, 0.05, 0.1, 0.2]) {
    const link = new Link({ seed: 7, mtu: 1500, delayMs: 10, jitterMs: 5 });
    link.isBusy = true;
    link.run(2_000);
    link.loss = loss;
    link.run(600_000);
    sub.equal(link.path.blackHoles, 0, `${loss * 100} % lost for ten minutes`);
    const { loss: measured = 0 } = link.path;
    // Lost on the way there or back.
    sub.ok(Math.abs(measured - (1 - (1 - loss) ** 2)) < 0.25, `measured ${measured}`);
  }
  const dead = new Link({ mtu: 1400 });
  dead.isBusy = true;
  dead.run(5_000);
  dead.isUp = false;
  dead.run(300_000);
  sub.equal(dead.path.mtu, 1400);
  sub.equal(dead.path.blackHoles, 0);
  dead.isUp = true;
  dead.mtu = 1300;
  const took = dead.run(10_000, () => dead.path.mtu <= 1300);
  sub.ok(took < 4_000, `back, and narrower: ${took} ms`);
});

void t.test('5.5: a path that is wide again is used again', async (sub) => {
  const link = new Link({ mtu: 1500 });
  link.isBusy = true;
  link.run(3_000);
  link.mtu = 1300;
  link.run(5_000);
  sub.equal(link.path.mtu, 1300);
  link.mtu = 1500;
  sub.ok(link.run(60_000, () => link.path.mtu === 1500) < 15_000, 'soon after a black hole');
  const other = new Link({ mtu: 1400 });
  other.run(10_000);
  other.mtu = 1500;
  sub.ok(other.run(200_000, () => other.path.mtu === 1500) < 100_000, 'and otherwise in its time');
});

void t.test('5.5: what our own kernel will not send needs no second word', async (sub) => {
  const paths = new Paths({ rng: new SeededRng(3), seal: () => undefined });
  const addr = { ip: '192.0.2.2', port: 4789 };
  paths.setPeer(0, 'b', { addr, linkBytes: 1500, isSealed: false });
  let now = 0;
  let limit = 1500;
  const run = (ms: number): void => {
    for (const end = now + ms; now < end; now++) {
      paths.noteTraffic(now, 'b', 10_000);
      paths.handleDeadline(now);
      for (let out = paths.pollTransmit(); out !== undefined; out = paths.pollTransmit()) {
        if (out.probe === undefined) throw new Error('no probe');
        if (out.bytes.length + 28 > limit) paths.handleTooLong(out.probe.peer, out.probe.token);
        else paths.handleDatagram(now, clearAnswer(out.bytes.length, out.probe.token), 16, addr);
      }
    }
  };
  run(1_000);
  sub.equal(paths.path('b')?.mtu, 1500);
  limit = 1420;
  run(900);
  sub.ok((paths.path('b')?.mtu ?? 0) <= 1420);
  run(3_000);
  sub.equal(paths.path('b')?.mtu, 1420);
  paths.handleTooLong('nobody', 1);
  paths.handleTooLong('b', 1);
});

void t.test('5.5: it costs little: idle, busy, and with a peer that never answers', async (sub) => {
  const perMinute = (link: Link, minutes: number): { packets: number; bytes: number } => {
    const before = { ...link.sent };
    link.run(minutes * 60_000);
    return {
      packets: (link.sent.packets - before.packets) / minutes,
      bytes: (link.sent.bytes - before.bytes) / minutes,
    };
  };
  const link = new Link({ mtu: 1500 });
  link.run(10_000);
  const idle = perMinute(link, 30);
  sub.ok(
    idle.packets <= 10 && idle.bytes <= 7_000,
    `idle: ${idle.packets} probes and answers, ${idle.bytes} bytes a minute`,
  );
  link.isBusy = true;
  const busy = perMinute(link, 10);
  sub.ok(busy.packets <= 245 && busy.bytes <= 260_000, `busy: ${busy.packets} probes, ${busy.bytes} bytes`);
  const silent = new Link({ mtu: 1500 });
  silent.isUp = false;
  silent.isBusy = true;
  silent.run(600_000);
  const given = perMinute(silent, 30);
  sub.ok(given.packets <= 18, `to the silent: ${given.packets} a minute`);
  sub.equal(silent.path.proven, undefined);
  sub.equal(silent.path.mtu, 1500, 'the link is all that is known');
  sub.equal(link.sent.largestAnswer, 16);

  const crowd = new Paths({ rng: new SeededRng(1), seal: () => undefined, probesPerSecond: 100 });
  for (let i = 0; i < 500; i++) {
    crowd.setPeer(0, `p${i}`, {
      addr: { ip: `198.51.${i >> 8}.${i & 255}`, port: 1 },
      linkBytes: 1500,
      isSealed: false,
    });
  }
  let sent = 0;
  for (let now = 0; now < 10_000; now += 10) {
    crowd.handleDeadline(now);
    while (crowd.pollTransmit() !== undefined) sent++;
  }
  sub.ok(sent > 500 && sent <= 1_100, `${sent} probes in ten seconds to 500 peers`);
});

void t.test(
  '5.5: forged probes and answers change nothing, and are answered with less than they are',
  async (sub) => {
    const link = new Link({ mtu: 1500 });
    link.run(5_000);
    const { a, addrs } = link;
    const [, b] = addrs;
    const before = JSON.stringify(link.path);
    const rng = new SeededRng(5);
    const say = (bytes: Uint8Array, from = b, length = bytes.length): void => {
      a.handleDatagram(link.now, bytes.subarray(0, 64), length, from);
    };
    for (let i = 0; i < 2_000; i++) say(clearAnswer(9_000, rng.u32() * 0x20_0000));
    sub.equal(a.counters().get('drop:unknown-token'), 2_000);
    say(clearAnswer(1_472, 1), { ip: '203.0.113.9', port: 4789 });
    say(clearProbe(1_472, 1), { ip: '203.0.113.9', port: 4789 });
    sub.equal(a.counters().get('drop:unknown-source'), 2);
    say(clearProbe(1_472, 1), b, 1_471);
    say(clearProbe(40, 1));
    say(new Uint8Array(16));
    say(Uint8Array.of(6));
    const sealed = clearProbe(1_472, 1);
    sealed[1] = 1;
    say(sealed);
    sealed[1] = 2;
    say(sealed);
    sub.equal(a.counters().get('drop:malformed'), 5);
    sub.equal(a.counters().get('drop:unsealable'), 1);
    sub.equal(a.pollTransmit(), undefined, 'none of these was answered');
    say(clearProbe(1_472, 77), { ip: b.ip, port: 666 });
    const answer = a.pollTransmit();
    sub.same(answer?.to, b, 'to where the member is, not to whence it came');
    sub.equal(answer?.bytes.length, 16);
    sub.equal(tokenOf(answer?.bytes ?? new Uint8Array(16)), 77);
    for (let i = 0; i < 10_000; i++) say(clearProbe(1_472, i));
    let answers = 0;
    while (a.pollTransmit() !== undefined) answers++;
    sub.ok(answers <= 2_000, 'no more than two thousand a second');
    sub.equal(JSON.stringify(link.path), before);
  },
);

const anyTrace = fc.record({
  seed: fc.integer(),
  link: fc.constantFrom(1500, 9000, 1400),
  delay: fc.double({ min: 0.05, max: 120, noNaN: true }),
  jitter: fc.double({ min: 0, max: 50, noNaN: true }),
  steps: fc.array(
    fc.record({
      mtu: fc.integer({ min: 576, max: 9000 }),
      loss: fc.double({ min: 0, max: 0.5, noNaN: true }),
      isUp: fc.boolean(),
      isBusy: fc.boolean(),
      ms: fc.integer({ min: 10, max: 60_000 }),
    }),
    { maxLength: 8 },
  ),
  last: fc.integer({ min: 576, max: 9000 }),
});

void t.test('5.5: whatever a path goes through, in the end it is known', async (sub) => {
  fc.assert(
    fc.property(anyTrace, ({ seed, link: linkBytes, delay, jitter, steps, last }) => {
      const link = new Link({ seed, mtu: 1500, linkBytes, delayMs: delay, jitterMs: jitter });
      for (const { mtu, loss, isUp, isBusy, ms } of steps) {
        Object.assign(link, { mtu, loss, isUp, isBusy });
        link.run(ms);
        const { mtu: found, proven } = link.path;
        if (found > linkBytes || found < 576 || (proven !== undefined && proven > linkBytes)) return false;
      }
      // A narrow path is known soon, once there is traffic; that it is wide again is known by the next raise.
      Object.assign(link, { mtu: last, loss: 0, isUp: true, isBusy: true });
      link.run(60_000);
      if (link.path.mtu > last) return false;
      link.run(1_300_000);
      const wanted = Math.min(last, linkBytes);
      return link.path.mtu <= wanted && link.path.mtu > wanted - STEP;
    }),
    { seed: SEED, numRuns: 60 },
  );
  sub.pass('60 traces');
});

void t.test('5.5: one seed, one trace', async (sub) => {
  const trace = (): string => {
    const link = new Link({ seed: 9, mtu: 1333, loss: 0.1, delayMs: 3, jitterMs: 4 });
    link.isBusy = true;
    link.run(20_000);
    return JSON.stringify([link.path, link.sent]);
  };
  sub.equal(trace(), trace());
});
