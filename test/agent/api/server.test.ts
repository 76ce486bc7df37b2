import { chmodSync, existsSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import tap from 'tap';
import { Client } from 'undici';
import { openApiDocument } from '../../../agent/api/openapi.ts';
import { PROBLEM_TYPE, problemSchema } from '../../../agent/api/problem.ts';
import { ROUTES } from '../../../agent/api/routes.ts';
import { buildApi, startApi } from '../../../agent/api/server.ts';
import { listenOn } from '../../../agent/api/socket.ts';
import { OverlaydError } from '../../../agent/errors.ts';
import { golden } from '../golden.ts';
import { fakeView, scratchDirectory, silentLog, startFakeDaemon } from './fake-view.ts';

const BODIES: Readonly<Record<string, object>> = {
  '/v1/join': { addresses: ['192.0.2.2'] },
  '/v1/networks': { name: 'green', subnets: ['10.9.0.0/16'] },
  '/v1/networks/overlay/attach': { tap: 'blue0' },
  '/v1/networks/overlay/detach': { force: true },
  '/v1/networks/overlay/docker-range': { size: 256 },
  '/v1/reclaim': { host: 'host-x' },
  '/v1/keyring/add': { key: 'AAAA' },
  '/v1/keyring/use': { fingerprint: 'a9d0' },
  '/v1/keyring/remove': { fingerprint: '0b77' },
  '/v1/identities/forget': { name: 'host-c' },
  '/v1/revoke': { node: 'host-c', fingerprint: '00000000' },
};

void tap.test('every route answers what its schema says, sorted', async (t) => {
  const app = buildApi(fakeView(), silentLog);
  for (const route of ROUTES) {
    const url = route.path.replace(':name', 'overlay');
    const payload = route.body && BODIES[url];
    const response = await app.inject({ method: route.method, url, ...(payload && { payload }) });
    t.equal(response.statusCode, 200, `${route.method} ${url}`);
    t.match(response.headers['content-type'], /^application\/json/);
    const parsed = route.response.safeParse(response.json());
    t.ok(parsed.success, `${url} is as its schema says`, { error: parsed.error?.message });
  }
  const names = (await app.inject('/v1/peers')).json<{ name: string }[]>().map(({ name }) => name);
  t.strictSame(names, names.toSorted(), 'peers by name');
  const blue = fakeView().network('blue')?.id;
  t.strictSame(
    (await app.inject(`/v1/fdb?network=${blue}`)).json(),
    (await app.inject('/v1/fdb?network=blue')).json(),
    'by id as by name',
  );
  t.match((await app.inject(`/v1/networks/${blue}/ranges`)).json(), { network: 'blue' });
  const macs = (await app.inject('/v1/fdb?network=overlay')).json<{ mac: string }[]>().map(({ mac }) => mac);
  t.strictSame(macs, ['02:00:00:00:00:09', '02:42:0a:2a:02:02'], 'one network, by MAC');
  const bare = (await app.inject('/v1/networks/bare')).json<object>();
  t.notOk('subnet' in bare, 'what is unknown is absent');
});

void tap.test('the OpenAPI document is the checked-in one', async (t) => {
  const checkedIn = golden('agent/api/openapi.json', JSON.stringify(openApiDocument(), null, 2));
  t.strictSame(openApiDocument(), JSON.parse(checkedIn), 'UPDATE_GOLDEN=1 and prettier write it anew');
  const served = await buildApi(fakeView(), silentLog).inject('/v1/openapi.json');
  t.strictSame(served.json(), openApiDocument());
});

void tap.test('refusals are problem details with code and cure', async (t) => {
  const view = fakeView();
  const app = buildApi(view, silentLog);
  const big = JSON.stringify({ addresses: ['a'.repeat(70_000)] });
  const json = { 'content-type': 'application/json' };
  const cases: [object, number, string][] = [
    [{ url: '/v1/networks/nope' }, 404, 'OVL_NETWORK_NOT_FOUND'],
    [{ url: '/v1/fdb?network=nope' }, 404, 'OVL_NETWORK_NOT_FOUND'],
    [{ url: '/v1/fdb?netwrok=overlay' }, 400, 'OVL_BAD_REQUEST'],
    [{ url: '/v1/fdb?network=a&network=b' }, 400, 'OVL_BAD_REQUEST'],
    [{ url: '/v2/status' }, 404, 'OVL_NO_SUCH_ROUTE'],
    [{ url: `/v1/networks/${'a'.repeat(300)}` }, 414, 'OVL_BAD_REQUEST'],
    [{ url: '/v1/networks/%zz' }, 400, 'OVL_BAD_REQUEST'],
    [{ method: 'DELETE', url: '/v1/status' }, 404, 'OVL_NO_SUCH_ROUTE'],
    [{ method: 'POST', url: '/v1/join' }, 400, 'OVL_BAD_REQUEST'],
    [{ method: 'POST', url: '/v1/join', payload: { addresses: [] } }, 400, 'OVL_BAD_REQUEST'],
    [{ method: 'POST', url: '/v1/join', payload: { addresses: ['a'], x: 1 } }, 400, 'OVL_BAD_REQUEST'],
    [
      { method: 'POST', url: '/v1/join', payload: { addresses: Array(65).fill('a') } },
      400,
      'OVL_BAD_REQUEST',
    ],
    [{ method: 'POST', url: '/v1/join', payload: '{', headers: json }, 400, 'OVL_BAD_REQUEST'],
    [{ method: 'POST', url: '/v1/join', payload: big, headers: json }, 413, 'OVL_BAD_REQUEST'],
    [
      { method: 'POST', url: '/v1/join', payload: 'a', headers: { 'content-type': 'text/csv' } },
      415,
      'OVL_BAD_REQUEST',
    ],
  ];
  for (const [request, status, code] of cases) {
    const response = await app.inject(request);
    t.match(response.headers['content-type'], PROBLEM_TYPE);
    const problem = problemSchema.parse(response.json());
    t.match(problem, { status, code }, JSON.stringify(request).slice(0, 80));
    t.equal(response.statusCode, status);
  }
  t.strictSame(view.joined, [], 'and nothing was done');
});

void tap.test('a failing daemon says so without its inside', async (t) => {
  const view = fakeView();
  const app = buildApi(view, silentLog);
  view.failWith = new TypeError('secret inside');
  const unexpected = await app.inject('/v1/status');
  t.match(problemSchema.parse(unexpected.json()), { status: 500, code: 'OVL_INTERNAL' });
  t.notMatch(unexpected.body, /secret/);
  view.failWith = new OverlaydError('OVL_TEST', 'did not work', { hint: 'Try again.' });
  t.match((await app.inject('/v1/status')).json(), { status: 500, code: 'OVL_TEST', hint: 'Try again.' });
});

void tap.test('the socket is 0660 from the start, and gone at the end', async (t) => {
  const daemon = await startFakeDaemon();
  t.equal(statSync(daemon.socket).mode & 0o777, 0o660);
  await daemon.close();
  t.notOk(existsSync(daemon.socket));
});

void tap.test('0.5 what is made while a socket comes up can be used without CAP_DAC_OVERRIDE', async (t) => {
  const folder = scratchDirectory();
  for (const mode of [0o600, 0o660]) {
    const path = join(folder, `socket-${mode}`);
    const [inside, file] = [join(folder, `folder-${mode}`), join(folder, `file-${mode}`)];
    const app = {
      listen: async () => {
        mkdirSync(inside, { mode: 0o700 });
        writeFileSync(file, '', { mode: 0o600 });
        writeFileSync(path, '');
        await Promise.resolve();
      },
      close: () => Promise.resolve(),
    };
    await listenOn(app, path, mode);
    const modes = [inside, file, path].map((each) => statSync(each).mode & 0o777);
    t.strictSame(modes, [0o700, 0o600, mode]);
  }
});

void tap.test('a socket that nobody answers on is taken over, a live one is not', async (t) => {
  const daemon = await startFakeDaemon();
  t.teardown(() => daemon.close());
  await t.rejects(startApi(fakeView(), daemon.socket, silentLog), {
    code: 'OVL_ALREADY_RUNNING',
    message: new RegExp(daemon.socket),
    hint: /--socket and --state-dir/,
  });
  t.equal((await getStatus(daemon.socket)).statusCode, 200, 'and the other one still answers');

  const directory = scratchDirectory();
  t.teardown(() => rmSync(directory, { recursive: true }));
  const stale = join(directory, 's.sock');
  await leaveStaleSocket(stale);
  t.ok(existsSync(stale), 'left by a daemon that was killed');
  const api = await startApi(fakeView(), stale, silentLog);
  t.equal((await getStatus(stale)).statusCode, 200);
  await api.close();
});

void tap.test('a path that is no socket, or not ours to make, is left alone', async (t) => {
  const directory = scratchDirectory();
  t.teardown(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'file');
  writeFileSync(file, 'precious');
  await t.rejects(startApi(fakeView(), file, silentLog), { code: 'OVL_SOCKET_PATH_TAKEN' });
  t.ok(existsSync(file));
  await t.rejects(startApi(fakeView(), join(file, 'sock'), silentLog), { code: 'OVL_SOCKET_FAILED' });
  const long = `/tmp/${'x'.repeat(120)}`;
  await t.rejects(startApi(fakeView(), long, silentLog), { code: 'OVL_SOCKET_PATH_TOO_LONG', exitCode: 2 });
  t.notOk(existsSync(long.slice(0, 107)), 'and not cut to what fits');
});

async function getStatus(socket: string): Promise<{ statusCode: number }> {
  const client = new Client('http://overlayd', { socketPath: socket });
  try {
    const { statusCode, body } = await client.request({ method: 'GET', path: '/v1/status' });
    await body.dump();
    return { statusCode };
  } finally {
    await client.destroy();
  }
}

/** Closing a server removes its file, so the file must be moved away meanwhile. */
async function leaveStaleSocket(path: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(`${path}.live`, resolve);
  });
  renameSync(`${path}.live`, path);
  await new Promise((resolve) => {
    server.close(resolve);
  });
  chmodSync(path, 0o600);
}
