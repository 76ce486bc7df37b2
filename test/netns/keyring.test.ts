/** Sealed gossip among real daemons: turned on under traffic, rotated by itself and by hand, and never a key in sight. */
import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import tap from 'tap';
import type { Test } from 'tap';
import type { Daemon } from '../../agent/demo/daemon.ts';
import type { Host } from '../../agent/demo/hosts.ts';
import { until } from '../../agent/demo/process.ts';
import type { KeyringEntry, Status } from '../../agent/status.ts';
import { allKnown, metricsOf, startCluster } from './cluster.ts';
import type { Cluster } from './cluster.ts';
import { netnsTest } from './guard.ts';

// The machine may be busy: tap's own limit of 30 s is for a quiet one.
tap.setTimeout(600_000);

/** Easy to find, wherever it might turn up. */
const PLANTED = Buffer.from('b1a5edb1a5edb1a5edb1a5edb1a5edb1a5edb1a5edb1a5edb1a5edb1a5edb1a5', 'hex');
const HAND = Buffer.from('c0ffeec0ffeec0ffeec0ffeec0ffeec0', 'hex');

function writeKey(host: Host, name: string, key: Buffer): string {
  const file = join(host.scratch, name);
  writeFileSync(file, `${key.toString('base64')}\n`, { mode: 0o600 });
  return file;
}

/** All forms in which a key might be told: hex, base64 with any alignment, and the parts of a printed buffer. */
function formsOf(key: Buffer): string[] {
  const hex = key.toString('hex');
  const base64 = key.toString('base64').replaceAll('=', '');
  const spaced = hex.match(/../g)!.slice(0, 6).join(' ');
  const decimal = [...key.subarray(0, 6)].join(',');
  return [
    hex.slice(0, 16),
    hex.slice(0, 16).toUpperCase(),
    base64.slice(0, 20),
    spaced,
    decimal,
    decimal.replaceAll(',', ', '),
  ];
}

function expectNoKey(t: Test, what: string, text: string): void {
  for (const key of [PLANTED, HAND]) {
    const found = formsOf(key).filter((form) => text.includes(form));
    t.strictSame(found, [], `${what} tells no key`);
  }
}

const keyringOf = (daemon: Daemon): Promise<KeyringEntry[]> => daemon.json<KeyringEntry[]>('keyring', 'ls');

async function primaryOf(daemon: Daemon): Promise<string | undefined> {
  return (await daemon.status()).gossipEncryption?.primary;
}

