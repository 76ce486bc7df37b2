/** The daemon as the shipped unit runs it, under a systemd of its own (systemd-host.ts). */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import type { Host } from '../../agent/demo/hosts.ts';
import { until } from '../../agent/demo/process.ts';
import { SystemdHost } from './systemd-host.ts';

const UNIT = 'overlayd.service';
const SHIPPED = readFileSync(new URL('../../../packaging/overlayd.service', import.meta.url), 'utf8');
const MAIN = fileURLToPath(new URL('../../agent/main.js', import.meta.url));
const UP_MS = 30_000;
const SETS = ['CapEff', 'CapPrm', 'CapBnd', 'CapAmb'] as const;

/**
 * What is not as on a host where it is installed: where the program and its files are. And what differs among hosts: whether
 * ProtectSystem=strict leaves /run writable (it does where ProtectControlGroups= mounts it, as in systemd 252).
 */
function dropIn(folder: string): string {
  return `[Service]
ExecStart=
ExecStart=${process.execPath} ${MAIN} run --config ${folder}/overlayd.yaml
StandardOutput=append:${folder}/overlayd.log
StandardError=inherit
ReadWritePaths=${folder}
ReadOnlyPaths=/run
PrivateTmp=no
ProtectHome=no
`;
}

export class SystemdService {
  readonly systemd: SystemdHost;
  #mainPid = '0';

  private constructor(systemd: SystemdHost) {
    this.systemd = systemd;
  }

  /** `config` is the configuration file, made of the folder that the service and we have in common. */
  static async start(t: Test, host: Host, config: (folder: string) => object): Promise<SystemdService> {
    const systemd = await SystemdHost.start(host, (folder) => ({
      [UNIT]: SHIPPED,
      [`${UNIT}.d/test.conf`]: dropIn(folder),
    }));
    const { folder } = systemd;
    const service = new SystemdService(systemd);
    t.teardown(async () => {
      if (!t.passing()) process.stderr.write(await service.#story());
      await systemd.close();
    });
    const all = { 'node-name': host.name, 'advertise-addr': host.ipv4, ...config(folder) };
    writeFileSync(join(folder, 'overlayd.yaml'), JSON.stringify(all));
    await service.systemctl('start');
    return service;
  }

  /** What `systemctl VERB` does, and waits until another process than before serves. */
  async systemctl(...verb: readonly string[]): Promise<void> {
    await this.systemd.run('systemctl', ...verb, UNIT);
    await this.#renewed();
  }

  /** kill -9; systemd starts it again. `meanwhile` is called once it is dead. */
  async kill(meanwhile: () => void = () => undefined): Promise<void> {
    await this.systemd.run('systemctl', 'kill', '-s', 'KILL', '--kill-whom=main', UNIT);
    await until('it is dead', 10_000, () => !existsSync(this.systemd.path(`/proc/${this.#mainPid}`)));
    meanwhile();
    await this.#renewed();
  }

  async stop(): Promise<void> {
    await this.systemd.run('systemctl', 'stop', UNIT);
  }

  /** Descriptors that systemd holds for it. */
  async held(): Promise<number> {
    return Number(await this.#property('NFileDescriptorStore'));
  }

  /** Of the process, as the kernel has them. */
  async capabilities(): Promise<bigint[]> {
    const status = await this.systemd.run('cat', `/proc/${this.#mainPid}/status`);
    return SETS.map((set) => BigInt(`0x${new RegExp(`^${set}:\\s*(\\w+)`, 'm').exec(status)?.[1]}`));
  }

  async #renewed(): Promise<void> {
    await until('the service is up', UP_MS, async () => {
      const pid = await this.#property('MainPID');
      if (pid === '0' || pid === this.#mainPid || (await this.#property('ActiveState')) !== 'active')
        return false;
      this.#mainPid = pid;
      return true;
    });
  }

  async #property(name: string): Promise<string> {
    return (await this.systemd.run('systemctl', 'show', '--value', '-p', name, UNIT)).trim();
  }

  async #story(): Promise<string> {
    const status = await this.systemd.run('systemctl', 'status', UNIT);
    const log = readFileSync(join(this.systemd.folder, 'overlayd.log'), 'utf8');
    return `--- systemd\n${this.systemd.log()}\n${status}\n--- overlayd\n${log.slice(-8_000)}\n`;
  }
}
