import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import t from 'tap';
import { aesGcm, sha256 } from '../../agent/crypto/aes-gcm.ts';
import { Keyring } from '../../proto/keyring/keyring.ts';
import { SecretKey } from '../../proto/keyring/secret-key.ts';
import { announcedKeys } from '../../proto/swim/meta.ts';
import { RealMember, eventually } from './member.ts';
import { SerfAgent, whyNoSerf } from './serf-agent.ts';

/**
 * Three encrypted Serf agents and one of ours, through a rotation with Serf's own tools (ours in step), a pause, a leave and a
 * kill. On loopback addresses of their own.
 */
t.setTimeout(600_000);
const reason = whyNoSerf();
const isRequired = process.env['OVERLAYD_TEST'] === 'required';
const skip = reason !== undefined && !isRequired && reason;
if (isRequired) t.equal(reason, undefined, 'serf is there');

const run = promisify(execFile);
const OLD = Buffer.alloc(16, 0x11);
const NEW = Buffer.alloc(32, 0x22);
const ATTEMPTS = 5;

const keyOf = (bytes: Uint8Array): SecretKey => new SecretKey(bytes, sha256);

async function lists(agent: SerfAgent): Promise<string> {
  const members = await agent.members();
  return members
    .map(({ name, status }) => `${name}=${status}`)
    .sort()
    .join(' ');
}

async function keys(agent: SerfAgent, ...args: string[]): Promise<void> {
  // Ours does not answer Serf's queries: the command waits for it in vain, and says so by its exit code.
  await run('serf', ['keys', `-rpc-addr=${agent.ip}:7373`, ...args]).catch(() => undefined);
}

void t.test('an encrypted Serf cluster with ours in it', { skip }, async (test) => {
  const dir = test.testdir({});
  const agents = [1, 2, 3].map((i) => {
    const file = join(dir, `keyring-${i}.json`);
    writeFileSync(file, JSON.stringify([OLD.toString('base64')]), { mode: 0o600 });
    const join1 = i === 1 ? [] : ['-retry-join=127.73.5.1', '-retry-interval=1s'];
    return new SerfAgent(`serf${i}`, `127.73.5.${i}`, `-keyring-file=${file}`, ...join1);
  });
  // A Serf query is gossip and may miss an agent; each writes what it holds into its file, the primary first.
  const rings = (): string[][] =>
    [1, 2, 3].map((i) => {
      const text = readFileSync(join(dir, `keyring-${i}.json`), 'utf8');
      // Read while Serf writes it, it may be cut short.
      return text.trimEnd().endsWith(']') ? (JSON.parse(text) as string[]) : [];
    });
  const rotate = async (order: string, isDone: (ring: readonly string[]) => boolean): Promise<boolean> => {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      await keys(agents[0] as SerfAgent, order);
      if (await eventually(() => rings().every(isDone), 2000)) return true;
    }
    return false;
  };
  const [oldKey, newKey] = [OLD.toString('base64'), NEW.toString('base64')];
  const [first, second, third] = agents as [SerfAgent, SerfAgent, SerfAgent];
  const keyring = new Keyring([keyOf(OLD)]);
  const sealing = { aead: aesGcm, keyring, mode: 'required' as const, announcedKeys };
  const seeds = [{ ip: '127.73.5.1', port: 7946 }];
  const ours = await RealMember.open('ours', '127.73.5.9', { seeds }, 7946, { sealing });
  test.teardown(() => Promise.all([...agents.map((agent) => agent.stop()), ours.close()]));

  const all = 'ours=alive serf1=alive serf2=alive serf3=alive';
  const isWhole = async (): Promise<boolean> => {
    const seen = await Promise.all(agents.map(lists));
    return (
      seen.every((text) => text === all) &&
      ['serf1', 'serf2', 'serf3'].every((name) => ours.stateOf(name) === 'alive')
    );
  };
  test.ok(await eventually(isWhole, 60_000), await lists(first));

  test.ok(await rotate(`-install=${newKey}`, (ring) => ring.includes(newKey)), 'Serf took the new key');
  keyring.add(keyOf(NEW), 'hand');
  test.ok(await eventually(isWhole, 60_000), 'installed');
  test.ok(await rotate(`-use=${newKey}`, ([primary]) => primary === newKey), 'Serf uses it');
  keyring.use(keyOf(NEW).fingerprint);
  test.ok(await eventually(isWhole, 60_000), 'used');
  await eventually(() => false, 4000);
  test.ok(await rotate(`-remove=${oldKey}`, (ring) => !ring.includes(oldKey)), 'Serf forgot the old one');
  keyring.remove(keyOf(OLD).fingerprint);
  await eventually(() => false, 3000);
  test.ok(await eventually(isWhole, 60_000), 'and the old one removed');
  const count = (key: string): number => ours.swim.counters().counts.get(key) ?? 0;
  test.equal(count('drop:packet-undecryptable') + count('drop:stream-undecryptable'), 0);
  test.ok(count('ack:in') > 5, 'our pings are answered');
  test.same(
    ours.events.filter(({ type }) => type === 'dead'),
    [],
  );

  third.signal('SIGSTOP');
  await eventually(() => ours.stateOf('serf3') === 'suspect', 60_000);
  third.signal('SIGCONT');
  test.ok(await eventually(isWhole, 60_000), 'a pause is refuted');
  await second.leave();
  test.ok(await eventually(() => ours.stateOf('serf2') === 'left', 60_000), 'a leave is seen');
  third.signal('SIGKILL');
  test.ok(await eventually(() => ours.stateOf('serf3') === 'dead', 60_000), 'a kill is seen');
  test.equal(await first.statusOf('ours'), 'alive');
});
