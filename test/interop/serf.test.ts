import t from 'tap';
import { RealMember, eventually } from './member.ts';
import { SerfAgent, whyNoSerf } from './serf-agent.ts';

/**
 * Members of ours and real Serf agents (Go memberlist, LZW on) in one cluster, on loopback addresses of their own.
 * Skipped with the reason where Serf is missing; with OVERLAYD_TEST=required that is a failure.
 */
// The machine may be busy: tap's own limit of 30 s is for a quiet one.
t.setTimeout(600_000);

const reason = whyNoSerf();
const isRequired = process.env['OVERLAYD_TEST'] === 'required';
const skip = reason !== undefined && !isRequired && reason;
if (isRequired) t.equal(reason, undefined, 'serf is there');

const ALL = 'ours1=alive ours2=alive serf1=alive serf2=alive';

async function lists(agent: SerfAgent): Promise<string> {
  const members = await agent.members();
  return members
    .map(({ name, status }) => `${name}=${status}`)
    .sort()
    .join(' ');
}

function seesAll(member: RealMember): boolean {
  return ['serf1', 'serf2', 'ours1', 'ours2'].every((name) => member.stateOf(name) === 'alive');
}

/** Or what a busy machine makes of a late answer. */
function isExpected(line: string): boolean {
  return /Node 'ours\d' delegate protocol version \(0\)|Failed fallback ping|timed? ?out/i.test(line);
}

void t.test('ours join a Serf cluster with default options, and stay', { skip }, async (test) => {
  const first = new SerfAgent('serf1', '127.73.1.1');
  const second = new SerfAgent('serf2', '127.73.1.2', '-retry-join=127.73.1.1', '-retry-interval=1s');
  const seeds = [{ ip: '127.73.1.1', port: 7946 }];
  const ours = await RealMember.open('ours1', '127.73.1.3', { seeds });
  const other = await RealMember.open('ours2', '127.73.1.4', { seeds });
  test.teardown(() => Promise.all([first.stop(), second.stop(), ours.close(), other.close()]));

  test.ok(await eventually(async () => (await lists(first)) === ALL, 60_000), await lists(first));
  test.ok(await eventually(async () => (await lists(second)) === ALL, 60_000), await lists(second));
  test.ok(await eventually(() => seesAll(ours) && seesAll(other), 60_000), 'ours see all');

  // Several rounds of probes, and of push/pull (every 15 s on Serf's side).
  await eventually(() => false, 17_000);
  test.equal(await lists(first), ALL);
  // On a busy machine an answer may be late and a suspicion come and go; nobody may be declared dead.
  test.same(
    ours.events.filter(({ type }) => type === 'dead'),
    [],
  );
  test.ok((ours.swim.counters().counts.get('ack:in') ?? 0) > 5, 'our pings are answered');
  test.ok(await eventually(() => (ours.swim.member('serf1')?.rttMs ?? Infinity) < 500, 60_000));
  // Each of ours is refused once, before it has learnt which delegate version is spoken here (versions.ts).
  const complaints = [...first.complaints, ...second.complaints];
  test.same(
    complaints.filter((line) => !isExpected(line)),
    [],
  );
  test.ok(complaints.length <= 6);

  second.signal('SIGKILL');
  test.ok(
    await eventually(() => ours.stateOf('serf2') === 'dead' && other.stateOf('serf2') === 'dead', 60_000),
    'kill -9 is seen',
  );

  other.do((swim, now) => swim.leave(now));
  test.ok(await eventually(() => other.events.some(({ type }) => type === 'leave-done'), 60_000));
  await other.close();
  const status = async (): Promise<string | undefined> => first.statusOf('ours2');
  test.ok(
    await eventually(async () => ['left', 'failed'].includes((await status()) ?? ''), 60_000),
    `leave is seen as ${await status()}`,
  );
  test.ok(await eventually(() => ours.stateOf('ours2') === 'left', 60_000));
  test.same(ours.errors, []);
});

void t.test('Serf joins a cluster of ours', { skip }, async (test) => {
  const seeds = [{ ip: '127.73.2.1', port: 7946 }];
  const members = await Promise.all(
    [1, 2, 3].map((i) => RealMember.open(`ours${i}`, `127.73.2.${i}`, { seeds })),
  );
  const serf = new SerfAgent('serf1', '127.73.2.9', '-retry-join=127.73.2.2', '-retry-interval=1s');
  test.teardown(() => Promise.all([serf.stop(), ...members.map((member) => member.close())]));
  const aliveInSerf = async (): Promise<number> =>
    (await serf.members()).filter(({ status }) => status === 'alive').length;
  test.ok(
    await eventually(async () => (await aliveInSerf()) === 4, 60_000),
    `serf lists ${await aliveInSerf()}`,
  );
  test.ok(await eventually(() => members.every((member) => member.stateOf('serf1') === 'alive'), 60_000));
  await serf.leave();
  test.ok(
    await eventually(() => members.every((member) => member.stateOf('serf1') === 'left'), 60_000),
    'its leave is seen',
  );
});
