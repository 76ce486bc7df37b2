import { randomFillSync } from 'node:crypto';
import type { Rng } from '../proto/env.ts';

/** The operating system's randomness behind the interface that protocol code takes. */
export function systemRng(): Rng {
  const pool = new Uint32Array(256);
  let used = pool.length;
  const u32 = (): number => {
    if (used === pool.length) {
      randomFillSync(pool);
      used = 0;
    }
    return pool[used++] as number;
  };
  return {
    u32,
    float: () => u32() / 0x1_0000_0000,
    fill: (bytes) => {
      randomFillSync(bytes);
    },
  };
}
