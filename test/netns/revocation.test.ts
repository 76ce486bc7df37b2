/**
 * A host that is revoked (issue 3.6, checklist 3.36): within 5 s no session, no clear frame, no ping; the others are not
 * disturbed; a restart of all does not let it back in; undo and forget do. And a cluster by a list of identities.
 */
import { randomBytes } from 'node:crypto';
import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import tap from 'tap';
import type { Test } from 'tap';
import type { Daemon } from '../../agent/demo/daemon.ts';
import type { Container, Host } from '../../agent/demo/hosts.ts';
import { Ping } from '../../agent/demo/ping.ts';
import { until } from '../../agent/demo/process.ts';
import type { Identity, KeyringEntry, RevokeResult } from '../../agent/status.ts';
import { allKnown, allLearnt, startCluster } from './cluster.ts';
import { netnsTest } from './guard.ts';

tap.setTimeout(600_000);

const KEY = randomBytes(32).toString('base64');
const CLEAR = 'name=overlay,vni=4096,subnet=10.42.0.0/16,tap=tap0';
const SEALED = 'name=blue,vni=100,subnet=10.43.0.0/16,tap=tap1,encrypted';
const OBEY_MS = 5_000;

function argsOf(host: Host): string[] {
  const keyring = join(host.scratch, 'keyring');
  writeFileSync(keyring, `${KEY}\n`, { mode: 0o600 });
  return ['--keyring', keyring, '--network', CLEAR, '--network', SEALED];
}

const identitiesOf = (daemon: Daemon): Promise<Identity[]> => daemon.json<Identity[]>('identities', 'ls');

async function pings(from: Container, to: Container): Promise<boolean> {
  return (await from.exec(['ping', '-n', '-c1', '-W1', to.ipv4])).status === 0;
}

/** Of this host nothing is left: no member, no session, no MAC. */
async function isOut(daemon: Daemon, name: string): Promise<boolean> {
  const peer = (await daemon.peers()).find((each) => each.name === name);
  const isMember = peer !== undefined && (peer.state === 'alive' || peer.state === 'suspect' || peer.sealed);
  return !isMember && (await daemon.fdb()).every(({ owner }) => owner !== name);
}

async function good(t: Test, daemon: Daemon, ...args: string[]): Promise<string> {
  const done = await daemon.client(...args);
  t.equal(done.status, 0, `${args.join(' ')}: ${done.stderr}`);
  return done.stdout;
}

netnsTest('a revoked host is out within 5 s, over restarts, until undo or forget', ['ping'], async (t) => {
  const { testbed, daemons } = await startCluster(t, { hosts: 3, argsOf });
  const hosts = testbed.hosts;
  const clear = hosts.map((host) => host.addContainer());
  const sealed = hosts.map((host) => host.addContainer({ parent: 'tap1', ipv4: `10.43.${host.number}.2` }));
  const name = hosts[2]!.name;
  const honest = (): Daemon[] => daemons.slice(0, 2);
  const fromOut = [clear, sealed].map((of): [Container, Container] => [of[2]!, of[0]!]);
  const bothPing = async (): Promise<boolean[]> => Promise.all(fromOut.map(([from, to]) => pings(from, to)));
  await allLearnt(daemons, [...clear, ...sealed]);
  const between = [clear, sealed].map((of): [Container, Container] => [of[0]!, of[1]!]);
  await until('both networks work', 20_000, async () => {
    const others = await Promise.all(between.map(([from, to]) => pings(from, to)));
    return [...others, ...(await bothPing())].every(Boolean);
  });
  const bystanders = [clear, sealed].map((of) => new Ping(of[0]!, of[1]!.ipv4));
  await until('they ping', 10_000, () => bystanders.every((ping) => ping.count().answered > 3));

  const began = Date.now();
  const said = await daemons[0]!.json<RevokeResult>('revoke', name);
  t.match(said, { identity: { name, state: 'revoked' }, gossipKey: 'rotating' });
  await until('the others have nothing to do with it', OBEY_MS + 500, async () =>
    (await Promise.all(honest().map((daemon) => isOut(daemon, name)))).every(Boolean),
  );
  t.same(await bothPing(), [false, false], 'nothing of it gets through');
  t.comment(`shut out, and pinged in vain, ${Date.now() - began} ms after the command began`);
  await until('the host itself says so', 40_000, async () => {
    const status = await daemons[2]!.status();
    return status.revoked?.by === hosts[0]!.name && /this host is revoked/.test(daemons[2]!.log());
  });
  t.match(await daemons[2]!.client('status'), { status: 1, stdout: /not ready\nREVOKED/ }, 'and is degraded');
  t.match(await daemons[2]!.status(), { ready: false, notReady: 'revoked' });
  t.match(await daemons[2]!.client('revoke', hosts[0]!.name), { status: 4, stderr: /OVL_REVOKED/ });
  const { drops } = await daemons[0]!.status();
  t.ok((drops['not-a-member'] ?? 0) + (drops['no-session'] ?? 0) > 0, 'its frames are dropped');
  t.match(await identitiesOf(daemons[1]!), [
    { name: hosts[0]!.name, state: 'pinned' },
    { name: hosts[1]!.name, known: 'self' },
    { name, state: 'revoked', revoked: { by: hosts[0]!.name, as: 'revoked' } },
  ]);
  for (const ping of bystanders)
    t.match(await ping.stop(), { lost: 0, duplicates: 0 }, 'others are not disturbed');

  await Promise.all(honest().map((daemon) => daemon.stop('SIGKILL')));
  for (const i of [0, 1]) daemons[i] = hosts[i]!.startDaemon({ args: argsOf(hosts[i]!), join: hosts });
  await Promise.all(honest().map((daemon) => allKnown(daemon, 2)));
  t.same(await bothPing(), [false, false], 'after a restart of all it is still out');

  await good(t, daemons[1]!, 'revoke', '--undo', name);
  await until('it is back', 40_000, async () => (await bothPing()).every(Boolean));
  await until('and knows', 15_000, async () => {
    const { revoked, ready } = await daemons[2]!.status();
    return revoked === undefined && ready;
  });

  await daemons[2]!.stop();
  rmSync(join(hosts[2]!.scratch, 'state'), { recursive: true });
  daemons[2] = hosts[2]!.startDaemon({ args: argsOf(hosts[2]!) });
  await until('a new key under the old name is refused', 20_000, () =>
    /refusing h3 under another key/.test(daemons[0]!.log()),
  );
  await good(t, daemons[0]!, 'identities', 'forget', name);
  await until('its new key is taken', 40_000, async () => (await bothPing()).every(Boolean));
});

