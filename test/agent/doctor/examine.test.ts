/** The doctor without a daemon: which configuration it looks at, and what of it. */
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import tap from 'tap';
import type { Test } from 'tap';
import { ApiClient } from '../../../agent/api/client.ts';
import { examine } from '../../../agent/doctor/examine.ts';
import type { ExamineOptions } from '../../../agent/doctor/examine.ts';
import type { Finding } from '../../../agent/doctor/finding.ts';

async function findings(
  t: Test,
  file: object | undefined,
  more: Partial<ExamineOptions> = {},
): Promise<Finding[]> {
  const unitConfig = join(t.testdir({}), 'overlayd.yaml');
  const all = { 'advertise-addr': '127.0.0.1', 'data-port': 1, 'gossip-port': 2, ...file };
  if (file !== undefined) writeFileSync(unitConfig, JSON.stringify(all));
  return examine({
    client: new ApiClient('/nowhere/overlayd.sock'),
    environment: {},
    configFile: undefined,
    dockerSocket: undefined,
    defaultDockerSocket: '/nowhere/docker.sock',
    unitConfig,
    ...more,
  });
}

const of = (all: readonly Finding[], check: string): Finding | undefined =>
  all.find((finding) => finding.check === check);

void tap.test('without --config: the file of the unit where it is there, and it is said', async (t) => {
  const all = await findings(t, { identities: '/nowhere/identities' });
  t.match(of(all, 'examined'), { severity: 'info', what: /overlayd\.yaml$/ });
  t.match(of(all, 'identities'), { severity: 'error', what: /nowhere/ });
  t.match(of(await findings(t, undefined), 'examined'), { what: /with the defaults$/ });
});

void tap.test('the port of the metrics', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  t.match(of(await findings(t, { 'metrics-addr': `127.0.0.1:${port}` }), 'port'), {
    severity: 'error',
    what: new RegExp(`^TCP port ${port} is taken`),
    cure: /--metrics-addr/,
  });
});

void tap.test('Docker where the daemon is to ask it', async (t) => {
  const said = { check: 'docker', severity: 'warn', what: /nobody answers on \/nowhere\/x\.sock/ };
  t.match(of(await findings(t, { 'docker-socket': '/nowhere/x.sock' }), 'docker'), said);
  const environment = { OVERLAYD_DOCKER_SOCKET: '/nowhere/x.sock' };
  t.match(of(await findings(t, {}, { environment }), 'docker'), said);
  t.equal(of(await findings(t, {}), 'docker'), undefined, 'a host without Docker is as good as any');
  t.equal(of(await findings(t, { 'docker-socket': 'none' }), 'docker'), undefined);
});