/** The admin API as any program might ask it. */
function ask(socketPath: string, path: string, body?: string): Promise<{ status: number; text: string }> {
  const method = body === undefined ? 'GET' : 'POST';
  const headers = { 'content-type': 'application/json' };
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, path, method, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

netnsTest('off, transition, required: nobody is lost on the way', [], async (t) => {
  const cluster = await startCluster(t, { hosts: 3 });
  t.match(await cluster.daemons[0]!.status(), { gossipEncryption: { mode: 'off' } });
  t.match(await cluster.daemons[0]!.client('keyring', 'ls'), { status: 1, stderr: /--keyring FILE/ });
  const files = cluster.testbed.hosts.map((host) => writeKey(host, 'keyring', PLANTED));
  for (const mode of ['transition', 'required'] as const) {
    for (const [i, host] of cluster.testbed.hosts.entries()) {
      await restart(cluster, i, ['--keyring', files[i]!, '--gossip-encryption', mode]);
      for (const daemon of cluster.daemons) {
        // A late answer makes a suspicion, which is refuted: nobody may be dead.
        await until(`${daemon.host.name} after ${host.name} in ${mode}`, 20_000, async () => {
          const { alive, dead, suspect } = (await daemon.status()).peers;
          if (dead > 0) throw new Error(`${daemon.host.name} declared a host dead`);
          return alive === 2 && suspect === 0;
        });
      }
    }
  }
  const clearBefore = await metricsOf(cluster.daemons[1]!);
  t.notMatch(clearBefore, /gossip_sealed_total\{direction="out",sealed="no"\}/);
  t.match(clearBefore, /gossip_sealed_total\{direction="out",sealed="yes"\} [1-9]/);
  t.match(clearBefore, /gossip_drops_total\{reason="packet-undecryptable"\} \d/);
  // Who has no key is no member.
  const stranger = cluster.testbed.addHost().startDaemon();
  await until(
    'the stranger is up',
    30_000,
    async () => (await stranger.status().catch(() => undefined)) !== undefined,
  );
  await until('it has tried', 10_000, async () =>
    /stream-clear"\} [1-9]/.test(await metricsOf(cluster.daemons[0]!)),
  );
  await until('the others stay', 20_000, async () => (await cluster.daemons[0]!.status()).peers.alive === 2);
  t.match((await stranger.status()).peers, { alive: 0 });
});

/** As an operator would: stop, other arguments, start; until all know each other again. */
async function restart(cluster: Cluster, index: number, args: readonly string[]): Promise<void> {
  const { hosts } = cluster.testbed;
  await cluster.daemons[index]!.stop();
  const daemon = hosts[index]!.startDaemon({ args, join: hosts.filter((_, i) => i !== index) });
  cluster.daemons[index] = daemon;
  for (const each of cluster.daemons) await allKnown(each, hosts.length);
}

netnsTest('rotation by hand; no key is ever told', [], async (t) => {
  const logs = ['--log-level', 'trace', '--log-format', 'json'];
  const cluster = await startCluster(t, {
    hosts: 3,
    argsOf: (host) => ['--keyring', writeKey(host, 'keyring', PLANTED), ...logs],
  });
  const [first, second, third] = cluster.daemons as [Daemon, Daemon, Daemon];
  const old = (await primaryOf(first))!;
  t.match(old, /^[0-9a-f]{16}$/);

  const file = writeKey(second.host, 'hand', HAND);
  const added = await second.client('keyring', 'add', '--file', file);
  t.match(added, { status: 0, stdout: /^key [0-9a-f]{16} added/ });
  const fingerprint = /key ([0-9a-f]{16})/.exec(added.stdout)?.[1] ?? '';
  const holds = (daemon: Daemon) => async (): Promise<boolean> => {
    return (await keyringOf(daemon)).some(
      (entry) => entry.fingerprint === fingerprint && entry.missing.length === 0,
    );
  };
  for (const daemon of cluster.daemons) await until(`${daemon.host.name} holds it`, 15_000, holds(daemon));
  t.match(await third.client('keyring', 'use', fingerprint.slice(0, 8)), { status: 0 });
  for (const daemon of cluster.daemons)
    await until(`${daemon.host.name} uses it`, 15_000, async () => (await primaryOf(daemon)) === fingerprint);
  t.match(await first.client('keyring', 'remove', fingerprint), {
    status: 1,
    stderr: /is the one that seals/,
  });
  t.match(await first.client('keyring', 'remove', 'ffff0000'), { status: 5, stderr: /Keys here/ });
  t.match(await first.client('keyring', 'remove', old), { status: 0 });
  for (const daemon of cluster.daemons)
    await until(
      `${daemon.host.name} forgot the old one`,
      15_000,
      async () => (await keyringOf(daemon)).length === 1,
    );

  // kill -9 and back: the kept ring has what the file has not, and not what was removed.
  await third.stop('SIGKILL');
  const again = third.host.startDaemon({ args: ['--keyring', join(third.host.scratch, 'keyring'), ...logs] });
  cluster.daemons[2] = again;
  await allKnown(again, 3);
  const ring = await keyringOf(again);
  t.match(ring, [{ fingerprint, state: 'primary' }]);
  t.equal(ring.length, 1, 'not what was removed');
  const kept = join(third.host.scratch, 'state', 'keyring.json');
  t.equal(statSync(kept).mode & 0o777, 0o600);

  for (const daemon of [...cluster.daemons, third])
    expectNoKey(t, `log of ${daemon.host.name}`, daemon.log());
  for (const daemon of cluster.daemons) {
    for (const verb of [
      ['status'],
      ['doctor'],
      ['peers'],
      ['keyring'],
      ['keyring', 'ls'],
      ['networks'],
      ['fdb'],
    ]) {
      const { stdout, stderr } = await daemon.client(...verb, '-o', 'json');
      expectNoKey(t, verb.join(' '), stdout + stderr);
    }
    const metrics = await metricsOf(daemon);
    t.match(metrics, /overlayd_/);
    expectNoKey(t, 'metrics', metrics);
  }
  for (const path of ['/v1/keyring', '/v1/doctor', '/v1/status', '/v1/openapi.json', '/v1/peers'])
    expectNoKey(t, path, (await ask(first.socket, path)).text);
  const wrong = [
    JSON.stringify({ key: `${HAND.toString('base64')}x` }),
    JSON.stringify({ key: PLANTED.toString('hex') }),
    JSON.stringify({ key: HAND.toString('base64'), more: 1 }),
    HAND.toString('base64'),
  ];
  for (const body of wrong) {
    const { status, text } = await ask(first.socket, '/v1/keyring/add', body);
    t.equal(status, 400);
    expectNoKey(t, 'a refusal', text);
  }
  expectNoKey(t, 'log after refusals', first.log());
  for (const args of [
    ['run', '--help'],
    ['keyring', '--help'],
    ['keyring', 'add', '--help'],
  ]) {
    const { stdout } = await first.host.exec([process.execPath, 'build/agent/main.js', ...args]);
    t.match(stdout, /Usage/);
    expectNoKey(t, args.join(' '), stdout);
  }
  // Nothing but the ring has it on the disk.
  const state = join(first.host.scratch, 'state');
  const files = readdirSync(state, { recursive: true, withFileTypes: true }).filter((each) => each.isFile());
  for (const { name, parentPath } of files.filter((each) => each.name !== 'keyring.json'))
    expectNoKey(t, name, readFileSync(join(parentPath, name), 'latin1'));
});

netnsTest('keys change by themselves', [], async (t) => {
  const cluster = await startCluster(t, {
    hosts: 3,
    argsOf: (host) => ['--keyring', writeKey(host, 'keyring', PLANTED), '--gossip-rekey-interval', '10s'],
  });
  const old = await primaryOf(cluster.daemons[0]!);
  const agreed = async (): Promise<boolean> => {
    const primaries = await Promise.all(cluster.daemons.map(primaryOf));
    return new Set(primaries).size === 1 && primaries[0] !== old;
  };
  await until('a new key seals everywhere', 75_000, agreed);
  for (const daemon of cluster.daemons) {
    await until(`${daemon.host.name} has lost nobody`, 20_000, async () => {
      const { peers }: Status = await daemon.status();
      return peers.alive === 2 && peers.dead === 0;
    });
    t.match(daemon.log(), /gossip is sealed with another key/);
    t.notMatch(daemon.log(), /no key of ours opens/);
    const rotated = (await keyringOf(daemon)).find(({ state }) => state === 'primary');
    t.match(rotated, { origin: 'rotated', bits: 256 });
  }
});
