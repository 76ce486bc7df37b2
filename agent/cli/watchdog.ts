/**
 * Feeds the service manager's watchdog from the packet loop's heartbeat: a daemon whose loop hangs, and cannot be mended by
 * itself (agent/dataplane/supervisor.ts replaces a worker after ten seconds), falls silent and is started anew.
 */
export interface Watched {
  readonly watchdogMs: number | undefined;
  alive(): void;
}

const FEEDS_PER_PERIOD = 4;

/** Returns what ends it. */
export function feedWatchdog(manager: Watched, heartbeatAgeMs: () => number): () => void {
  const { watchdogMs } = manager;
  if (watchdogMs === undefined) return () => undefined;
  const timer = setInterval(() => {
    if (heartbeatAgeMs() < watchdogMs / 2) manager.alive();
  }, watchdogMs / FEEDS_PER_PERIOD);
  return () => clearInterval(timer);
}
