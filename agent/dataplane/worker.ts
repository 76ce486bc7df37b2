/**
 * Entry of a data plane worker thread: builds the core over its memory and breathes until told to stop.
 *
 * A trap ends the worker, never the daemon: it is reported, and the supervisor starts another one over fresh memory
 * and tables.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { addressOf } from '../io/libc.ts';
import { openCipher } from './cipher.ts';
import { ControlBlock } from './control-block.ts';
import { loadCore } from './core.ts';
import { BatchLoop } from './loop-batch.ts';
import { DgramLoop } from './loop-dgram.ts';
import { PortBoard } from './port-board.ts';
import type { WorkerMessage, WorkerOptions } from './worker-options.ts';

function post(message: WorkerMessage): void {
  parentPort?.postMessage(message, []);
}

function failed(error: unknown): void {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  post({ type: 'trap', message, stack: stack ?? '' });
  parentPort?.close();
}

function start(): void {
  const options = workerData as WorkerOptions;
  try {
    const control = new ControlBlock(options.control);
    const board = new PortBoard(options.board);
    const { memory, seed } = options;
    const base = addressOf(new Uint8Array(memory.buffer));
    const core = loadCore({ memory, seed, addressOf: () => base });
    const cipher = openCipher(options.cipher, core, base, options.sessionKeys);
    if (options.io === 'batch') {
      const loop = new BatchLoop(options, core, cipher, control, board, base, post);
      post({ type: 'ready' });
      loop.run();
      parentPort?.close();
    } else {
      const loop = new DgramLoop(options, core, cipher, control, board, base, post, failed);
      loop.start();
    }
  } catch (error) {
    failed(error);
  }
}

start();
