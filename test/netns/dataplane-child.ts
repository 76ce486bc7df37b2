/**
 * A data plane alone, without control, in a process of its own: started in a host's namespace with an IPC channel,
 * it opens what it is asked to and answers calls. Nothing here is a test.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import { constant } from '../../agent/dataplane/core.ts';
import { openDataplane } from '../../agent/dataplane/supervisor.ts';
import { WorkerThread } from '../../agent/dataplane/worker-thread.ts';
import type { CipherName } from '../../agent/dataplane/session-keys.ts';
import type {
  Dataplane,
  DataplaneEvent,
  DataplaneOptions,
  TableChange,
  PortBinding,
  TapSpec,
} from '../../agent/dataplane/dataplane.ts';
import { OverlaydError } from '../../agent/errors.ts';
import { openDescriptorStore } from '../../agent/io/descriptor-store.ts';
import { ServiceManager } from '../../agent/io/service-manager.ts';

export type Request =
  | {
      readonly call: 'open';
      readonly options: DataplaneOptions;
      readonly tuning?: object;
      readonly cipher?: CipherName;
    }
  | { readonly call: 'apply'; readonly changes: readonly TableChange[] }
  | { readonly call: 'counters' | 'fdb' | 'events' | 'health' | 'namespaces' | 'notes' | 'poison' }
  | { readonly call: 'peer'; readonly peer: number }
  | { readonly call: 'open-port'; readonly spec: TapSpec }
  /** Many at once; answers how long that took, and what it cost this process. */
  | { readonly call: 'open-ports'; readonly specs: readonly TapSpec[] }
  | { readonly call: 'mtu'; readonly port: number; readonly mtu: number }
  | { readonly call: 'bind'; readonly port: number; readonly binding?: PortBinding }
  | { readonly call: 'close-port'; readonly port: number; readonly removeTap: boolean }
  /** Keys are 32 bytes of these values. */
  | {
      readonly call: 'session';
      readonly localIndex: number;
      readonly remoteIndex: number;
      readonly peer: number;
      readonly sealWith: number;
      readonly openWith: number;
    }
  | { readonly call: 'stop'; readonly removeTaps: boolean };

export interface Reply {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: { readonly code: string; readonly message: string; readonly hint?: string };
}

let dataplane: Dataplane | undefined;
let worker: WorkerThread | undefined;
const events: DataplaneEvent[] = [];
const notes: string[] = [];
const note = (fields: object, message: string): void => {
  notes.push(message);
  if ('err' in fields) console.error(message, fields.err);
};

/**
 * Lets network 0's list of ports start outside the memory, so that the next broadcast traps. Networks lie behind the
 * event ring (core-wasm/layout.ts), the first port's index + 1 at 8.
 */
function poison(): void {
  if (worker === undefined) throw new Error('no worker');
  const { view, constants } = worker.core;
  const at = (name: string): number => constant(constants, name);
  view.setUint32(at('EVENT_RING') + at('EVENT_SLOTS') * at('EVENT_SIZE') + 8, 0x00ff_ffff, true);
}

/** Network namespaces of this process's threads: one, unless a thread was left in a container. */
function threadNamespaces(): string[] {
  const links = readdirSync('/proc/self/task').map((thread) =>
    readlinkSync(`/proc/self/task/${thread}/ns/net`),
  );
  return [...new Set(links)];
}

export interface OpenedPorts {
  readonly seconds: number;
  readonly medianMs: number;
  readonly bytes: number;
}

function openPorts(on: Dataplane, specs: readonly TapSpec[]): OpenedPorts {
  const before = process.memoryUsage().rss;
  const started = performance.now();
  const times = specs.map((spec) => {
    const begun = performance.now();
    on.openPort(spec);
    return performance.now() - begun;
  });
  const seconds = (performance.now() - started) / 1000;
  const medianMs = times.sort((a, b) => a - b)[times.length >> 1] ?? 0;
  return { seconds, medianMs, bytes: process.memoryUsage().rss - before };
}

async function answer(request: Request): Promise<unknown> {
  if (request.call === 'open') {
    const log = { debug: note, info: note, warn: note, error: note };
    const descriptors = openDescriptorStore(process.env, new ServiceManager(process.env));
    dataplane = await openDataplane({ ...request.options, descriptors }, log, {
      tuning: request.tuning ?? {},
      ...(request.cipher !== undefined && { cipher: request.cipher }),
      startWorker: async (birth, listener) => (worker = await WorkerThread.start(birth, listener)),
    });
    dataplane.onEvent((event) => events.push(event));
    return { taps: [...dataplane.taps.values()], io: dataplane.ioDescription, notes };
  }
  if (dataplane === undefined) throw new Error('not open');
  switch (request.call) {
    case 'apply':
      return dataplane.apply(request.changes);
    case 'counters':
      return dataplane.counters();
    case 'fdb':
      return dataplane.fdb();
    case 'events':
      return events;
    case 'health':
      return { stallSeconds: dataplane.takeStallSeconds(), heartbeatAgeMs: dataplane.heartbeatAgeMs() };
    case 'notes':
      return notes;
    case 'namespaces':
      return threadNamespaces();
    case 'open-port':
      return dataplane.openPort(request.spec);
    case 'open-ports':
      return openPorts(dataplane, request.specs);
    case 'mtu':
      return dataplane.setTapMtu(request.port, request.mtu);
    case 'bind':
      return dataplane.updateBinding(request.port, request.binding);
    case 'close-port':
      return dataplane.closePort(request.port, request.removeTap);
    case 'poison':
      return poison();
    case 'peer':
      return dataplane.peerCounters(request.peer);
    case 'session': {
      const { localIndex, remoteIndex, peer, sealWith, openWith } = request;
      const [sealKey, openKey] = [new Uint8Array(32).fill(sealWith), new Uint8Array(32).fill(openWith)];
      const isAdded = dataplane.addSession({ localIndex, remoteIndex, peer, sealKey, openKey });
      dataplane.useSession(localIndex);
      return isAdded;
    }
    default:
      await dataplane.stop(request.removeTaps);
      setImmediate(() => process.disconnect()); // after the answer; nothing else keeps this process alive
      return undefined;
  }
}

process.on('message', ({ id, request }: { id: number; request: Request }) => {
  answer(request).then(
    (result) => process.send?.({ id, result } satisfies Reply),
    (error: unknown) => {
      const { message } = error as Error;
      const code = error instanceof OverlaydError ? error.code : 'OTHER';
      const hint = error instanceof OverlaydError && error.hint !== undefined ? { hint: error.hint } : {};
      process.send?.({ id, error: { code, message, ...hint } } satisfies Reply);
    },
  );
});
