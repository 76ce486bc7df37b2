/**
 * A real Docker engine on a host of the test bed.
 *
 * Each has its own network, mount, PID and host-name namespaces. The PID namespace is what makes cleaning up certain:
 * when its first process (the holder) dies, the kernel ends dockerd, containerd, every shim and every container.
 * The mount namespace outlives dockerd, with a /run, /etc/docker and data folder that are memory of its own.
 * dockerd itself is entered with nsenter, not `ip netns exec`, which would hide the control groups from it.
 */
import { copyFileSync, mkdirSync, openSync, readSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from '../../agent/demo/hosts.ts';
import { Background, run, runNow, until } from '../../agent/demo/process.ts';
import type { Finished } from '../../agent/demo/process.ts';
import { findProgram, missing } from '../netns/guard.ts';

const IMAGE = 'overlayd-test:1';
const APPLETS = ['sh', 'ping', 'wget', 'httpd', 'sleep', 'mkdir', 'timeout'] as const;
const READY_MS = 20_000;

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

export class Engine {
  readonly host: Host;
  readonly #scratch: string;
  #holder = 0;

  private constructor(host: Host) {
    this.host = host;
    this.#scratch = join(host.scratch, 'docker');
    mkdirSync(this.#scratch);
  }

  /** Starts dockerd with the test image in it. */
  static async start(host: Host): Promise<Engine> {
    const engine = new Engine(host);
    await engine.#hold();
    await engine.#startDockerd();
    await engine.docker('import', '-c', 'CMD ["sh"]', imageTar(engine.#scratch), IMAGE);
    return engine;
  }

  /** The argv that runs `argv` in the namespaces of this engine, as process of its PID namespace. */
  inside(argv: readonly string[]): string[] {
    return ['nsenter', '-t', `${this.#holder}`, '-m', '-n', '-p', '-u', '--', ...argv];
  }

  /** A docker command that must succeed; returns its trimmed output. */
  async docker(...args: readonly string[]): Promise<string> {
    const done = await run(['docker', '-H', `unix://${this.#socket()}`, ...args], 60_000);
    if (done.status !== 0) throw new Error(`${this.host.name}: docker ${args.join(' ')}: ${done.stderr}`);
    return done.stdout.trim();
  }

  /** Runs a container that serves its own name over HTTP. */
  async run(name: string, network: string): Promise<DockerContainer> {
    const serve = `mkdir -p /www && echo ${name} >/www/index.html && exec httpd -f -p 80 -h /www`;
    await this.docker('run', '-d', '--init', '--name', name, '--network', network, IMAGE, 'sh', '-c', serve);
    const field = (format: string): Promise<string> => this.docker('inspect', '-f', format, name);
    const settings = `(index .NetworkSettings.Networks "${network}")`;
    return new DockerContainer(this, {
      name,
      ipv4: await field(`{{${settings}.IPAddress}}`),
      mac: await field(`{{${settings}.MacAddress}}`),
      pid: await field('{{.State.Pid}}'),
    });
  }

  #socket(): string {
    return join(this.#scratch, 'd.sock');
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
    this.host.testbed.record.addCgroup(cgroup);
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
        `unix://${this.#socket()}`,
        `--cgroup-parent=/${cgroup}`,
        '--bridge=none',
        '--iptables=false',
        '--ip6tables=false',
        '--ip-forward=false',
      ]),
      join(this.#scratch, 'dockerd.log'),
    );
    await until(`${this.host.name}: dockerd answers`, READY_MS, async () => {
      if (!dockerd.running) throw new Error(`dockerd ended: ${dockerd.log()}`);
      return (await run(['docker', '-H', `unix://${this.#socket()}`, 'version'])).status === 0;
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
