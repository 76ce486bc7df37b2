/** Path MTU discovery with many peers at once: all share the probes that a host may send (issue 5.5; checklist 3.16). */
import t from 'tap';
import { clearProbe } from '../../../proto/pmtu/messages.ts';
import { DEFAULT_TIMING } from '../../../proto/pmtu/options.ts';
import { Paths } from '../../../proto/pmtu/paths.ts';
import { SeededRng } from '../../../proto/rng.ts';
import { Crowd } from './crowd.ts';

/** What was promised for the time that a flow stands still. */
const RECOVERY_MS = 5_000;
const TRAFFIC = 100_000;
/** Of a host, a second. */
const PROBES = 500;
const ROUND = 7;

for (const peers of [130, 300, 500]) {
  void t.test(`3.16: with ${peers} busy peers one path that narrows is found out in time`, async (sub) => {
    const crowd = new Crowd({ seed: peers, peers, traffic: TRAFFIC });
    const took = crowd.run(60_000, () => crowd.areAll(({ proven }) => proven === 1500));
    sub.ok(took < (peers * ROUND * 1_000) / PROBES, `all are searched at first within ${took} ms`);
    crowd.run(10_000);
    const before = { sent: crowd.sent, now: crowd.now };
    let worst = 0;
    for (let i = 0; i < 10; i++) {
      const name = `p${(i * 37) % peers}`;
      crowd.run(1_000 + i * 77);
      crowd.mtus.set(name, 1_400 - i);
      worst = Math.max(
        worst,
        crowd.run(60_000, () => crowd.get(name).mtu <= 1_400 - i),
      );
    }
    sub.ok(worst < RECOVERY_MS, `a black hole is found out within ${worst} ms`);
    crowd.add('new');
    const known = crowd.run(60_000, () => crowd.get('new').proven === 1_500);
    sub.ok(known < RECOVERY_MS / 2, `a new peer is known after ${known} ms`);
    const rate = (crowd.sent - before.sent) / ((crowd.now - before.now) / 1_000);
    sub.ok(rate < PROBES, `${rate} probes a second`);
    sub.ok(crowd.areAll(({ mtu }, is) => mtu <= is));
  });
}

void t.test('3.16: all paths narrow at once: all are found out, one after the other', async (sub) => {
  const peers = 300;
  const crowd = new Crowd({ seed: 4, peers, traffic: TRAFFIC });
  crowd.run(20_000);
  for (const name of crowd.mtus.keys()) crowd.mtus.set(name, 1_400);
  const took = crowd.run(120_000, () => crowd.areAll(({ mtu }) => mtu <= 1_400));
  // A confirmation, and two rounds of everybody.
  const bound = (peers * 2 * ROUND * 1_000) / PROBES + RECOVERY_MS;
  sub.ok(took < bound, `${took} ms`);
  crowd.run(30_000);
  sub.ok(crowd.areAll(({ mtu }) => mtu === 1_400));
});

void t.test('5.5: broadcasts alone are no traffic; the largest packet is', async (sub) => {
  const perSecond = (traffic: number): number => {
    const crowd = new Crowd({ seed: 1, peers: 20, traffic });
    crowd.run(20_000);
    const { sent } = crowd;
    crowd.run(60_000);
    return (crowd.sent - sent) / 60;
  };
  const { floorBytes } = DEFAULT_TIMING;
  sub.ok(perSecond(floorBytes - 1) < 2, 'as if idle');
  sub.ok(perSecond(floorBytes) > 70, 'four a second and peer');
});

void t.test('5.5: peers that come and go leave nothing that others wait for', async (sub) => {
  const paths = new Paths({ rng: new SeededRng(6), seal: () => undefined });
  const peer = (port: number): Parameters<Paths['setPeer']>[2] => ({
    addr: { ip: '198.51.100.1', port },
    linkBytes: 1500,
    isSealed: false,
  });
  let now = 0;
  // Each asks for a round at once, and most are gone before its turn.
  for (let i = 0; i < 10_000; i++) {
    now += 1;
    paths.setPeer(now, `p${i % 100}`, peer(i + 1));
    paths.handleDeadline(now);
    while (paths.pollTransmit() !== undefined);
  }
  for (let i = 0; i < 100; i++) paths.removePeer(`p${i}`);
  paths.setPeer(now, 'last', peer(9));
  const askedMs = now;
  while (now < askedMs + 60_000 && paths.pollTransmit() === undefined) {
    now = paths.nextDeadline();
    paths.handleDeadline(now);
  }
  sub.ok(now - askedMs < 250, `asked after ${now - askedMs} ms`);
});

void t.test(
  '4a: probes in the name of one member, however many, leave the others their answers',
  async (sub) => {
    const paths = new Paths({ rng: new SeededRng(7), seal: () => undefined });
    const forged = { ip: '198.51.100.1', port: 4789 };
    const honest = { ip: '198.51.100.2', port: 4789 };
    paths.setPeer(0, 'forged', { addr: forged, linkBytes: 1500, isSealed: false });
    paths.setPeer(0, 'honest', { addr: honest, linkBytes: 1500, isSealed: false });
    const probe = clearProbe(1_472, 1);
    let asked = 0;
    const answered = new Map([
      [forged.ip, 0],
      [honest.ip, 0],
    ]);
    for (let now = 0; now < 10_000; now++) {
      for (let i = 0; i < 4; i++) paths.handleDatagram(now, probe, probe.length, forged);
      // As many as a search sends.
      if (now % 15 === 0) {
        paths.handleDatagram(now, probe, probe.length, honest);
        asked += 1;
      }
      for (let out = paths.pollTransmit(); out !== undefined; out = paths.pollTransmit()) {
        if (out.probe === undefined) answered.set(out.to.ip, (answered.get(out.to.ip) ?? 0) + 1);
      }
    }
    sub.equal(answered.get(honest.ip), asked);
    sub.ok((answered.get(forged.ip) ?? 0) <= 1_100, 'a hundred a second');
  },
);