netnsTest('kill -9 right after a revocation: the new gossip key comes after the restart', [], async (t) => {
  const { testbed, daemons } = await startCluster(t, { hosts: 3, argsOf });
  const [first, second, out] = testbed.hosts;
  if (first === undefined || second === undefined || out === undefined) throw new Error('three hosts');
  const primaries = async (): Promise<(string | undefined)[]> =>
    Promise.all(
      daemons.slice(0, 2).map(async (daemon) => {
        const entries = await daemon.json<KeyringEntry[]>('keyring', 'ls');
        return entries.find(({ state }) => state === 'primary')?.fingerprint;
      }),
    );
  const [before] = await primaries();
  t.match(await daemons[0]!.json<RevokeResult>('revoke', out.name), { gossipKey: 'rotating' });
  const { uptimeSeconds } = await daemons[0]!.status();
  await daemons[0]!.stop('SIGKILL');
  const kept = (): string => readFileSync(join(first.scratch, 'state', 'keyring.json'), 'utf8');
  // It waits for the others first; not so long ago that it may have done it.
  if (uptimeSeconds < 20) t.match(kept(), /"isRenewalDue":true/, 'it had no time for it');
  daemons[0] = first.startDaemon({ args: argsOf(first), join: [second] });
  await until('both seal with another key', 120_000, async () => {
    const [a, b] = await primaries().catch(() => []);
    return a !== undefined && a === b && a !== before;
  });
  t.match(kept(), /"isRenewalDue":false/);
  const held = await daemons[2]!.json<KeyringEntry[]>('keyring', 'ls');
  const [now] = await primaries();
  t.notOk(
    held.some(({ fingerprint }) => fingerprint === now),
    'the revoked host does not hold it',
  );
});

netnsTest(
  'with --identities only those listed are members, and SIGHUP takes a new list over',
  [],
  async (t) => {
    const { testbed, daemons } = await startCluster(t, { hosts: 2 });
    const lines = await good(t, daemons[0]!, 'identities', 'ls', '-o', 'lines');
    t.match(lines, /^\S+ [\w+/]{43}=\n\S+ [\w+/]{43}=\n$/);
    const file = join(testbed.hosts[0]!.scratch, 'identities');
    writeFileSync(file, `# hosts\n${lines}`, { mode: 0o600 });
    await daemons[0]!.stop();
    daemons[0] = testbed.hosts[0]!.startDaemon({ args: ['--identities', file], join: [testbed.hosts[1]!] });
    await allKnown(daemons[0], 2);
    const third = testbed.addHost();
    daemons.push(third.startDaemon());
    const networksOf = async (): Promise<string[]> =>
      (await daemons[0]!.peers()).find(({ name }) => name === third.name)?.networks ?? [];
    await until('the third is refused', 30_000, () => /refusing h3 which the list/.test(daemons[0]!.log()));
    t.same(await networksOf(), [], 'and takes part in nothing');
    t.match(await identitiesOf(daemons[0]), [{}, {}, { name: third.name, known: 'seen', state: 'refused' }]);
    appendFileSync(file, 'nonsense\n');
    process.kill(daemons[0].process.pid, 'SIGHUP');
    await until('a bad list is refused', 10_000, () => /reload refused/.test(daemons[0]!.log()));
    t.same(await networksOf(), []);
    const [self] = await daemons[2]!.json<Identity[]>('identities', 'show');
    writeFileSync(file, `${lines}${third.name} ${self!.key}\n`);
    process.kill(daemons[0].process.pid, 'SIGHUP');
    await until('now it is a member', 40_000, async () => (await networksOf()).includes('overlay'));
    writeFileSync(file, lines);
    process.kill(daemons[0].process.pid, 'SIGHUP');
    await until('and out again', 10_000, async () => (await networksOf()).length === 0);
  },
);
