/**
 * The `Dataplane` of dataplane.ts: descriptors, workers and tables held together.
 *
 * It owns the TAPs and sockets, so a worker that traps is replaced without an interface or the port being let go; the
 * new one gets the same tables from the mirror, and the ports that are open then. Local MACs that one worker learns are
 * given to the others. Counters are sums over workers (tally.ts).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { monotonicMs } from '../clock.ts';
import { OverlaydError } from '../errors.ts';
import { addressFamily } from '../io/sockaddr.ts';
import { AF_INET, errnoName } from '../io/libc.ts';
import { limitTapChildren } from '../io/tap-children.ts';
import { closeUdp, openUdp } from '../io/udp.ts';
import type { UdpSockets } from '../io/udp.ts';
import { CommandEncoder } from './commands.ts';
import type { Command } from './commands.ts';
import { constant, loadCore } from './core.ts';
import type { Core } from './core.ts';
import type { CoreConstants } from './core-exports.ts';
import { readFdb, readSession } from './core-reader.ts';
import type { PeerCounters } from './core-reader.ts';
import type {
  Dataplane,
  DataplaneCounters,
  DataplaneEvent,
  DataplaneOptions,
  FdbRow,
  OpenedTap,
  PortBinding,
  TableChange,
  TapSpec,
} from './dataplane.ts';
import { describeIo } from './io-description.ts';
import { LocalMacs } from './local-macs.ts';
import type { CoreEvent } from './events.ts';
import type { Log } from './log.ts';
import { Ports } from './ports.ts';
import type { OpenPort } from './ports.ts';
import { Pulse } from './pulse.ts';
import { isProbe } from '../../proto/pmtu/messages.ts';
import { SessionKeys, bestCipher } from './session-keys.ts';
import type { CipherName } from './session-keys.ts';
import { Sessions } from './sessions.ts';
import type { NewSession } from './sessions.ts';
import { TableMirror } from './tables.ts';
import { Tally } from './tally.ts';
import { DEFAULT_TUNING } from './worker-options.ts';
import type { LoopTuning } from './worker-options.ts';
import { WorkerThread } from './worker-thread.ts';
import type { WorkerListener } from './worker-thread.ts';

const CHECK_MS = 500;
/** A breath takes microseconds; a worker silent for so long is caught in a loop. */
const HANG_MS = 5000;
const RESTART_FIRST_MS = 10;
const RESTART_LAST_MS = 1000;
/** The core's ageing time, and its walk over the table. */
const RELEARN_MS = 360_000;
const LET_GO_CHECK_MS = 1;
const COMPARE_MS = 1000;
const CALM_MS = 10_000; // after so long without a trap the pause starts small again

/** For benches and tests. */
export interface Internals {
  readonly tuning?: Partial<LoopTuning>;
  readonly startWorker?: typeof WorkerThread.start;
  readonly cipher?: CipherName;
}

/** Opens TAPs and sockets and starts the workers. All or nothing; throws OverlaydError. */
export async function openDataplane(
  options: DataplaneOptions,
  log: Log,
  internals: Internals = {},
): Promise<Dataplane> {
  const { constants } = loadCore({ attach: true });
  const ports = new Ports(options, {
    ports: constant(constants, 'PORT_MAX'),
    networks: constant(constants, 'NETWORK_MAX'),
    bindingIps: constant(constants, 'BINDING_IPS'),
  });
  let sockets: UdpSockets | undefined;
  try {
    for (const tap of options.taps) ports.open(tap, true);
    sockets = openUdp({
      addr: options.dataPathAddr,
      port: options.dataPort,
      receivers: options.workers,
      transmitters: options.io === 'batch' ? constant(constants, 'TX_SOCKETS') : 0,
      gro: options.io === 'batch',
    });
    for (const { tap } of ports.all()) warn(log, tap.notes);
    warn(log, sockets.notes);
    const supervisor = new Supervisor(options, internals, log, constants, ports, sockets);
    await supervisor.start();
    return supervisor;
  } catch (error) {
    if (sockets !== undefined) closeUdp(sockets);
    await ports.closeAll(({ tap }) => !tap.existed);
    throw error;
  }
}

