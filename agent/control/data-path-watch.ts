import type { Socket } from 'node:dgram';
import { DataPathEcho, isEcho } from '../../proto/tunnel/echo.ts';
import type { EchoChange, EchoPeer, EchoStatus } from '../../proto/tunnel/echo.ts';
import type { TunnelPsk } from '../../proto/tunnel/psk.ts';
import { monotonicMs, wallMs } from '../clock.ts';
import { formatHostPort, ipFamily } from '../config/address.ts';
import { tunnelCrypto } from '../crypto/tunnel-crypto.ts';
import type { Dataplane, DataplaneEvent } from '../dataplane/dataplane.ts';
import { systemRng } from '../entropy.ts';
import { numericSocket, sendDatagram } from '../io/numeric-socket.ts';
import type { Log } from '../log.ts';
import { DeadlineTimer } from './deadline-timer.ts';

/**
 * Finds data ports that are shut although gossip passes, and tells of them by name (checklist 3.6): proto/tunnel/echo.ts
 * with a socket, a clock and the data path, which hands over what comes on the data port.
 */
export interface DataPathWatchOptions {
  readonly dataplane: Dataplane;
  readonly dataPathAddr: string;
  readonly dataPort: number;
  /** Live hosts that answer, with their data ports. */
  readonly peers: () => ReadonlyMap<string, EchoPeer>;
  readonly psks: () => readonly TunnelPsk[];
  readonly keyVersion: () => number;
  /** Whether hosts without a cluster key are members too. */
  readonly takesClear: boolean;
  readonly log: Log;
}

/** How often peers and keys are compared with what is watched. */
const LOOK_MS = 1_000;

export class DataPathWatch {
  readonly #options: DataPathWatchOptions;
  readonly #echo: DataPathEcho;
  readonly #socket: Socket;
  readonly #look: NodeJS.Timeout;
  readonly #timer = new DeadlineTimer(() => {
    this.#echo.handleDeadline(monotonicMs());
    this.#settle();
  });
  #keyVersion: number | undefined;
  #closed = false;

  constructor(options: DataPathWatchOptions) {
    this.#options = options;
    this.#echo = new DataPathEcho({ crypto: tunnelCrypto, rng: systemRng(), wall: wallMs });
    this.#socket = numericSocket(ipFamily(options.dataPathAddr));
    this.#socket.on('error', () => undefined); // what does not go out is not answered: that is told of
    this.#socket.on('message', (bytes, from) => {
      this.#echo.handleDatagram(monotonicMs(), bytes, { ip: from.address, port: from.port }, true);
      this.#settle();
    });
    this.#socket.bind({ address: options.dataPathAddr, port: 0 });
    options.dataplane.onEvent((event) => this.#handle(event));
    this.#look = setInterval(() => this.#refresh(), LOOK_MS);
    this.#refresh();
  }

  status(): EchoStatus[] {
    return this.#echo.status(monotonicMs());
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#look);
    this.#timer.stop();
    this.#socket.close();
  }

  #refresh(): void {
    const { keyVersion, psks, peers, takesClear } = this.#options;
    if (this.#keyVersion !== keyVersion()) {
      this.#keyVersion = keyVersion();
      this.#echo.setKeys(psks(), takesClear);
    }
    this.#echo.setPeers(monotonicMs(), peers());
    this.#settle();
  }

  #handle(event: DataplaneEvent): void {
    if (this.#closed || event.type !== 'handshake' || !isEcho(event.bytes)) return;
    this.#echo.handleDatagram(monotonicMs(), event.bytes, event, false);
    this.#settle();
  }

  #settle(): void {
    if (this.#closed) return;
    for (let out = this.#echo.pollTransmit(); out !== undefined; out = this.#echo.pollTransmit())
      sendDatagram(this.#socket, out.bytes, out.to);
    for (let change = this.#echo.pollChange(); change !== undefined; change = this.#echo.pollChange())
      this.#tell(change);
    this.#timer.arm(this.#echo.nextDeadline());
  }

  #tell({ peer, addr, state, before }: EchoChange): void {
    const { log, dataPort } = this.#options;
    const fields = { peer, addr: formatHostPort(addr.ip, addr.port) };
    if (state === 'open' && before === 'unknown') log.debug(fields, 'the data port of this peer answers');
    else if (state === 'open') log.info(fields, `datagrams pass between ${peer} and this host again`);
    else if (state === 'silent')
      log.warn(
        fields,
        `UDP port ${addr.port} of ${peer} does not answer, though gossip passes: no traffic goes there; open it in firewalls and security groups`,
      );
    else if (state === 'shut-here')
      log.warn(
        fields,
        `${peer} answers, but not to UDP port ${dataPort} of this host: no traffic comes in; open it in this host's firewall or security group`,
      );
  }
}
