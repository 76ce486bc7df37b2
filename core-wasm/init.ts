/** Start of an instance: the address of the memory, the hash secrets, and tables ready for the first breath. */
import { STATE_ADDRESS, STATE_SEED_A, STATE_SEED_B } from './layout';
import { wide } from './bytes';
import { fdbInit } from './fdb';
import { setDefaults } from './config';
import { armAll } from './receive';
import { txReset } from './transmit';
import { outReset } from './out';

/** SplitMix64's finaliser (Steele et al. 2014): spreads a seed's bits. */
function spread(seed: u64): u64 {
  let z = seed;
  z = (z ^ (z >> 30)) * wide(0xbf58476d, 0x1ce4e5b9);
  z = (z ^ (z >> 27)) * wide(0x94d049bb, 0x133111eb);
  return z ^ (z >> 31);
}

export function init(base: f64, seed: f64): void {
  store<u64>(STATE_ADDRESS, base as u64);
  const bits = reinterpret<u64>(seed);
  store<u64>(STATE_SEED_A, spread(bits + wide(0x9e3779b9, 0x7f4a7c15)));
  store<u64>(STATE_SEED_B, spread(bits + wide(0x3c6ef372, 0xfe94f82a)) | 1);
  setDefaults();
  fdbInit();
  armAll();
  txReset();
  outReset();
}
