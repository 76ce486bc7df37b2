/**
 * TAPs of this host for whole networks, on which containers hang (macvlan): attached by a word, or all of them (--join-all).
 *
 * The file is written before a TAP is made and after it went, so that a daemon that was killed in between knows of it.
 */
import { OverlaydError } from '../errors.ts';
import { isInterfaceName } from '../io/ifreq.ts';
import type { HostPorts } from './host-ports.ts';
import type { NetworkDefinition } from './interface.ts';
import type { JoinedNetwork, JoinedNetworks } from './joined.ts';
import type { Attachment, LocalFiles } from './local-files.ts';

export interface AttachmentOptions {
  readonly joined: JoinedNetworks;
  readonly files: Pick<LocalFiles, 'writeAttachments'>;
  readonly ports: HostPorts;
  readonly macQuota: number;
}

interface Attached {
  readonly index: number;
  readonly tap: string;
  readonly byHand: boolean;
  /** undefined: it could not be opened, or was deleted. */
  port: number | undefined;
}

export class Attachments {
  readonly #options: AttachmentOptions;
  /** By index of the network. */
  readonly #attached = new Map<number, Attached>();
  /** Of an earlier run, on networks that cannot be joined yet. */
  #waiting: readonly Attachment[] = [];

  constructor(options: AttachmentOptions) {
    this.#options = options;
  }

  has(index: number): boolean {
    return this.#attached.has(index);
  }

  tapOf(index: number): string | undefined {
    return this.#attached.get(index)?.tap;
  }

  isTap(name: string): boolean {
    return [...this.#attached.values()].some(({ tap }) => tap === name);
  }

  /** Joins the network if need be. Throws OverlaydError; nothing is left then. */
  open(network: JoinedNetwork, tap: string, byHand: boolean): void {
    const { index } = network;
    const attached: Attached = { index, tap, byHand, port: undefined };
    this.#attached.set(index, attached);
    try {
      this.#keep();
      attached.port = this.#openPort(network, tap);
    } catch (error) {
      this.#attached.delete(index);
      this.#keep();
      throw error;
    }
    this.#options.joined.setTap(index, tap, byHand);
  }

  /** Of an earlier run: kept also when it cannot be opened now. Throws OverlaydError then. */
  retake(network: JoinedNetwork, { tap, byHand }: Attachment): void {
    const { index } = network;
    const attached: Attached = { index, tap, byHand, port: undefined };
    this.#attached.set(index, attached);
    this.#options.joined.setTap(index, tap, byHand);
    attached.port = this.#openPort(network, tap);
    this.#options.joined.setTap(index, tap, byHand);
  }

  /** Throws OverlaydError where the file cannot be written: it is not forgotten then. */
  async close(index: number): Promise<void> {
    const attached = this.#attached.get(index);
    if (attached === undefined) return;
    const { joined, ports } = this.#options;
    const { port, tap } = attached;
    attached.port = undefined;
    joined.setTap(index, undefined, false);
    if (port === undefined) await ports.sweep(tap);
    else await ports.close(port);
    this.#attached.delete(index);
    try {
      this.#keep();
    } catch (error) {
      this.#attached.set(index, attached);
      throw error;
    }
  }

  /** Its name, when the port was one of these. */
  gone(port: number): string | undefined {
    const attached = [...this.#attached.values()].find((each) => each.port === port);
    if (attached !== undefined) attached.port = undefined;
    return attached?.tap;
  }

  get waiting(): readonly Attachment[] {
    return this.#waiting;
  }

  set waiting(waiting: readonly Attachment[]) {
    this.#waiting = waiting;
    this.#keep();
  }

  #openPort(network: JoinedNetwork, name: string): number {
    const { ports, macQuota } = this.#options;
    return ports.open(network, { name, macQuota, reflect: true }).port;
  }

  #keep(): void {
    const { joined, files } = this.#options;
    const attached = [...this.#attached.values()].flatMap(({ index, tap, byHand }) => {
      const network = joined.byIndex(index);
      return network === undefined ? [] : [{ network: network.id, tap, byHand }];
    });
    files.writeAttachments([...attached, ...this.#waiting]);
  }
}

/** The TAP's name, by what was asked for. Throws OverlaydError. */
export function tapFor({ vni }: NetworkDefinition, wanted: string | undefined): string {
  const tap = wanted ?? `ov${vni}`;
  // Docker takes a dot for a VLAN.
  if (isInterfaceName(tap) && !tap.includes('.')) return tap;
  throw new OverlaydError('OVL_TAP_NAME', `"${tap}" is no name for a TAP`, {
    hint: 'Give 1 to 15 letters, digits, dashes or underscores with --tap.',
    exitCode: 2,
  });
}
