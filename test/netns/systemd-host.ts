/**
 * A real systemd on a host of the test bed, in namespaces of its own: PIDs, mounts, control groups, names. It has no
 * units but those that it is given, and what it writes (/run, /var/lib) goes with it; all else it may only read.
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from '../../agent/demo/hosts.ts';
import { run, until } from '../../agent/demo/process.ts';
import type { Background } from '../../agent/demo/process.ts';

const SYSTEMD = '/lib/systemd/systemd';
const UP_MS = 60_000;
/** What units that are not told otherwise stand on. */
const TARGETS = ['sysinit', 'basic', 'shutdown'];

// Mounts of others must go from here as well when they unmount them: a network namespace lives as long as one is left.
// $1 is the scratch folder, $2 the control group. The first half is outside, the second in the new namespaces.
const OUTER = `
set -e
group=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)/$2
mkdir -p "$group"
echo $$ >"$group/cgroup.procs"
exec unshare --pid --fork --kill-child --mount --propagation slave --cgroup --uts --ipc -- sh -c "$3" sh "$1"
`;
const INNER = `
set -e
cd "$1"
mkdir -p netns
mount --rbind /run/netns netns
mount -t tmpfs tmpfs /run
mkdir -p /run/netns
mount --rbind netns /run/netns
mount -t tmpfs tmpfs /var/lib
mount -t proc proc /proc
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --bind "$1" "$1"
mount -o remount,bind,ro /
exec env -i PATH="$PATH" container=overlayd-test SYSTEMD_UNIT_PATH="$1/units" ${SYSTEMD} --system \\
  --unit=test.target --log-target=console --show-status=no
`;

/** Why it cannot run here, if it cannot. */
export function systemdProblem(): string | undefined {
  if (!existsSync(SYSTEMD)) return 'systemd is not installed';
  const hasGroups = / - cgroup2 /.test(readFileSync('/proc/self/mountinfo', 'utf8'));
  return hasGroups ? undefined : 'no cgroup2 is mounted';
}

export class SystemdHost {
  readonly host: Host;
  /** Its folder on this machine, which units may read and write under the same path. */
  readonly folder: string;
  readonly #process: Background;
  #pid = 0;

  private constructor(host: Host, folder: string, process: Background) {
    this.host = host;
    this.folder = folder;
    this.#process = process;
  }

  /** `units`: file name, under the folder of units, and content; given the folder that they may write to. */
  static async start(
    host: Host,
    units: (folder: string) => Readonly<Record<string, string>>,
  ): Promise<SystemdHost> {
    const folder = join(host.scratch, 'systemd');
    const unitFolder = join(folder, 'units');
    const all = {
      ...Object.fromEntries(TARGETS.map((name) => [`${name}.target`, '[Unit]\nDefaultDependencies=no\n'])),
      'test.target': '[Unit]\nDefaultDependencies=no\n',
      ...units(folder),
    };
    for (const [name, text] of Object.entries(all)) {
      const file = join(unitFolder, name);
      mkdirSync(join(file, '..'), { recursive: true });
      writeFileSync(file, text);
    }
    const group = host.testbed.namespaceName(`${host.name}-systemd`);
    host.testbed.record.addCgroup(group);
    const process = host.spawn([
      'unshare',
      '--mount',
      '--propagation',
      'slave',
      '--',
      'sh',
      '-c',
      OUTER,
      'sh',
      folder,
      group,
      INNER,
    ]);
    host.testbed.record.addProcess(process.pid);
    const systemd = new SystemdHost(host, folder, process);
    await until('systemd is up', UP_MS, async () => {
      if (!process.running) throw new Error(`systemd ended: ${process.log()}`);
      systemd.#pid = systemdOf(process.pid) ?? 0;
      return (
        systemd.#pid !== 0 && (await systemd.run('systemctl', 'is-active', 'test.target')).trim() === 'active'
      );
    });
    return systemd;
  }

  /** Output of a command beside it; it sees the PIDs and files that units see. */
  async run(...argv: readonly string[]): Promise<string> {
    const done = await run(['nsenter', '-t', `${this.#pid}`, '-m', '-p', '--', ...argv]);
    return done.stdout + done.stderr;
  }

  /** Where a file of its is for us. */
  path(file: string): string {
    return `/proc/${this.#pid}/root${file}`;
  }

  log(): string {
    return this.#process.log();
  }

  /** With it go all that it has started. */
  async close(): Promise<void> {
    await this.#process.stop('SIGKILL');
  }
}

/** systemd as a child of the process that made its namespaces; not before it is systemd. */
function systemdOf(parent: number): number | undefined {
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      const isChild = new RegExp(`^PPid:\\t${parent}$`, 'm').test(status);
      if (isChild && /^Name:\tsystemd$/m.test(status)) return Number(pid);
    } catch {
      continue; // it has ended
    }
  }
  return undefined;
}
