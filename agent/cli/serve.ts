/**
 * `overlayd run` from configuration to exit code: start, say so, react to signals, stop.
 *
 * Before anything is touched, it is made sure that no other daemon is alive on our socket. What `startDaemon` began it
 * undoes itself when it fails; what it returned is stopped here, whatever happens.
 */
import { claimSocket } from '../api/socket.ts';
import { loadConfig } from '../config/load.ts';
import type { Sources } from '../config/load.ts';
import { reloadableChanges, withRunningMtus } from '../config/reload.ts';
import type { NetworkConfig } from '../config/run-config.ts';
import { thisMachine } from '../config/underlay.ts';
import { OverlaydError } from '../errors.ts';
import { createLog } from '../log.ts';
import type { ChangeableLog, Log } from '../log.ts';
import type { ServiceManager } from '../io/service-manager.ts';
import type { Daemon, StartupNetwork } from '../status.ts';
import { EXIT } from './context.ts';
import type { CliContext } from './context.ts';
import { dockerHelp, renderReport } from './report.ts';
import { StopSignals } from './signals.ts';
import { feedWatchdog } from './watchdog.ts';

/** Leaving tells every peer; who cannot be told in this time will find out by itself. */
const STOP_DEADLINE_MS = 15_000;

/** Resolves with the exit code when the daemon has ended. Throws OverlaydError when it cannot start. */
export async function serve(sources: Sources, context: CliContext): Promise<number> {
  // First: a signal that comes while this starts is not to end it in the middle.
  const signals = new StopSignals(context.err);
  try {
    // It may wait for a carrier.
    const loaded = await Promise.race([loadConfig(sources, thisMachine), signals.stop]);
    if (loaded === undefined) return EXIT.good;
    const { config, warnings } = loaded;
    const log = createLog({ level: config.logLevel, format: config.logFormat });
    for (const warning of warnings) log.warn({}, warning);
    await claimSocket(config.socket);
    const { ServiceManager } = await import('../io/service-manager.ts');
    const { openDescriptorStore } = await import('../io/descriptor-store.ts');
    const { startDaemon } = await import('../daemon.ts');
    const manager = new ServiceManager(context.environment);
    const daemon = await startDaemon(config, openDescriptorStore(context.environment, manager), log);
    context.err(renderReport(daemon.report()));
    log.info({ addr: config.advertiseAddr }, `${config.nodeName} is up`);
    manager.ready(`${config.nodeName} is up`);
    const unwatch = feedWatchdog(manager, () => daemon.heartbeatAgeMs());
    signals.onReload(reloader(sources, daemon, log, manager));
    const failure = await Promise.race([signals.stop, daemon.failed]);
    if (failure === undefined) log.info({}, 'stopping');
    else log.error({ err: failure }, 'cannot go on');
    manager.stopping();
    const stopped = await stopInTime(daemon, daemon.config().removeTapsOnExit, log);
    unwatch();
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

/** One line, for the service manager. */
function reasonOf(error: unknown): string {
  const code = error instanceof OverlaydError ? ` (${error.code})` : '';
  const message = error instanceof Error ? error.message : String(error);
  return `${message.split('\n', 1)[0]}${code}`;
}

/** As the start-up report says it. */
function sayAdded(before: readonly NetworkConfig[], now: readonly StartupNetwork[], log: Log): void {
  const known = new Set(before.map(({ name }) => name));
  for (const network of now) {
    if (known.has(network.name)) continue;
    const { name, vni, tap, mtu } = network;
    log.info({ network: name, vni, tap, mtu }, `to put containers on it: ${dockerHelp(network)}`);
  }
}

/** SIGHUP: read everything again, refuse or take over as a whole. One at a time, in order. */
function reloader(sources: Sources, daemon: Daemon, log: ChangeableLog, manager: ServiceManager): () => void {
  let last = Promise.resolve();
  const reload = async (): Promise<void> => {
    manager.reloading();
    let outcome: string;
    try {
      const before = daemon.config();
      const config = withRunningMtus(before, (await loadConfig(sources, thisMachine)).config);
      const changes = reloadableChanges(before, config);
      await daemon.reload(config);
      log.level = config.logLevel;
      log.format = config.logFormat;
      sayAdded(before.networks, daemon.report().networks, log);
      outcome = `reloaded: ${changes.join(', ') || 'nothing changed'}`;
      log.info({ count: changes.length }, outcome);
    } catch (err) {
      log.error({ err }, 'reload refused; everything stays as it was');
      outcome = `reload refused; everything stays as it was: ${reasonOf(err)}`;
    }
    manager.ready(outcome);
  };
  return () => {
    last = last.then(reload);
  };
}
