/**
 * Everything that has to do with Docker on this host, put together: the watcher on its events, the plugin on its socket,
 * the reconciler between both.
 *
 * A host without Docker is as good as any other: nothing here fails for want of it. The plugin stands before Docker does
 * (its own socket), so that containers which start with the host find it.
 */
import { basename, join } from 'node:path';
import { wallMs } from '../clock.ts';
import { systemRng } from '../entropy.ts';
import type { Log } from '../log.ts';
import type { Networks } from '../networks/interface.ts';
import { DockerApi } from './client/api.ts';
import { EventStream } from './client/events.ts';
import type { DockerNetwork } from './client/schemas.ts';
import { Book } from './driver/book.ts';
import type { DriverAddresses, DriverDeps } from './driver/deps.ts';
import { IpamDriver } from './driver/ipam-driver.ts';
import { DockerEndpoints } from './driver/docker-endpoints.ts';
import { DockerNetworks } from './driver/docker-networks.ts';
import { DockerReconciler } from './driver/reconcile.ts';
import { Resolver } from './driver/resolver.ts';
import { PluginDoor } from './driver/plugin-door.ts';
import { startPlugin } from './driver/server.ts';
import { DockerWatcher } from './watcher/watcher.ts';

const STATE_FILE = 'docker.jsonl';
/** Without an occasion. */
const RECONCILE_MS = 60_000;
/** Between attempts at the socket that nobody asked for. */
const RETRY_MS = 10_000;

export interface DockerOptions {
  /** The plugin's socket; undefined: no driver. */
  readonly plugin: { readonly path: string; readonly isDefault: boolean } | undefined;
  /** Docker's own socket; undefined: Docker is not asked. */
  readonly socket: string | undefined;
  readonly scope: 'local' | 'global';
  readonly stateDir: string;
  readonly sealingProblem: string | undefined;
  readonly networks: Networks;
  readonly addresses: DriverAddresses;
  /** Name of the network whose TAP this is. */
  tapNetwork(interfaceName: string): string | undefined;
  readonly log: Log;
  readonly retryMs?: number;
}

export interface DockerSide {
  /** Undefined: there is no driver, or none yet. */
  readonly driver: { readonly name: string; readonly path: string } | undefined;
  close(): Promise<void>;
}

/** Throws OverlaydError when the plugin's socket was asked for and cannot be had. */
export async function openDocker(options: DockerOptions): Promise<DockerSide> {
  const { networks, log, socket } = options;
  const api = socket === undefined ? undefined : new DockerApi(socket);
  const driver = options.plugin === undefined ? undefined : await openDriver(options, options.plugin, api);
  const reconcile = async (found: readonly DockerNetwork[]): Promise<void> => {
    if (driver?.door.isOpen === true) await driver.reconciler.reconcile(found);
  };
  const watcher =
    api &&
    new DockerWatcher({
      api,
      tapNetwork: (name) => options.tapNetwork(name),
      driverNetwork: (id) => driver?.book.networks.get(id)?.overlay?.name,
      describeMac: (network, mac, info) => networks.describeMac(network, mac, info),
      onNetworks: reconcile,
      log,
    });
  const events = api && watcher && new EventStream(api, watcher, log);
  networks.onChange(() => watcher?.refresh());
  driver?.door.onOpen(() => watcher?.refresh());
  const timer = setInterval(() => watcher?.refresh(), RECONCILE_MS);
  const { plugin } = options;
  return {
    get driver() {
      return driver?.door.isOpen === true && plugin
        ? { name: driverName(plugin.path), path: plugin.path }
        : undefined;
    },
    async close() {
      clearInterval(timer);
      // No further call is taken; those in work are answered.
      await driver?.door.close();
      watcher?.close();
      await events?.close();
      driver?.resolver.close();
      driver?.networks.close();
      await api?.close();
      driver?.book.close();
    },
  };
}

/** Docker takes the name of the socket's file. */
function driverName(path: string): string {
  return basename(path, '.sock');
}

interface Driver {
  readonly book: Book;
  readonly door: PluginDoor;
  readonly resolver: Resolver;
  readonly networks: DockerNetworks;
  readonly reconciler: DockerReconciler;
}

async function openDriver(
  options: DockerOptions,
  plugin: NonNullable<DockerOptions['plugin']>,
  docker: DockerApi | undefined,
): Promise<Driver | undefined> {
  const { networks, addresses, scope, sealingProblem, log, stateDir } = options;
  const book = new Book(join(stateDir, STATE_FILE), log);
  addresses.restore?.(book.claimed());
  const deps: DriverDeps = {
    book,
    networks,
    addresses,
    docker,
    driverName: driverName(plugin.path),
    scope,
    sealingProblem,
    rng: systemRng(),
    now: wallMs,
    log,
  };
  const resolver = new Resolver(deps);
  const endpoints = new DockerEndpoints(deps, resolver);
  const ipam = new IpamDriver(deps, resolver, endpoints);
  const dockerNetworks = new DockerNetworks(deps, resolver, endpoints, ipam);
  const reconciler = new DockerReconciler(deps, { networks: dockerNetworks, endpoints, ipam, resolver });
  await reconciler.restore();
  const drivers = { networks: dockerNetworks, endpoints, ipam, scope };
  const door = new PluginDoor(() => startPlugin(drivers, plugin.path, log), log);
  try {
    const isThere = await door.open(plugin, options.retryMs ?? RETRY_MS);
    if (isThere) return { book, door, resolver, reconciler, networks: dockerNetworks };
  } catch (error) {
    book.close();
    throw error;
  }
  book.close();
  return undefined;
}
