/**
 * A real Docker engine on a host of the test bed.
 *
 * Each has its own network, mount, PID and host-name namespaces. The PID namespace is what makes cleaning up certain:
 * when its first process (the holder) dies, the kernel ends dockerd, containerd, every shim and every container.
 * The mount namespace outlives dockerd, with a /run, /etc/docker and data folder that are memory of its own.
 * dockerd itself is entered with nsenter, not `ip netns exec`, which would hide the control groups from it.
 */
import { copyFileSync, existsSync, mkdirSync, openSync, readSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from '../../agent/demo/hosts.ts';
import { Background, run, runNow, until } from '../../agent/demo/process.ts';
import type { Finished } from '../../agent/demo/process.ts';
import { findProgram, missing } from '../netns/guard.ts';

export const IMAGE = 'overlayd-test:1';
const APPLETS = ['sh', 'ip', 'ping', 'wget', 'httpd', 'sleep', 'mkdir', 'timeout'] as const;
const READY_MS = 60_000;
/** The client that belongs to the engine, where a newer one is on PATH before it: that one refuses some flags to it. */
const DOCKER = existsSync('/usr/bin/docker') ? '/usr/bin/docker' : 'docker';

/** Sets the mounts and the host name, then stays and reaps orphans, as bash does when it is process 1. */
const HOLDER_SCRIPT = `
set -e
name=$1 scratch=$2
mkdir -p /etc/docker "$scratch/data"
echo 'nameserver 127.0.0.1' >"$scratch/resolv.conf"
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /etc/docker
mount -t tmpfs tmpfs "$scratch/data"
mount --bind "$scratch/resolv.conf" /etc/resolv.conf
mkdir -p /run/docker/plugins /run/containerd
hostname "$name"
echo holding
while :; do sleep 3600 & wait $!; done
`;

/** Why no engine can run on this machine; undefined when one can. */
export function engineProblem(): string | undefined {
  const lacking = missing(['dockerd', 'containerd', 'docker', 'busybox', 'iptables', 'unshare', 'hostname']);
  if (lacking !== undefined) return lacking;
  return isStatic(findProgram('busybox') ?? '') ? undefined : 'busybox is not the statically linked one';
}

/** A static program names no interpreter: the loader's path would stand near the start of the file. */
function isStatic(file: string): boolean {
  const start = Buffer.alloc(4096);
  readSync(openSync(file, 'r'), start, 0, start.length, 0);
  return !start.includes('/ld-linux');
}

export interface DockerdOptions {
  /** Containers run on while dockerd is not there. */
  readonly liveRestore?: boolean;
}

export interface RunOptions {
  /** Further words of `docker run`. */
  readonly args?: readonly string[];
  /** A name that it answers HTTP with; default: its own. */
  readonly says?: string;
}

export class Engine {
  readonly host: Host;
  readonly #scratch: string;
  #holder = 0;
  #dockerd: Background | undefined;
  #options: DockerdOptions = {};

  private constructor(host: Host) {
    this.host = host;
    this.#scratch = join(host.scratch, 'docker');
    mkdirSync(this.#scratch);
  }

  /** Starts dockerd with the test image in it. */
  static async start(host: Host): Promise<Engine> {
    const engine = await Engine.hold(host);
    await engine.startDockerd();
    return engine;
  }

  /** The namespaces alone, so that a daemon can be started in them before dockerd. */
  static async hold(host: Host): Promise<Engine> {
    const engine = new Engine(host);
    await engine.#hold();
    return engine;
  }

  /** Docker's API. */
  get socket(): string {
    return join(this.#scratch, 'd.sock');
  }

  /** For `DaemonOptions.wrapper`: a daemon in the mount, PID and host-name namespaces of this engine. */
  get wrapper(): string[] {
    // Entering a PID namespace takes a fork; what is killed is the parent, and the daemon is to go with it.
    return [
      'nsenter',
      '-t',
      `${this.#holder}`,
      '-m',
      '-p',
      '-u',
      '--',
      'setpriv',
      '--pdeathsig',
      'KILL',
      '--',
    ];
  }

  async startDockerd(options: DockerdOptions = this.#options): Promise<void> {
    this.#options = options;
    await this.#startDockerd();
    if ((await this.docker('image', 'ls', '-q', IMAGE)) !== '') return;
    await this.docker('import', '-c', 'CMD ["sh"]', imageTar(this.#scratch), IMAGE);
  }

  /** SIGTERM as systemd does it, or SIGKILL with what that leaves behind put away. */
  async stopDockerd(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    // The process that was started is nsenter, which runs dockerd as its child in the PID namespace.
    const pid = runNow(this.inside(['cat', '/run/docker.pid'])).trim();
    await run(this.inside(['kill', signal === 'SIGTERM' ? '-TERM' : '-KILL', pid]));
    await until(`${this.host.name}: dockerd ends`, 40_000, () => this.#dockerd?.running === false);
    if (signal === 'SIGTERM') return;
    await until(`${this.host.name}: containerd ends`, 10_000, async () => {
      return (await run(this.inside(['pidof', 'containerd']))).status !== 0;
    });
    const left = ['/run/docker/containerd/containerd.pid', '/run/docker.pid', this.socket];
    await run(this.inside(['rm', '-f', ...left]));
  }

  /** The argv that runs `argv` in the namespaces of this engine, as process of its PID namespace. */
  inside(argv: readonly string[]): string[] {
    return ['nsenter', '-t', `${this.#holder}`, '-m', '-n', '-p', '-u', '--', ...argv];
  }

  /** A docker command that must succeed; returns its trimmed output. */
  async docker(...args: readonly string[]): Promise<string> {
    const done = await this.tryDocker(...args);
    if (done.status !== 0) throw new Error(`${this.host.name}: docker ${args.join(' ')}: ${done.stderr}`);
    return done.stdout.trim();
  }

  tryDocker(...args: readonly string[]): Promise<Finished> {
    return run([DOCKER, '-H', `unix://${this.socket}`, ...args], 60_000);
  }

  /** Runs a container that serves its own name over HTTP. */
  async run(name: string, network: string, options: RunOptions = {}): Promise<DockerContainer> {
    const more = ['--network', network, ...(options.args ?? [])];
    await this.docker(
      'run',
      '-d',
      '--init',
      '--name',
      name,
      ...more,
      IMAGE,
      ...serving(options.says ?? name),
    );
    return this.container(name, network);
  }

  /** A container as it is now. */
  async container(name: string, network: string): Promise<DockerContainer> {
    const field = (format: string): Promise<string> => this.docker('inspect', '-f', format, name);
    const settings = `(index .NetworkSettings.Networks "${network}")`;
    return new DockerContainer(this, {
      name,
      ipv4: await field(`{{${settings}.IPAddress}}`),
      mac: await field(`{{${settings}.MacAddress}}`),
      pid: await field('{{.State.Pid}}'),
    });
  }

  async #hold(): Promise<void> {
    const namespaces = [
      '--mount',
      '--pid',
      '--uts',
      '--fork',
      '--kill-child',
      '--mount-proc',
      '--propagation',
      'private',
    ];
    const script = ['bash', '-c', HOLDER_SCRIPT, 'holder', this.host.name, this.#scratch];
    const log = join(this.#scratch, 'holder.log');
    const holder = new Background(this.host.inside(['unshare', ...namespaces, '--', ...script]), log);
    this.host.testbed.record.addProcess(holder.pid);
    await until(`${this.host.name}: the namespaces of the engine stand`, 10_000, () => {
      if (!holder.running) throw new Error(`the holder ended: ${holder.log()}`);
      return holder.log().includes('holding');
    });
    this.#holder = Number(runNow(['ps', '--ppid', `${holder.pid}`, '-o', 'pid=']).trim());
  }

  async #startDockerd(): Promise<void> {
    const cgroup = this.host.testbed.namespaceName(this.host.name);
    if (this.#dockerd === undefined) this.host.testbed.record.addCgroup(cgroup);
    const dockerd = new Background(
      this.inside([
        'dockerd',
        '--data-root',
        join(this.#scratch, 'data'),
        '--storage-driver',
        'vfs',
        '--exec-root',
        '/run/docker',
        '--pidfile',
        '/run/docker.pid',
        '--host',
        `unix://${this.socket}`,
        `--cgroup-parent=/${cgroup}`,
        '--bridge=none',
        '--iptables=false',
        '--ip6tables=false',
        '--ip-forward=false',
        ...(this.#options.liveRestore === true ? ['--live-restore'] : []),
      ]),
      join(this.#scratch, 'dockerd.log'),
    );
    this.#dockerd = dockerd;
    await until(`${this.host.name}: dockerd answers`, READY_MS, async () => {
      if (!dockerd.running) throw new Error(`dockerd ended: ${dockerd.log()}`);
      return (await run([DOCKER, '-H', `unix://${this.socket}`, 'version'])).status === 0;
    });
  }
}

export class DockerContainer {
  readonly engine: Engine;
  readonly name: string;
  readonly ipv4: string;
  readonly mac: string;
  /** As the engine sees it: a number of its own PID namespace. */
  readonly pid: string;
  #backgrounds = 0;

  constructor(engine: Engine, parts: { name: string; ipv4: string; mac: string; pid: string }) {
    this.engine = engine;
    this.name = parts.name;
    this.ipv4 = parts.ipv4;
    this.mac = parts.mac;
    this.pid = parts.pid;
  }

  /** Runs a program of this machine (not of the image) in the container's network namespace. */
  exec(argv: readonly string[], timeoutMs?: number): Promise<Finished> {
    return run(this.#inside(argv), timeoutMs);
  }

  spawn(argv: readonly string[]): Background {
    const log = join(this.engine.host.scratch, `${this.name}-${++this.#backgrounds}.log`);
    return new Background(this.#inside(argv), log);
  }

  /** Runs a program of the image in the container, as `docker exec`. */
  docker(...argv: readonly string[]): Promise<string> {
    return this.engine.docker('exec', this.name, ...argv);
  }

  #inside(argv: readonly string[]): string[] {
    return this.engine.inside(['nsenter', '-t', this.pid, '-n', '--', ...argv]);
  }
}

function serving(text: string): string[] {
  return ['sh', '-c', `mkdir -p /www && echo ${text} >/www/index.html && exec httpd -f -p 80 -h /www`];
}

/** A root file system of busybox alone, as a tar file. */
function imageTar(scratch: string): string {
  const root = join(scratch, 'image');
  mkdirSync(join(root, 'bin'), { recursive: true });
  mkdirSync(join(root, 'tmp'));
  copyFileSync(findProgram('busybox') ?? '', join(root, 'bin', 'busybox'));
  for (const applet of APPLETS) symlinkSync('busybox', join(root, 'bin', applet));
  const tar = join(scratch, 'image.tar');
  runNow(['tar', '-C', root, '-cf', tar, '.']);
  return tar;
}
