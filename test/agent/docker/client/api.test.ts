import tap from 'tap';
import type { Test } from 'tap';
import { DockerApi } from '../../../../agent/docker/client/api.ts';
import { FakeDocker } from '../fake-docker.ts';

async function setUp(t: Test): Promise<{ docker: FakeDocker; api: DockerApi }> {
  const docker = new FakeDocker();
  await docker.start();
  const api = new DockerApi(docker.socket);
  t.teardown(async () => {
    await api.close();
    await docker.stop();
  });
  return { docker, api };
}

const blue = { Id: 'b1', Name: 'blue', Driver: 'overlayd', Containers: {} };

void tap.test('5.4: the newest API version that both know is spoken', async (t) => {
  const { docker, api } = await setUp(t);
  docker.networks.set('b1', blue);
  t.equal(await api.version(), '1.41');
  t.equal((await api.networks('overlayd'))[0]?.Name, 'blue');
  t.ok(docker.asked.at(-1)?.startsWith('/v1.41/networks?filters={"driver":["overlayd"]}'));
  docker.apiVersion = '1.99';
  docker.minApiVersion = '1.44';
  t.equal(await api.version(), '1.41', 'asked once');
  api.forget();
  t.equal(await api.version(), '1.51', 'and again after a reconnection');
  api.forget();
  docker.minApiVersion = '1.60';
  await t.rejects(api.networks(), { code: 'OVL_DOCKER_VERSION', message: /speaks API 1\.60 to 1\.99/ });
  docker.apiVersion = '1.23';
  docker.minApiVersion = '1.12';
  await t.rejects(api.networks(), { code: 'OVL_DOCKER_VERSION' });
});

void tap.test('5.4: what Docker leaves out has the value that it means', async (t) => {
  const { docker, api } = await setUp(t);
  docker.networks.set('b1', { ...blue, IPAM: { Config: null, Driver: 'default', Options: null } });
  const read = await api.network('blue');
  t.strictSame(read?.IPAM, { Driver: 'default', Options: {}, Config: [] });
  t.strictSame(read?.Options, {});
  t.equal(await api.network('none'), undefined);
});

void tap.test('5.4: nobody there, refusals and nonsense are errors that name the cure', async (t) => {
  const { docker, api } = await setUp(t);
  docker.strange = '<html>';
  await t.rejects(api.networks(), { code: 'OVL_DOCKER_ANSWER', hint: /socket/ });
  docker.strange = undefined;
  await api.version();
  docker.strange = '[{"Id": 5}]';
  await t.rejects(api.networks(), { code: 'OVL_DOCKER_ANSWER' });
  await docker.stop();
  await t.rejects(api.networks(), { code: 'OVL_DOCKER_ABSENT', hint: /--docker-socket/ });
  t.throws(() => new DockerApi(`/${'x'.repeat(200)}`), { code: 'OVL_SOCKET_PATH_TOO_LONG' });
});
