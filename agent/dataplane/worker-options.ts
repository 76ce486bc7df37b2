/** What a worker is given at birth, and what it may say afterwards. Plain data: it crosses threads. */

import type { CipherName } from './session-keys.ts';

/** Numbers that trade latency, throughput and CPU; found by measuring, see loop-batch.ts. */
export interface LoopTuning {
  /** Frames read from one TAP before anything else is looked at. */
  readonly tapBatch: number;
  /** Empty breaths before the worker blocks in poll. */
  readonly spin: number;
}

export const DEFAULT_TUNING: LoopTuning = { tapBatch: 64, spin: 0 };

export interface WorkerOptions {
  readonly io: 'batch' | 'dgram';
  readonly memory: WebAssembly.Memory;
  readonly control: SharedArrayBuffer;
  /** Rung by the main thread after it wrote commands or asked for a stop. */
  readonly eventFd: number;
  /** For TAPs at rest; of the batch loop alone. */
  readonly epollFd: number;
  /** Of PortBoard: the TAPs. */
  readonly board: SharedArrayBuffer;
  readonly receiveFd: number;
  readonly transmitFds: readonly number[];
  readonly addressFamily: 'udp4' | 'udp6';
  /** Seeds the core's hashes. */
  readonly seed: number;
  readonly tuning: LoopTuning;
  readonly cipher: CipherName;
  /** Of SessionKeys. */
  readonly sessionKeys: SharedArrayBuffer;
}

export type WorkerMessage =
  | { readonly type: 'ready' }
  /** Events wait in the core's ring. */
  | { readonly type: 'events' }
  /** The kernel cuts no runs of datagrams to some peer (said once): they go one by one. */
  | { readonly type: 'runs-refused'; readonly errno: number }
  /** The interface was deleted under us. */
  | { readonly type: 'tap-gone'; readonly port: number }
  /** The core trapped or the loop threw; the worker has ended. */
  | { readonly type: 'trap'; readonly message: string; readonly stack: string };
