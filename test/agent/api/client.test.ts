import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import tap from 'tap';
import { ApiClient } from '../../../agent/api/client.ts';
import { scratchDirectory, startFakeDaemon } from './fake-view.ts';

void tap.test('asks and orders', async (t) => {
  const daemon = await startFakeDaemon();
  const client = new ApiClient(daemon.socket);
  t.teardown(async () => {
    await daemon.close();
  });
  t.equal((await client.status()).node, 'host-a');
  t.equal((await client.network('overlay')).gateway, '10.42.0.1');
  t.strictSame(
    (await client.networks()).map(({ name }) => name),
    ['bare', 'blue', 'dual', 'elsewhere', 'open', 'overlay'],
  );
  t.equal((await client.fdb('bare')).length, 1);
  t.strictSame(await client.join(['a', 'down:1']), {
    joined: 1,
    errors: [{ addr: 'down:1', error: 'connection refused' }],
  });
  t.match(await client.networkCreate({ name: 'green', subnets: ['fd00::/64', '10.9.0.0/16'] }), {
    name: 'green',
    subnet: '10.9.0.0/16',
    subnet6: 'fd00::/64',
  });
  const inUse = { code: 'OVL_NETWORK_IN_USE', exitCode: 1, hint: 'Give --force.' };
  await t.rejects(client.networkRemove('blue', false), inUse);
  t.match(await client.networkRemove('blue', true), { name: 'blue', cut: [{ host: 'host-b' }, {}] });
  await client.leave();
  t.match(daemon.view, { joined: [['a', 'down:1']], left: 1 });
  await t.rejects(client.network('no/pe'), { code: 'OVL_NETWORK_NOT_FOUND', exitCode: 5, hint: /overlay/ });
});

void tap.test('nobody there: exit code 3 and the cure', async (t) => {
  const directory = scratchDirectory();
  t.teardown(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'file');
  writeFileSync(file, '');
  for (const path of [join(directory, 'none.sock'), file]) {
    const client = new ApiClient(path);
    await t.rejects(client.status(), { code: 'OVL_DAEMON_UNREACHABLE', exitCode: 3, hint: /overlayd run/ });
  }
});

void tap.test('no right to ask: exit code 4', async (t) => {
  const daemon = await startFakeDaemon();
  chmodSync(daemon.socket, 0o600);
  const isRoot = process.geteuid?.() === 0;
  const client = new ApiClient(daemon.socket);
  // Root may open everything, so it becomes nobody for the attempt; others cannot open a socket of mode 0.
  if (isRoot) process.seteuid?.(65_534);
  else chmodSync(daemon.socket, 0);
  try {
    await t.rejects(client.status(), {
      code: 'OVL_NOT_PERMITTED',
      exitCode: 4,
      hint: /^Run as root, or as a member of the group/,
    });
  } finally {
    if (isRoot) process.seteuid?.(0);
    await daemon.close();
  }
});

void tap.test('strange answers are told as such; fields of a newer daemon survive', async (t) => {
  const directory = scratchDirectory();
  t.teardown(() => rmSync(directory, { recursive: true }));
  const socket = join(directory, 'x.sock');
  let answer = { status: 200, body: '' };
  const server = createServer((_, response) => {
    response.writeHead(answer.status, { connection: 'close' }).end(answer.body);
  });
  await new Promise<void>((resolve) => {
    server.listen(socket, resolve);
  });
  const client = new ApiClient(socket);
  t.teardown(async () => {
    server.close();
  });
  for (const strange of [
    { status: 200, body: 'hello' },
    { status: 200, body: '{"node":1}' },
    { status: 500, body: '{}' },
  ]) {
    answer = strange;
    await t.rejects(
      client.status(),
      { code: 'OVL_API_MISMATCH', exitCode: 1, hint: /version/ },
      strange.body,
    );
  }
  answer = { status: 200, body: '{"joined":1,"errors":[],"later":"field"}' };
  t.strictSame(await client.join(['a']), { joined: 1, errors: [], later: 'field' });
});
