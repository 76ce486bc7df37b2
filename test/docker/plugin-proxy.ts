/** Between Docker and overlayd on one host: told to, it kills overlayd at a call of Docker's, as by kill -9. */
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { writeFileSync } from 'node:fs';
import { Background, until } from '../../agent/demo/process.ts';
import type { DriverHosts } from './driver-hosts.ts';

const PROXY = fileURLToPath(new URL('plugin-proxy-child.js', import.meta.url));
const DOCKER_LOOKS = '/run/docker/plugins/overlayd.sock';
/** Where overlayd listens when the proxy stands where Docker looks. */
const BEHIND = '/run/overlayd-plugin/overlayd.sock';

/** Of a call: not heard yet; done, but not answered; none in work, and this one comes to the next overlayd. */
export type Moment = 'before' | 'after' | 'between';
export const MOMENTS: readonly Moment[] = ['before', 'after', 'between'];

/** The second host, which finds the first one by its seed, at once. */
export const KILLED = 1;

export class PluginProxy {
  readonly #process: Background;
  readonly #hosts: DriverHosts;
  #kills = 0;

  private constructor(hosts: DriverHosts) {
    this.#hosts = hosts;
    const engine = hosts.engine(KILLED);
    const argv = [process.execPath, PROXY, DOCKER_LOOKS, BEHIND, this.#order];
    this.#process = new Background(engine.inside(argv), join(engine.host.scratch, 'proxy.log'));
    engine.host.testbed.record.addProcess(this.#process.pid);
  }

  /** For `DriverOptions.plugin`. */
  static readonly pluginOf = (index: number): string => (index === KILLED ? BEHIND : DOCKER_LOOKS);

  static async start(hosts: DriverHosts): Promise<PluginProxy> {
    const proxy = new PluginProxy(hosts);
    await until('the proxy listens', 10_000, () => proxy.#process.log().includes('listening'));
    return proxy;
  }

  /**
   * Does `work`, in which overlayd is killed at this call and started again; returns how the work failed. With `ages`
   * all that was written down is old when it is back: what Docker no longer has goes at once.
   */
  async killAt(
    moment: Moment,
    call: string,
    work: () => Promise<unknown>,
    { ages = false } = {},
  ): Promise<string> {
    const kills = ++this.#kills;
    writeFileSync(this.#order, `${moment} ${call}`);
    const done = work().then(
      () => '',
      (error: Error) => error.message,
    );
    await until(`${call} was caught`, 20_000, () => this.#process.log().split('caught ').length > kills);
    await this.#hosts.killDaemon(KILLED);
    if (ages) this.#hosts.age(KILLED, 3600);
    if (moment === 'between') writeFileSync(this.#order, 'go');
    await this.#hosts.restartDaemon(KILLED);
    return done;
  }

  get #order(): string {
    return join(this.#hosts.host(KILLED).scratch, 'proxy-order');
  }
}
