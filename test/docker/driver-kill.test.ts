/** overlayd dies in the middle of Docker's calls, one after the other, as by kill -9; nothing is left, nothing is lost. */
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { Background, run, until } from '../../agent/demo/process.ts';
import { DriverHosts, dockerTest } from './driver-hosts.ts';

const PROXY = fileURLToPath(new URL('plugin-proxy-child.js', import.meta.url));
/** Where overlayd listens when the proxy stands where Docker looks. */
const BEHIND = '/run/overlayd-plugin/overlayd.sock';
const AGAIN = /without its content.*Do it again/;

/** Between Docker and overlayd: told to, it passes a call on and kills overlayd before Docker has the answer. */
class Proxy {
  readonly #process: Background;
  readonly #hosts: DriverHosts;
  #kills = 0;

  constructor(hosts: DriverHosts) {
    this.#hosts = hosts;
    const engine = hosts.engine(0);
    const argv = [process.execPath, PROXY, '/run/docker/plugins/overlayd.sock', BEHIND, this.#order()];
    this.#process = new Background(engine.inside(argv), join(engine.host.scratch, 'proxy.log'));
    engine.host.testbed.record.addProcess(this.#process.pid);
  }

  async ready(): Promise<void> {
    await until('the proxy listens', 10_000, () => this.#process.log().includes('listening'));
  }

  /** The next call of `method` is the last one of this overlayd; `work` goes on with the next. Returns how that failed. */
  async killAt(method: string, work: () => Promise<unknown>): Promise<string> {
    const kills = ++this.#kills;
    await run(['sh', '-c', `echo ${method} >${this.#order()}`]);
    const done = work().then(
      () => '',
      (error: Error) => error.message,
    );
    await until(`${method} was caught`, 20_000, () => this.#process.log().split('caught ').length > kills);
    await this.#hosts.killDaemon(0);
    await this.#hosts.restartDaemon(0);
    return done;
  }

  #order(): string {
    return join(this.#hosts.host(0).scratch, 'proxy-order');
  }
}

dockerTest('3.14, 5.3: overlayd killed with -9 at each step of a start and of a stop', async (t) => {
  const hosts = await DriverHosts.start(t, { hosts: 1, plugin: BEHIND });
  const proxy = new Proxy(hosts);
  await proxy.ready();
  const engine = hosts.engine(0);
  const create = (): Promise<void> => hosts.createNetwork('blue', ['--subnet', '10.55.0.0/16']);
  t.match(await proxy.killAt('NetworkDriver.CreateNetwork', create), AGAIN);
  await create();
  for (const step of ['IpamDriver.RequestAddress', 'NetworkDriver.CreateEndpoint', 'NetworkDriver.Join']) {
    // Docker repeats the call, but without its content.
    t.match(await proxy.killAt(step, () => engine.run('web', 'blue')), AGAIN, `${step}: the user is told`);
    await engine.docker('rm', '-f', 'web');
    const web = await engine.run('web', 'blue');
    const shown = (await web.exec(['ip', '-o', 'link', 'show', 'dev', 'eth0'])).stdout;
    t.match(shown, /LOWER_UP/, `${step}: the next one has its interface`);
    await engine.docker('rm', '-f', 'web');
  }
  for (const step of ['NetworkDriver.Leave', 'NetworkDriver.DeleteEndpoint', 'IpamDriver.ReleaseAddress']) {
    await engine.run('web', 'blue');
    t.equal(
      await proxy.killAt(step, () => engine.docker('rm', '-f', 'web')),
      '',
      `${step}: it is removed all the same`,
    );
  }
  await hosts.killDaemon(0);
  hosts.age(0, 3600);
  await hosts.restartDaemon(0);
  await until('nothing is left', 10_000, async () => (await hosts.leftovers(0)).length === 0).catch(
    async () => {
      t.strictSame(await hosts.leftovers(0), []);
    },
  );
  t.equal(
    await engine.docker('network', 'ls', '-q', '-f', 'name=blue').then((ids) => ids.length > 0),
    true,
    'blue stays',
  );
});
