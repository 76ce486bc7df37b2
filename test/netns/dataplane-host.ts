/** The test's side of `dataplane-child`: a data plane with static tables in a host of the test bed. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Host } from '../../agent/demo/hosts.ts';
import type {
  DataplaneCounters,
  DataplaneEvent,
  DataplaneOptions,
  FdbRow,
  OpenedTap,
  TableChange,
  TapSpec,
} from '../../agent/dataplane/dataplane.ts';
import { sleep } from '../../agent/demo/process.ts';
import type { CipherName } from '../../agent/dataplane/session-keys.ts';
import type { FakeManager } from '../agent/fake-manager.ts';
import type { Reply, Request } from './dataplane-child.ts';

const CHILD = fileURLToPath(new URL('dataplane-child.js', import.meta.url));
/** systemd says whom the descriptors are for. */
const TELL_PID = ['sh', '-c', 'LISTEN_PID=$$ exec "$@"', 'sh'];
const NETWORK = 0;
const PORT = 0;
export const VNI = 4096;
export const DATA_PORT = 4789;

export interface Opened {
  readonly taps: readonly OpenedTap[];
  readonly io: string;
  readonly notes: readonly string[];
}

/** An error that crossed the process border. */
export class RemoteError extends Error {
  readonly code: string;
  readonly hint: string | undefined;

  constructor(error: { code: string; message: string; hint?: string }) {
    super(error.message);
    this.code = error.code;
    this.hint = error.hint;
  }
}

export class DataplaneHost {
  readonly host: Host;
  readonly #child: ChildProcess;
  readonly #exited: Promise<number | NodeJS.Signals | null>;
  readonly #pending = new Map<
    number,
    { resolve: (result: unknown) => void; reject: (error: Error) => void }
  >();
  #calls = 0;

  /**
   * `prefix` wraps the process, as in `setpriv --bounding-set -net_admin --`. `manager` is its service manager, who has
   * what an earlier one left open.
   */
  constructor(host: Host, prefix: readonly string[] = [], manager?: FakeManager) {
    this.host = host;
    const [file = '', ...rest] = host.inside([
      'setpriv',
      '--pdeathsig',
      'KILL',
      '--',
      ...prefix,
      ...(manager === undefined ? [] : TELL_PID),
      process.execPath,
      CHILD,
    ]);
    const handed = manager?.hand();
    this.#child = spawn(file, rest, {
      stdio: ['ignore', 'inherit', 'inherit', ...(handed?.fds ?? []), 'ipc'],
      env: { ...quietEnvironment(), ...handed?.environment },
    });
    this.#child.on('message', (reply: Reply) => this.#take(reply));
    this.#exited = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => {
        for (const { reject } of this.#pending.values()) reject(new Error('the data plane process ended'));
        resolve(signal ?? code);
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  open(
    options: Partial<DataplaneOptions> & {
      mtu?: number;
      persist?: boolean;
      tuning?: object;
      sealBytes?: number;
      cipher?: CipherName | undefined;
    } = {},
  ): Promise<Opened> {
    const { mtu = 1450, persist = true, tuning = {}, sealBytes = 0, cipher, ...rest } = options;
    const tap = {
      network: NETWORK,
      port: PORT,
      name: 'tap0',
      mtu,
      macQuota: 4096,
      persist,
      reflect: true,
      sealBytes,
    };
    const defaults = {
      io: 'batch',
      workers: 1,
      dataPathAddr: this.host.ipv4,
      dataPort: DATA_PORT,
      taps: [tap],
    } as const;
    const request = { call: 'open', options: { ...defaults, ...rest }, tuning } as const;
    return this.call(cipher === undefined ? request : { ...request, cipher }) as Promise<Opened>;
  }

  /** One network whose other members are `peers`, given by underlay address; broadcasts go to all of them. */
  async join(
    peers: readonly string[],
    options: { learn?: boolean; maxPayload?: number; sealed?: boolean } = {},
  ): Promise<void> {
    const { learn = true, maxPayload = 1472, sealed = false } = options;
    await this.apply([
      { op: 'network-put', network: NETWORK, vni: VNI, suppress: false, sealed },
      ...peers.flatMap((addr, peer): TableChange[] => [
        { op: 'peer-put', peer, addr, port: DATA_PORT, maxPayload, learn },
        { op: 'flood-put', network: NETWORK, peer },
      ]),
    ]);
  }

  async apply(changes: readonly TableChange[]): Promise<void> {
    await this.call({ call: 'apply', changes });
  }

  /** The interface of one container; it is still on the host then. */
  openPort(port: number, spec: Partial<TapSpec> = {}): Promise<OpenedTap> {
    const defaults = { network: NETWORK, port, name: `ov${port}`, mtu: 1450, macQuota: 16 };
    const endpoint = { ...defaults, persist: true, reflect: false, ...spec };
    return this.call({ call: 'open-port', spec: endpoint }) as Promise<OpenedTap>;
  }

  async closePort(port: number, removeTap = true): Promise<void> {
    await this.call({ call: 'close-port', port, removeTap });
  }

  counters(): Promise<DataplaneCounters> {
    return this.call({ call: 'counters' }) as Promise<DataplaneCounters>;
  }

  fdb(): Promise<FdbRow[]> {
    return this.call({ call: 'fdb' }) as Promise<FdbRow[]>;
  }

  events(): Promise<DataplaneEvent[]> {
    return this.call({ call: 'events' }) as Promise<DataplaneEvent[]>;
  }

  call(request: Request): Promise<unknown> {
    const id = ++this.#calls;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#child.send({ id, request });
    });
  }

  /** Stops the data plane and waits until the process has ended by itself; returns its exit code. */
  async stop(removeTaps = false): Promise<number | NodeJS.Signals | null> {
    await this.call({ call: 'stop', removeTaps });
    return this.#exited;
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  #take({ id, result, error }: Reply): void {
    const waiting = this.#pending.get(id);
    this.#pending.delete(id);
    if (error === undefined) waiting?.resolve(result);
    else waiting?.reject(new RemoteError(error));
  }
}

/** What the test runner puts into the environment of Node processes is not for this one. */
function quietEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => name !== 'NODE_OPTIONS' && !name.startsWith('TAP')),
  );
}

/** Both sides of it once they are equal: counters are read while the worker goes on. What they were at last, if they never are. */
export async function settledBalance(dataplane: DataplaneHost): Promise<{ in: number; out: number }> {
  let sides = balance(await dataplane.counters());
  for (let looks = 0; looks < 50 && sides.in !== sides.out; looks++) {
    await sleep(100);
    sides = balance(await dataplane.counters());
  }
  return sides;
}

/** The identity that the core is held to (core-wasm/counters.ts); returns the two sides. */
export function balance({ counters, drops }: DataplaneCounters): { in: number; out: number } {
  const counter = (name: string): number => counters[name] ?? NaN;
  const dropped = Object.values(drops).reduce((sum, count) => sum + count, 0);
  return {
    in: counter('from-tap') + counter('from-tunnel'),
    out: counter('sent') + counter('delivered') + counter('answered') + counter('punted') + dropped,
  };
}
