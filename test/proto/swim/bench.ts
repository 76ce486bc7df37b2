import type { Address } from '../../../proto/env.ts';
import { decodeMessage } from '../../../proto/memberlist/messages.ts';
import type { Alive, Message } from '../../../proto/memberlist/messages.ts';
import { openPacket, sealPacket } from '../../../proto/memberlist/packet.ts';
import { openBlock } from '../../../proto/memberlist/sealed-block.ts';
import type { Sealer } from '../../../proto/memberlist/sealed-block.ts';
import { encodeStream } from '../../../proto/memberlist/stream-message.ts';
import { StreamParser } from '../../../proto/memberlist/stream-parser.ts';
import type { StreamMessage } from '../../../proto/memberlist/stream-parser.ts';
import { SeededRng } from '../../../proto/rng.ts';
import type { StreamAction, SwimDelegate, SwimEvent } from '../../../proto/swim/interface.ts';
import type { SealingDeps } from '../../../proto/swim/sealing.ts';
import type { SwimOptions } from '../../../proto/swim/options.ts';
import { Swim } from '../../../proto/swim/swim.ts';
import { encodeMessage } from '../../../proto/memberlist/messages.ts';

/** One member on a bench: the test is all of its peers, speaks real bytes and reads what it says. */
export interface Sent {
  readonly to: Address;
  readonly bytes: Uint8Array;
  readonly messages: readonly Message[];
  /** Of the key that sealed it. */
  readonly key: string | undefined;
}

const NO_BYTES = new Uint8Array(0);

export class Bench {
  now = 1000;
  readonly swim: Swim;
  readonly sent: Sent[] = [];
  readonly events: SwimEvent[] = [];
  readonly actions: StreamAction[] = [];
  /** How the peers seal; none: in clear. */
  sealer: Sealer | undefined;
  readonly #sealing: SealingDeps | undefined;

  constructor(
    options: Partial<SwimOptions> = {},
    delegate: Partial<SwimDelegate> = {},
    sealing?: SealingDeps,
  ) {
    this.#sealing = sealing;
    this.swim = new Swim(
      { name: 'me', addr: { ip: '10.0.0.1', port: 7946 }, ...options },
      {
        rng: new SeededRng(1),
        sealing,
        delegate: {
          localState: () => NO_BYTES,
          broadcasts: () => [],
          ackPayload: () => NO_BYTES,
          ...delegate,
        },
      },
    );
    this.swim.handleDeadline(this.now);
    this.poll();
  }

  /** Hands in one packet and reads what comes of it. */
  hear(from: string, ...messages: Message[]): void {
    const settings = { label: NO_BYTES, compress: false, sealer: this.sealer };
    const bytes = sealPacket(messages.map(encodeMessage), false, settings);
    this.swim.handleDatagram(this.now, bytes, { ip: from, port: 7946 });
    this.poll();
  }

  /** A peer at 10.0.0.`host` says that it is alive. */
  alive(name: string, host: number, more: Partial<Alive> = {}): void {
    const vsn = Uint8Array.of(1, 5, 2, 0, 0, 0);
    const alive = {
      node: name,
      addr: Uint8Array.of(10, 0, 0, host),
      port: 7946,
      incarnation: 1,
      meta: null,
      vsn,
    };
    this.hear(`10.0.0.${host}`, { type: 'alive', ...alive, ...more });
  }

  /** Lets time pass, deadline by deadline. */
  wait(ms: number): void {
    const end = this.now + ms;
    while (this.swim.nextDeadline() <= end) {
      this.now = Math.max(this.now, this.swim.nextDeadline());
      this.swim.handleDeadline(this.now);
      this.poll();
    }
    this.now = end;
  }

  poll(): void {
    for (let out = this.swim.pollTransmit(); out !== undefined; out = this.swim.pollTransmit()) {
      let key: string | undefined;
      const open = (block: Uint8Array, aad: Uint8Array): Uint8Array => {
        const opened = this.#open(block, aad);
        key = opened.key;
        return opened.plain;
      };
      const messages = openPacket(out.bytes, NO_BYTES, open).parts.map(decodeMessage);
      this.sent.push({ ...out, messages, key });
    }
    for (let event = this.swim.pollEvent(); event !== undefined; event = this.swim.pollEvent())
      this.events.push(event);
    for (let action = this.swim.pollStream(); action !== undefined; action = this.swim.pollStream()) {
      this.actions.push(action);
    }
  }

  /** A peer dials, says this, and gives what it hears back. */
  dialIn(id: number, from: string, message: StreamMessage | Uint8Array): StreamMessage | undefined {
    this.swim.handleStreamOpen(this.now, id, { ip: from, port: 40_000 + id });
    const bytes =
      message instanceof Uint8Array ? message : encodeStream(message, NO_BYTES, { sealer: this.sealer });
    this.swim.handleStreamData(this.now, id, bytes);
    this.poll();
    const parser = new StreamParser(NO_BYTES, { open: (block, aad) => this.#open(block, aad).plain });
    for (const action of this.actions) {
      if (action.type === 'write' && action.id === id) return parser.push(action.bytes);
    }
    return undefined;
  }

  /** As whoever holds every key of the ring; what is in clear passes. */
  #open(block: Uint8Array, aad: Uint8Array): { plain: Uint8Array; key: string | undefined } {
    const keys = this.#sealing?.keyring.keys ?? [];
    const isSealed = keys.length > 0 && (block[0] ?? 9) <= 1;
    if (!isSealed) return { plain: block, key: undefined };
    try {
      const { plain, key } = openBlock(this.#sealing!.aead, keys, aad, block);
      return { plain, key: key.fingerprint };
    } catch {
      return { plain: block, key: undefined };
    }
  }

  /** Messages of one kind sent since the last call of `forget`. */
  said<T extends Message['type']>(type: T): Extract<Message, { type: T }>[] {
    const all = this.sent.flatMap(({ messages }) => messages);
    return all.filter((message): message is Extract<Message, { type: T }> => message.type === type);
  }

  forget(): void {
    this.sent.length = 0;
    this.events.length = 0;
    this.actions.length = 0;
  }

  count(key: string): number {
    return this.swim.counters().counts.get(key) ?? 0;
  }

  stateOf(name: string): string | undefined {
    return this.swim.member(name)?.state;
  }
}