function warn(log: Log, notes: readonly string[]): void {
  for (const note of notes) log.warn({}, note);
}

class Supervisor implements Dataplane, WorkerListener {
  readonly taps: ReadonlyMap<number, OpenedTap>;
  readonly limits: Dataplane['limits'];
  readonly cipherDescription: string;
  readonly #options: DataplaneOptions;
  readonly #tuning: LoopTuning;
  readonly #newWorker: typeof WorkerThread.start;
  readonly #log: Log;
  readonly #encoder: CommandEncoder;
  readonly #ports: Ports;
  readonly #closing = new Set<Promise<void>>();
  readonly #sockets: UdpSockets;
  readonly #mirror = new TableMirror();
  readonly #localMacs = new LocalMacs();
  readonly #keys: SessionKeys;
  readonly #sessions: Sessions;
  readonly #listeners: ((event: DataplaneEvent) => void)[] = [];
  readonly #workers: (WorkerThread | undefined)[] = [];
  readonly #pulse = new Pulse();
  /** Workers in the place of dead ones, until they are there. */
  readonly #reviving = new Set<Promise<void>>();
  readonly #tally = new Tally();
  #restarts = 0;
  #restartMs = RESTART_FIRST_MS;
  #lastDeath = 0;
  #timer: NodeJS.Timeout | undefined;
  #compareLater: NodeJS.Timeout | undefined;
  #stopped = false;
  #isRunRefused = false;
  /** After a stop: when all workers have ended. */
  #ended: Promise<void> | undefined;
  #unwatchChildren: () => void = () => undefined;

  constructor(
    options: DataplaneOptions,
    internals: Internals,
    log: Log,
    constants: CoreConstants,
    ports: Ports,
    sockets: UdpSockets,
  ) {
    this.#options = options;
    this.#tuning = { ...DEFAULT_TUNING, ...internals.tuning };
    this.#newWorker = internals.startWorker ?? ((birth, listener) => WorkerThread.start(birth, listener));
    this.#log = log;
    this.#encoder = new CommandEncoder(constants);
    this.#keys = new SessionKeys(internals.cipher ?? bestCipher(), constant(constants, 'SESSION_MAX'));
    this.#sessions = new Sessions(constants, this.#keys);
    this.#ports = ports;
    this.#sockets = sockets;
    this.taps = ports.opened;
    this.limits = ports.limits;
    this.cipherDescription =
      this.#keys.name === 'openssl' ? 'AES-256-GCM by OpenSSL' : 'AES-256-GCM by node:crypto, slower';
  }

