/** A small seeded generator (mulberry32) behind the Rng interface, for tests that must repeat. */
import type { Rng } from '../../../proto/env.ts';

export function seededRng(seed: number): Rng {
  let s = seed >>> 0;
  const u32 = (): number => {
    s = (s + 0x6d2b79f5) >>> 0;
    let t = Math.imul(s ^ (s >>> 15), 1 | s);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
  return {
    u32,
    float: () => u32() / 0x1_0000_0000,
    fill: (bytes) => {
      for (let i = 0; i < bytes.length; i++) bytes[i] = u32() & 255;
    },
  };
}
