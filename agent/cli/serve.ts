/**
 * `overlayd run` from configuration to exit code: start, say so, react to signals, stop.
 *
 * Before anything is touched, it is made sure that no other daemon is alive on our socket. What `startDaemon` began it
 * undoes itself when it fails; what it returned is stopped here, whatever happens.
 */
import { claimSocket } from '../api/socket.ts';
import { loadConfig } from '../config/load.ts';
import type { Sources } from '../config/load.ts';
import { reloadableChanges } from '../config/reload.ts';
import type { RunConfig } from '../config/run-config.ts';
import { thisMachine } from '../config/underlay.ts';
import { createLog } from '../log.ts';
import type { Log } from '../log.ts';
import type { Daemon } from '../status.ts';
import { EXIT } from './context.ts';
import type { CliContext } from './context.ts';
import { renderReport } from './report.ts';
import { StopSignals } from './signals.ts';

/** Leaving tells every peer; who cannot be told in this time will find out by itself. */
const STOP_DEADLINE_MS = 15_000;

/** Resolves with the exit code when the daemon has ended. Throws OverlaydError when it cannot start. */
export async function serve(sources: Sources, context: CliContext): Promise<number> {
  const { config, warnings } = await loadConfig(sources, thisMachine);
  const log = createLog({ level: config.logLevel, format: config.logFormat });
  for (const warning of warnings) log.warn({}, warning);
  await claimSocket(config.socket);
  const signals = new StopSignals(context.err);
  try {
    const { startDaemon } = await import('../daemon.ts');
    const daemon = await startDaemon(config, log);
    context.err(renderReport(daemon.report()));
    log.info({ addr: config.advertiseAddr }, `${config.nodeName} is up`);
    signals.onReload(reloader(sources, config, daemon, log));
    const failure = await Promise.race([signals.stop, daemon.failed]);
    if (failure === undefined) log.info({}, 'stopping');
    else log.error({ err: failure }, 'cannot go on');
    const stopped = await stopInTime(daemon, config.removeTapsOnExit, log);
    return failure === undefined && stopped ? EXIT.good : EXIT.failed;
  } finally {
    signals.dispose();
  }
}

/** True when everything came down as it should. */
async function stopInTime(daemon: Daemon, removeTaps: boolean, log: Log): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<false>((resolve) => {
    timer = setTimeout(() => {
      log.warn({ durationMs: STOP_DEADLINE_MS }, 'stopping took too long');
      resolve(false);
    }, STOP_DEADLINE_MS);
  });
  const stop = async (): Promise<boolean> => {
    try {
      await daemon.stop({ removeTaps });
      return true;
    } catch (err) {
      log.error({ err }, 'stopping failed');
      return false;
    }
  };
  const inTime = await Promise.race([stop(), deadline]);
  clearTimeout(timer);
  return inTime;
}

/** SIGHUP: read everything again, refuse or take over as a whole. One at a time, in order. */
function reloader(sources: Sources, started: RunConfig, daemon: Daemon, log: Log): () => void {
  let running = started;
  let last = Promise.resolve();
  const reload = async (): Promise<void> => {
    try {
      const { config } = await loadConfig(sources, thisMachine);
      const changes = reloadableChanges(running, config);
      await daemon.reload(config);
      log.level = config.logLevel;
      running = config;
      log.info({ count: changes.length }, `reloaded: ${changes.join(', ') || 'nothing changed'}`);
    } catch (err) {
      log.error({ err }, 'reload refused; everything stays as it was');
    }
  };
  return () => {
    last = last.then(reload);
  };
}
