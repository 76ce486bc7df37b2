/** The only real clocks. Everything else takes time as an argument. */

/** Monotonic milliseconds since an arbitrary point; never goes backwards. */
export function monotonicMs(): number {
  return performance.now();
}

/** Milliseconds since 1970; may jump. For epochs and hybrid clocks only, never for timers. */
export function wallMs(): number {
  return Date.now();
}
