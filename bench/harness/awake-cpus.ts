/**
 * Keeps idle CPUs polling instead of halting while the bench runs, by a PM QoS request of zero latency.
 *
 * A halted virtual CPU costs 50 µs and more to wake (measured: loopback TCP ping-pong 145 µs against 22), which would
 * hide what the paths themselves cost; a busy host's CPUs do not halt. It holds for reference and peers alike.
 */

import { closeSync, openSync, writeSync } from 'node:fs';

const DEVICE = '/dev/cpu_dma_latency';

/** The request lasts until `release`; undefined where the kernel has no such device or no rights are given. */
export function keepCpusAwake(): { release(): void } | undefined {
  try {
    const fd = openSync(DEVICE, 'r+');
    writeSync(fd, new Int32Array([0]));
    return { release: () => closeSync(fd) };
  } catch {
    return undefined;
  }
}
