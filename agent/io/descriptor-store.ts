/**
 * Descriptors that outlive this process: systemd's file descriptor store (sd_notify(3) FDSTORE=, sd_listen_fds(3)).
 *
 * A TAP that is in a container's network namespace can be opened there only with CAP_SYS_ADMIN; a descriptor of it that
 * is still open serves as it is. So the service manager holds a second one of each, and gives them to the next run, by
 * name: that of the interface when it was made. Without such a manager nothing is held, and TAPs are opened again where
 * they are.
 *
 * A TAP is made on this host and only then said to whoever moves it; by then its descriptor is with the manager. So one
 * of which the manager knows nothing, because we died in between, is still on this host.
 */
import { F_SETFD, FD_CLOEXEC, close, fcntl } from './libc.ts';
import type { ServiceManager } from './service-manager.ts';
import { isTun } from './tun.ts';

export interface DescriptorStore {
  /** An earlier run has left descriptors under this name, and nobody has taken them yet. */
  holds(name: string): boolean;
  /** They are the caller's now, and stay stored until `drop`. Empty when there are none. */
  take(name: string): readonly number[];
  /** To be held for the next run. False: they cannot be, though there is somebody to hold them. */
  keep(name: string, fds: readonly number[]): boolean;
  /** They are of no use to the next run. Whoever has a descriptor closes it. */
  drop(name: string): void;
  /** Closes and drops what nobody has taken, but what is still wanted; returns the names. */
  dropRest(isWanted: (name: string) => boolean): readonly string[];
}

export const NO_DESCRIPTORS: DescriptorStore = {
  holds: () => false,
  take: () => [],
  keep: () => true,
  drop: () => undefined,
  dropRest: () => [],
};

type Manager = Pick<ServiceManager, 'store' | 'discard'>;

/** Takes what the service manager hands over, and takes the variables that say so away, for they are of this process alone. */
export function openDescriptorStore(
  environment: Record<string, string | undefined>,
  manager: Manager,
): DescriptorStore {
  const handed = handedOver(environment);
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete environment[name];
  for (const { fd } of handed) fcntl(fd, F_SETFD, FD_CLOEXEC);
  // Nothing else is ever stored here, and a number that is no such descriptor may be one of Node's own.
  return new ManagedDescriptors(
    manager,
    handed.filter(({ fd }) => isTun(fd)),
  );
}

/** What the manager hands over starts at this number. */
const FIRST_FD = 3;
/** Far more than the core has ports. */
const HANDED_MAX = 65_536;

interface Handed {
  readonly fd: number;
  readonly name: string;
}

/** As the variables say; nothing when they are meant for another process, or make no sense. */
export function handedOver(
  { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES }: Readonly<Record<string, string | undefined>>,
  pid: number = process.pid,
): readonly Handed[] {
  if (LISTEN_PID !== `${pid}` || !/^\d{1,5}$/.test(LISTEN_FDS ?? '')) return [];
  const count = Number(LISTEN_FDS);
  const names = (LISTEN_FDNAMES ?? '').split(':');
  if (count > HANDED_MAX || names.length !== count) return [];
  return names.map((name, index) => ({ fd: FIRST_FD + index, name }));
}

class ManagedDescriptors implements DescriptorStore {
  readonly #manager: Manager;
  /** Not taken yet. */
  readonly #left = new Map<string, number[]>();

  constructor(manager: Manager, handed: readonly Handed[]) {
    this.#manager = manager;
    for (const { fd, name } of handed) this.#left.set(name, [...(this.#left.get(name) ?? []), fd]);
  }

  holds(name: string): boolean {
    return this.#left.has(name);
  }

  take(name: string): readonly number[] {
    const fds = this.#left.get(name) ?? [];
    this.#left.delete(name);
    return fds;
  }

  keep(name: string, fds: readonly number[]): boolean {
    return isStorableName(name) && this.#manager.store(name, fds);
  }

  drop(name: string): void {
    if (isStorableName(name)) this.#manager.discard(name);
  }

  dropRest(isWanted: (name: string) => boolean): readonly string[] {
    const names = [...this.#left.keys()].filter((name) => !isWanted(name));
    for (const name of names) {
      this.drop(name);
      for (const fd of this.take(name)) close(fd);
    }
    return names;
  }
}

/** What systemd takes for FDNAME=, and an interface name need not be. */
function isStorableName(name: string): boolean {
  return /^[\x20-\x39\x3b-\x7e]{1,255}$/.test(name);
}
