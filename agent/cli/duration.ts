/** Durations on the command line. */
import { InvalidArgumentError } from 'commander';
import { parseInterval } from '../config/interval.ts';

/** Milliseconds. Throws commander's InvalidArgumentError. */
export function parseDuration(text: string): number {
  const durationMs = parseInterval(text);
  if (durationMs === undefined) throw new InvalidArgumentError('Expected 500ms, 30s, 2m or 1h.');
  return durationMs;
}
