/** overlayd dies in the middle of Docker's calls, one after the other, as by kill -9; nothing is left, nothing is lost. */
import tap from 'tap';
import type { Test } from 'tap';
import { allAgree } from './agreement.ts';
import { DriverHosts, dockerTest, failures } from './driver-hosts.ts';
import type { DockerContainer } from './engine.ts';
import { KILLED, MOMENTS, PluginProxy } from './plugin-proxy.ts';
import type { Moment } from './plugin-proxy.ts';

// The machine may be busy.
tap.setTimeout(600_000);

/** Docker repeats a call whose connection broke, but without its content. */
const AGAIN = /without its content.*Do it again/;
const IP = '10.55.0.77';

interface Scene {
  readonly hosts: DriverHosts;
  readonly proxy: PluginProxy;
}

/** A step that makes something: said to have failed unless overlayd died between two calls, and then it can be done again. */
async function make(
  t: Test,
  { proxy }: Scene,
  moment: Moment,
  call: string,
  work: () => Promise<unknown>,
  undo: () => Promise<unknown> = () => Promise.resolve(),
): Promise<void> {
  const said = await proxy.killAt(moment, call, work);
  if (moment === 'between') {
    t.equal(said, '', `${moment} ${call}: it goes on with the next overlayd`);
    return;
  }
  t.match(said, AGAIN, `${moment} ${call}: the user is told`);
  await undo();
  await work();
}

/**
 * A step that takes something away: it does, whatever happens, and all of it. What the other hosts know of the network is
 * looked at where no container was on it: of one that went in this moment they may hear when the old run is forgotten, in
 * half a minute.
 */
async function take(
  t: Test,
  { hosts, proxy }: Scene,
  moment: Moment,
  call: string,
  work: () => Promise<unknown>,
  options: { ages?: boolean; everywhere?: boolean } = {},
): Promise<void> {
  t.equal(await proxy.killAt(moment, call, work, options), '', `${moment} ${call}: done all the same`);
  const problems = await allAgree(hosts, options.everywhere === true ? undefined : KILLED);
  t.strictSame(problems, [], `${moment} ${call}: nothing is left, nothing is lost`);
}

/** A call that makes, and one that takes away again. */
type Pair = readonly [string, string];

const NETWORKS: readonly Pair[] = [
  ['IpamDriver.RequestPool', 'IpamDriver.ReleaseAddress'],
  ['IpamDriver.RequestAddress', 'IpamDriver.ReleasePool'],
  ['NetworkDriver.CreateNetwork', 'NetworkDriver.DeleteNetwork'],
];
const CONNECTIONS: readonly Pair[] = [
  ['IpamDriver.RequestAddress', 'NetworkDriver.Leave'],
  ['NetworkDriver.CreateEndpoint', 'NetworkDriver.DeleteEndpoint'],
  ['NetworkDriver.Join', 'IpamDriver.ReleaseAddress'],
];
/** Of whole containers: of these Docker asks once more. */
const STARTS: readonly Pair[] = [...CONNECTIONS, ['NetworkDriver.EndpointOperInfo', 'NetworkDriver.Leave']];

async function createAndRemove(t: Test, scene: Scene): Promise<void> {
  const engine = scene.hosts.engine(KILLED);
  const driver = ['-d', 'overlayd', '--ipam-driver', 'overlayd', '--subnet', '10.56.0.0/16'];
  for (const moment of ['before', 'after'] as const) {
    for (const [create, remove] of NETWORKS) {
      await make(t, scene, moment, create, () => engine.docker('network', 'create', ...driver, 'red'));
      await scene.hosts.networkKnown('red');
      // A pool without a network is nobody's business for a minute.
      const ages = moment === 'after' && create === 'IpamDriver.RequestPool';
      await take(t, scene, moment, remove, () => engine.docker('network', 'rm', 'red'), {
        ages,
        everywhere: true,
      });
    }
  }
}

async function runAndStop(t: Test, scene: Scene): Promise<void> {
  const engine = scene.hosts.engine(KILLED);
  const stop = (): Promise<unknown> => engine.docker('rm', '-f', 'web');
  for (const [start, end] of STARTS) {
    await make(t, scene, 'after', start, () => engine.run('web', 'blue'), stop);
    const web = await engine.container('web', 'blue');
    const shown = (await web.exec(['ip', '-o', 'link', 'show', 'dev', 'eth0'])).stdout;
    t.match(shown, /LOWER_UP/, 'it has its interface');
    // So is an address without a container.
    await take(t, scene, 'after', end, stop, { ages: start === 'IpamDriver.RequestAddress' });
  }
}

/** With one address all along: whatever an earlier round had left would be in its way. */
async function connectAndDisconnect(t: Test, scene: Scene, far: DockerContainer): Promise<void> {
  const engine = scene.hosts.engine(KILLED);
  const web = await engine.run('web', 'home');
  const interfaces = async (): Promise<string[]> => {
    const links = (await web.exec(['ip', '-o', 'link'])).stdout;
    return [...links.matchAll(/^\d+: ([^:@]+)/gm)]
      .map(([, name = '']) => name)
      .filter((name) => name !== 'lo');
  };
  const connect = (): Promise<unknown> => engine.docker('network', 'connect', '--ip', IP, 'blue', 'web');
  const disconnect = (): Promise<unknown> => engine.docker('network', 'disconnect', 'blue', 'web');
  for (const moment of MOMENTS) {
    for (const [join, leave] of CONNECTIONS) {
      await make(t, scene, moment, join, connect);
      const now = await interfaces();
      t.match(now, ['eth0', /^eth/], `${moment} ${join}: one interface a network`);
      t.equal(now.length, 2);
      const connected = await engine.container('web', 'blue');
      t.strictSame(await failures([far, connected]), [], 'it is reached from the other host');
      const ages = moment === 'before' && leave === 'IpamDriver.ReleaseAddress';
      await take(t, scene, moment, leave, disconnect, { ages });
      t.strictSame(await interfaces(), ['eth0'], `${moment} ${leave}: the other network is untouched`);
    }
  }
}

dockerTest('3.14, 3.15, 5.3: overlayd killed with -9 at each call of Docker', async (t) => {
  const hosts = await DriverHosts.start(t, { hosts: 2, pluginOf: PluginProxy.pluginOf });
  const scene: Scene = { hosts, proxy: await PluginProxy.start(hosts) };
  await t.test('docker network create and rm', (sub) => createAndRemove(sub, scene));
  // Docker takes --ip only where the user gave the subnet.
  await hosts.createNetwork('blue', [], ['--subnet', '10.55.0.0/16']);
  const far = await hosts.engine(0).run('far', 'blue');
  await t.test('docker run and rm -f', (sub) => runAndStop(sub, scene));
  await hosts
    .engine(KILLED)
    .docker('network', 'create', '-d', 'overlayd', '--ipam-driver', 'overlayd', 'home');
  await t.test('docker network connect and disconnect', (sub) => connectAndDisconnect(sub, scene, far));
  // A leave ends what the killed runs had said; so this is what is said anew.
  await hosts.daemon(KILLED).client('leave');
  await hosts.killDaemon(KILLED);
  await hosts.restartDaemon(KILLED);
  t.strictSame(await allAgree(hosts), [], 'in the end the other host knows what is there, and nothing else');
});