  async start(): Promise<void> {
    try {
      for (let index = 0; index < this.#options.workers; index++) await this.#startWorker(index);
    } catch (error) {
      await Promise.all(this.#live().map((worker) => worker.stop()));
      throw error;
    }
    this.#timer = setInterval(() => this.#check(), CHECK_MS);
    if (this.#options.io === 'batch') this.#unwatchChildren = limitTapChildren(this.#ports.childLimits);
  }

  get ioDescription(): string {
    return describeIo(this.#options.io, [...this.taps.values()], this.#sockets, this.#isRunRefused);
  }

  openPort(spec: TapSpec): OpenedTap {
    if (this.#stopped) throw new OverlaydError('OVL_PORT', 'the data path has been stopped');
    const port = this.#ports.open(spec, spec.isNeeded === true);
    warn(this.#log, port.tap.notes);
    this.#tell(this.#portRows(port));
    return port.opened;
  }

  updateBinding(port: number, binding: PortBinding | undefined): void {
    this.#ports.bind(port, binding);
    this.#tell(this.#encoder.binding(port, binding));
  }

  async closePort(port: number, removeTap: boolean): Promise<void> {
    const closing = this.#closePort(this.#ports.withdraw(port), removeTap);
    this.#closing.add(closing);
    await closing.finally(() => this.#closing.delete(closing));
  }

  async #closePort(port: OpenPort, removeTap: boolean): Promise<void> {
    const { spec } = port;
    this.#tell([this.#encoder.portGone(spec.port)]);
    const told = this.#live().map((worker) => ({ worker, sequence: worker.commands.last }));
    for (const mac of this.#localMacs.takePort(spec.network, spec.port)) {
      this.#emit({ type: 'mac-expired', network: spec.network, port: spec.port, mac });
    }
    const isDone = ({ worker, sequence }: (typeof told)[number]): boolean =>
      !this.#workers.includes(worker) || worker.commands.hasTaken(sequence);
    while (!this.#stopped && (this.#ports.isHeld(spec.port) || !told.every(isDone))) {
      await sleep(LET_GO_CHECK_MS);
    }
    await this.#ended;
    // What the port's last frames taught must not be taken for news of the next one with its number.
    for (const { worker } of told) if (this.#workers.includes(worker)) this.onEvents(worker);
    await this.#ports.close(port, removeTap);
  }

  #portRows({ spec, opened, binding }: OpenPort): Command[] {
    const bound = binding === undefined ? [] : this.#encoder.binding(spec.port, binding);
    return [...bound, this.#encoder.port(spec, opened.offload, opened.udpOffload)];
  }

  apply(changes: readonly TableChange[]): void {
    const commands: Command[] = [];
    for (const change of changes) {
      commands.push(this.#encoder.change(change));
      this.#mirror.apply(change);
      if (change.op === 'network-del') this.#dropNetwork(change.network);
      if (change.op === 'peer-del') this.#tally.forgetPeer(change.peer);
      if (change.op === 'fdb-put') this.#localMacs.delete(change.network, change.mac);
    }
    this.#tell(commands);
  }

  #dropNetwork(network: number): void {
    this.#localMacs.deleteNetwork(network);
    if (![...this.#ports.all()].some(({ spec }) => spec.network === network)) return;
    // What was learnt there in this moment may be said yet, of rows that are gone.
    clearTimeout(this.#compareLater);
    this.#compareLater = setTimeout(() => this.#resync(), COMPARE_MS);
  }

  onEvent(listener: (event: DataplaneEvent) => void): void {
    this.#listeners.push(listener);
  }

  addSession(session: NewSession): boolean {
    return this.#command(this.#sessions.add(session));
  }

  useSession(localIndex: number): void {
    this.#command(this.#sessions.use(localIndex));
  }

  removeSession(localIndex: number): void {
    this.#command(this.#sessions.remove(localIndex));
  }

  sessionCounters(localIndex: number): { sealed: number; highest: number } {
    const place = this.#sessions.place(localIndex);
    const [worker] = this.#live(); // sealed networks have one
    if (place === undefined || worker === undefined) return { sealed: 0, highest: 0 };
    return readSession(worker.core, place);
  }

  #command(command: Command | undefined): boolean {
    if (command === undefined) return false;
    this.#tell([command]);
    return true;
  }

  #tell(commands: readonly Command[]): void {
    for (const worker of this.#live()) worker.commands.push(commands);
  }

  setTapMtu(port: number, mtu: number): void {
    this.#ports.setMtu(port, mtu);
  }

  counters(): DataplaneCounters {
    const { counters, drops } = this.#tally.counters(this.#cores());
    counters['worker-restarts'] = this.#restarts;
    return { counters, drops };
  }

  fdb(): FdbRow[] {
    const rows = new Map<string, FdbRow>();
    for (const { core } of this.#live()) {
      for (const row of readFdb(core)) {
        const key = `${row.network} ${row.mac}`;
        if (rows.get(key)?.learned !== true) rows.set(key, row); // the worker that learnt it knows best
      }
    }
    return [...rows.values()];
  }

  peerCounters(peer: number): PeerCounters {
    return this.#tally.peer(peer, this.#cores());
  }

  takeStallSeconds(): number {
    return Math.max(0, ...this.#live().map((worker) => worker.control.takeLongestGapUs())) / 1e6;
  }

  heartbeatAgeMs(): number {
    const now = monotonicMs();
    const alive = this.#live().map((worker) => worker.control.heartbeatAgeMs(now));
    return this.#pulse.ageMs(now, alive);
  }

  async stop(removeTaps: boolean): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    clearInterval(this.#timer);
    clearTimeout(this.#compareLater);
    this.#unwatchChildren();
    // One that is being started ends as soon as it is there; until then it may hold what is closed below.
    const ends = [...this.#live().map((worker) => worker.stop()), ...this.#reviving];
    this.#ended = Promise.all(ends).then(() => undefined);
    await this.#ended;
    await Promise.all(this.#closing);
    closeUdp(this.#sockets);
    await this.#ports.closeAll(() => removeTaps);
    this.#sessions.drop();
  }

  // ── WorkerListener ──

  onEvents(worker: WorkerThread): void {
    for (const event of worker.events.drain()) this.#take(event, worker);
    for (const punt of worker.punts.drain()) {
      this.#emit({ type: isProbe(punt.bytes) ? 'probe' : 'handshake', ...punt });
    }
    if (worker.events.takeLost()) {
      this.#log.warn({}, 'data plane events were lost; comparing tables');
      this.#resync();
    }
  }

  onTapGone(_worker: WorkerThread, index: number): void {
    const port = this.#ports.get(index);
    if (port === undefined || port.isGone) return; // being closed, or another worker said so
    port.isGone = true;
    const { name } = port.opened;
    if (!port.isFixed) {
      this.#emit({ type: 'tap-gone', port: index, name });
      return;
    }
    const error = new OverlaydError('OVL_TAP_GONE', `TAP ${name} was deleted while in use`, {
      hint: 'Restart overlayd to make it again, then restart the containers that were on it.',
      details: { tap: name },
    });
    this.#emit({ type: 'failed', error });
  }

  onRunsRefused(_worker: WorkerThread, errno: number): void {
    if (this.#isRunRefused) return;
    this.#isRunRefused = true;
    const hint =
      'With IPsec on the underlay that is so; otherwise "ethtool -K DEVICE tx on", or Linux 6.10 or newer, makes it fast.';
    this.#log.warn(
      { error: errnoName(errno), hint },
      'the kernel cuts no runs of datagrams to a peer; they go one by one, slower',
    );
  }

  onDeath(worker: WorkerThread, error: Error): void {
    const index = this.#workers.indexOf(worker);
    this.#workers[index] = undefined;
    this.#ports.boards[index]?.releaseAll();
    this.#bury(worker);
    this.#restarts++;
    // It alone knew which counters had been received: nothing may be opened by their keys again.
    const localIndexes = this.#sessions.drop();
    if (localIndexes.length > 0) this.#emit({ type: 'sessions-lost', localIndexes });
    this.#log.error({ err: error, worker: index }, 'data plane worker died; starting another');
    const now = monotonicMs();
    this.#restartMs =
      now - this.#lastDeath > CALM_MS ? RESTART_FIRST_MS : Math.min(this.#restartMs * 2, RESTART_LAST_MS);
    this.#lastDeath = now;
    this.#pulse.died(index, now);
    setTimeout(() => this.#revive(index), this.#restartMs);
  }

  // ── Workers ──

  /** What no doorbell tells: events left behind, and a worker that hangs. */
  #check(): void {
    const now = monotonicMs();
    for (const worker of this.#live()) {
      this.onEvents(worker);
      if (!worker.isHung(now, HANG_MS)) continue;
      this.#log.error({}, 'a data plane worker hangs; ending it');
      worker.terminate();
    }
  }

  #live(): WorkerThread[] {
    return this.#workers.filter((worker) => worker !== undefined);
  }

  #cores(): Core[] {
    return this.#live().map((worker) => worker.core);
  }

  async #startWorker(index: number): Promise<void> {
    const { io, dataPathAddr } = this.#options;
    const board = this.#ports.boards[index];
    if (board === undefined) throw new RangeError(`no worker has place ${index}`);
    const worker = await this.#newWorker(
      {
        io,
        board: board.buffer,
        receiveFd: this.#sockets.receive[index] ?? -1,
        transmitFds: this.#sockets.transmit[index] ?? [],
        addressFamily: addressFamily(dataPathAddr) === AF_INET ? 'udp4' : 'udp6',
        tuning: this.#tuning,
        cipher: this.#keys.name,
        sessionKeys: this.#keys.shared,
      },
      this,
    );
    if (this.#stopped) return worker.stop();
    worker.commands.push([
      ...[...this.#ports.all()].flatMap((port) => this.#portRows(port)),
      ...[...this.#mirror.rows()].map((row) => this.#encoder.change(row)),
      ...this.#live()
        .flatMap(({ core }) =>
          readFdb(core).filter(
            (row) => row.local && row.learned && this.#ports.isIn(row.destination, row.network),
          ),
        )
        .map(({ network, mac, destination }) => this.#encoder.localMac(network, mac, destination)),
    ]);
    this.#workers[index] = worker;
    this.#pulse.revived(index);
  }

  #revive(index: number): void {
    if (this.#stopped) return;
    const reviving = this.#startAgain(index);
    this.#reviving.add(reviving);
    void reviving.finally(() => this.#reviving.delete(reviving));
  }

  async #startAgain(index: number): Promise<void> {
    try {
      await this.#startWorker(index);
      // Addresses that were silent since have no row that could expire.
      setTimeout(() => this.#resync(), RELEARN_MS).unref();
    } catch (error) {
      if (this.#stopped) return;
      this.#emit({ type: 'failed', error: error instanceof Error ? error : new Error(String(error)) });
    }
  }

  /** Keeps what a dead worker had counted and what it had still to say. */
  #bury(worker: WorkerThread): void {
    for (const event of worker.events.drain()) this.#take(event, worker);
    const peers = [...this.#mirror.rows()].flatMap((row) => (row.op === 'peer-put' ? [row.peer] : []));
    this.#tally.bury(worker.core, peers);
    void worker.stop();
  }

  // ── Events ──

  #take(event: CoreEvent, from: WorkerThread): void {
    if (event.type === 'session-heard') {
      const localIndex = this.#sessions.localIndex(event.place);
      if (localIndex !== undefined) this.#emit({ type: 'session-heard', localIndex });
      return;
    }
    if (event.type === 'punted') return; // its ring is drained with this one
    // The last words of a port that is being closed.
    if (event.type !== 'command-failed' && !this.#ports.isIn(event.port, event.network)) return;
    if (event.type === 'mac-learned') {
      // Known: another worker saw it in the same moment, or it is learnt again after a restart.
      if (this.#localMacs.port(event.network, event.mac) === event.port) return;
      this.#localMacs.set(event.network, event.mac, event.port);
      this.#tellOthers(from, this.#encoder.localMac(event.network, event.mac, event.port));
    } else if (event.type === 'mac-expired') {
      this.#localMacs.delete(event.network, event.mac);
      this.#tellOthers(from, this.#encoder.localMacGone(event.network, event.mac));
    }
    this.#emit(event);
  }

  #tellOthers(from: WorkerThread, command: Command): void {
    for (const worker of this.#live()) if (worker !== from) worker.commands.push([command]);
  }

  #resync(): void {
    if (this.#stopped) return;
    const rows = this.fdb().filter((row) => !row.local || this.#ports.isIn(row.destination, row.network));
    for (const event of this.#localMacs.resync(rows)) this.#emit(event);
  }

  #emit(event: DataplaneEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}
