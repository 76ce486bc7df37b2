/**
 * What a test bed has made on this machine, on disk, so that a later run can remove what a killed one left behind.
 *
 * One file per run under /run/overlayd-testbeds. Its owner is named by pid and start time; a record whose owner is
 * alive is never touched. Only namespaces, processes and folders named in a record are ever removed.
 */
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { ipBatch } from './process.ts';

const RECORDS = '/run/overlayd-testbeds';

interface ProcessName {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: tells a process from a later one with the same pid. */
  readonly startTime: string;
}

interface Contents {
  readonly owner: ProcessName;
  readonly scratch: string;
  readonly namespaces: string[];
  readonly processes: ProcessName[];
  readonly cgroups: string[];
}

export class RunRecord {
  readonly #file: string;
  readonly #contents: Contents;

  constructor(id: string, scratch: string) {
    mkdirSync(RECORDS, { recursive: true });
    this.#file = join(RECORDS, `${id}.json`);
    const owner = { pid: process.pid, startTime: startTimeOf(process.pid) ?? '' };
    this.#contents = { owner, scratch, namespaces: [], processes: [], cgroups: [] };
    this.#save();
  }

  /** To be called before the namespace is made. */
  addNamespaces(names: readonly string[]): void {
    this.#contents.namespaces.push(...names);
    this.#save();
  }

  /** A long-lived process that may live outside the recorded namespaces. */
  addProcess(pid: number): void {
    const startTime = startTimeOf(pid);
    if (startTime === undefined) return;
    this.#contents.processes.push({ pid, startTime });
    this.#save();
  }

  /** A control-group folder name (below every hierarchy) that is removed with its children once empty. */
  addCgroup(name: string): void {
    this.#contents.cgroups.push(name);
    this.#save();
  }

  removeNamespace(name: string): void {
    removeNamespaces([name]);
    this.#contents.namespaces.splice(
      0,
      Infinity,
      ...this.#contents.namespaces.filter((other) => other !== name),
    );
    this.#save();
  }

  /** Ends every recorded process, removes namespaces, scratch folder and the record. Blocking; safe to call twice. */
  clear(): void {
    remove(this.#contents);
    rmSync(this.#file, { force: true });
  }

  #save(): void {
    writeFileSync(this.#file, JSON.stringify(this.#contents));
  }
}

/** Removes what runs whose owner is gone have left. */
export function sweepLeftovers(): void {
  let files: string[];
  try {
    files = readdirSync(RECORDS).filter((file) => file.endsWith('.json'));
  } catch {
    return;
  }
  for (const file of files) {
    const path = join(RECORDS, file);
    try {
      const contents = JSON.parse(readFileSync(path, 'utf8')) as Contents;
      if (isAlive(contents.owner)) continue;
      remove(contents);
    } catch {
      // Being written by its owner at this moment, or already swept by another run: not ours to judge.
      continue;
    }
    rmSync(path, { force: true });
  }
}

function remove(contents: Contents): void {
  for (const name of contents.processes) {
    if (isAlive(name)) kill(name.pid);
  }
  removeNamespaces(contents.namespaces);
  for (const name of contents.cgroups) removeCgroup(name);
  rmSync(contents.scratch, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
}

function removeNamespaces(names: readonly string[]): void {
  const present = new Set(namespacesPresent());
  const ours = names.filter((name) => present.has(name));
  if (ours.length === 0) return;
  for (const name of ours) {
    // Whoever runs in a namespace of ours was started by us.
    const listed = spawnSync('ip', ['netns', 'pids', name], { encoding: 'utf8' });
    for (const pid of (listed.stdout ?? '').split(/\s+/)) {
      if (pid !== '' && Number(pid) !== process.pid) kill(Number(pid));
    }
  }
  ipBatch(ours.map((name) => ['netns', 'del', name]));
}

function namespacesPresent(): string[] {
  try {
    return readdirSync('/run/netns');
  } catch {
    return [];
  }
}

/** Empty control groups, deepest first; a busy one stays. Version 1 has one hierarchy per controller. */
function removeCgroup(name: string): void {
  const roots = ['/sys/fs/cgroup', ...childFolders('/sys/fs/cgroup')];
  for (const root of roots) removeEmptyFolders(join(root, name));
}

function removeEmptyFolders(folder: string): void {
  for (const child of childFolders(folder)) removeEmptyFolders(child);
  spawnSync('rmdir', [folder], { stdio: 'ignore' });
}

function childFolders(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(folder, entry.name));
  } catch {
    return [];
  }
}

function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command name (field 2) may hold spaces and brackets; count from its closing bracket.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

function isAlive(name: ProcessName): boolean {
  return startTimeOf(name.pid) === name.startTime;
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone already.
  }
}
