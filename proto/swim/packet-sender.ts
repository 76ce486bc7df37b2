import type { Address } from '../env.ts';
import { encodeMessage } from '../memberlist/messages.ts';
import type { Message } from '../memberlist/messages.ts';
import {
  COMPOUND_HEADER_BYTES,
  COMPOUND_PART_BYTES,
  CRC_HEADER_BYTES,
  sealPacket,
} from '../memberlist/packet.ts';
import type { BroadcastQueue } from './broadcast-queue.ts';
import { OUT_KEY } from './context.ts';
import type { SwimContext } from './context.ts';
import type { MemberTable } from './member-table.ts';
import { isSameAddress } from './peer.ts';
import type { Peer } from './peer.ts';
import { retransmitLimit } from './timing.ts';
import { SPEAKS, maxProtocol } from './versions.ts';

/**
 * Makes UDP packets (gossip.md 1.9, 2.9): the message that is due, then as many broadcasts as fit, membership first.
 * Where Go would put a CRC (it looked the target up by name), so do we.
 */
export class PacketSender {
  readonly #context: SwimContext;
  readonly #queue: BroadcastQueue;
  readonly #table: MemberTable;

  constructor(context: SwimContext, queue: BroadcastQueue, table: MemberTable) {
    this.#context = context;
    this.#queue = queue;
    this.#table = table;
  }

  /** Bytes for messages in one packet; with room for a CRC, though not every packet has one (Go forgets it). */
  get budgetBytes(): number {
    const { packetBytes, label } = this.#context.settings;
    const sealBytes = this.#context.sealing?.overheadBytes ?? 0;
    return packetBytes - CRC_HEADER_BYTES - sealBytes - (label.length === 0 ? 0 : 2 + label.length);
  }

  /**
   * One message, and broadcasts behind it if `to` is where the member `peer` lives: strangers could use up what is meant
   * for members, or have us send more than we were sent. Never with a CRC: Go sends these without.
   */
  send(now: number, to: Address, message: Message, peer: Peer | undefined): void {
    const first = encodeMessage(message);
    if (peer === undefined || !isSameAddress(to, peer.addr)) {
      this.#transmit(to, [first], false);
      return;
    }
    const left = this.budgetBytes - first.length - COMPOUND_HEADER_BYTES - COMPOUND_PART_BYTES;
    this.#transmit(to, [first, ...this.#broadcasts(now, left, peer)], false);
  }

  /** Nothing waits to be said. */
  get isQuiet(): boolean {
    return this.#queue.size === 0 && this.#context.delegate.hasBroadcasts?.() === false;
  }

  /** Exactly these messages. */
  sendPlain(to: Address, messages: readonly Message[], peer: Peer | undefined): void {
    this.#transmit(to, messages.map(encodeMessage), peer !== undefined && speaksCrc(peer));
  }

  /** A packet of nothing but broadcasts; none when there are none. */
  gossip(now: number, peer: Peer): void {
    const messages = this.#broadcasts(now, this.budgetBytes - COMPOUND_HEADER_BYTES, peer);
    if (messages.length > 0) this.#transmit(peer.addr, messages, speaksCrc(peer));
  }

  /** Of the largest user message: its type byte goes before it. */
  get userBytes(): number {
    return this.budgetBytes - 1;
  }

  /** Throws RangeError when it does not fit a packet. */
  sendUser(to: Address, bytes: Uint8Array): void {
    if (bytes.length > this.userBytes) {
      throw new RangeError(`a user message over UDP has ${this.userBytes} bytes at most`);
    }
    this.sendPlain(to, [{ type: 'user', bytes }], this.#table.atExactly(to));
  }

  #broadcasts(now: number, budget: number, peer: Peer): Uint8Array[] {
    const { settings, delegate } = this.#context;
    const isLost = this.#context.fault?.('broadcast.lost') === true;
    const limit = isLost ? 1 : retransmitLimit(settings.retransmitMult, this.#table.size);
    const messages = this.#queue.take(COMPOUND_PART_BYTES, budget, limit, 254);
    if (!settings.takesUserData(peer.meta ?? new Uint8Array(0))) return messages;
    let left = budget;
    for (const message of messages) left -= message.length + COMPOUND_PART_BYTES;
    // Every user message is framed by its type byte.
    const overhead = COMPOUND_PART_BYTES + 1;
    if (left <= overhead) return messages;
    for (const bytes of delegate.broadcasts(now, overhead, left)) {
      left -= bytes.length + overhead;
      if (left < 0 || messages.length >= 254) {
        this.#context.counts.drop('user-broadcast-too-long');
        break;
      }
      messages.push(encodeMessage({ type: 'user', bytes }));
    }
    return messages;
  }

  #transmit(to: Address, messages: readonly Uint8Array[], crc: boolean): void {
    const { counts, settings, transmits, sealing } = this.#context;
    for (const message of messages) counts.add(OUT_KEY[message[0] as number] as string);
    const { label, compress } = settings;
    const bytes = sealPacket(messages, crc, { label, compress, sealer: sealing?.sealerFor(to) });
    transmits.push({ to, bytes });
  }
}

function speaksCrc(peer: Peer): boolean {
  return maxProtocol(peer.vsn) >= SPEAKS.crc;
}
