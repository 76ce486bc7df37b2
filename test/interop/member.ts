import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { monotonicMs } from '../../agent/clock.ts';
import { openGossipTransport } from '../../agent/control/gossip-transport.ts';
import type { GossipTransport } from '../../agent/control/gossip-transport.ts';
import { systemRng } from '../../agent/entropy.ts';
import type { SwimDelegate, SwimEvent } from '../../proto/swim/interface.ts';
import { encodeMeta } from '../../proto/swim/meta.ts';
import type { SwimOptions } from '../../proto/swim/options.ts';
import type { SwimDeps } from '../../proto/swim/swim.ts';
import { Swim } from '../../proto/swim/swim.ts';

/** A member of ours on real sockets, quicker at gossip and suspicion than by default, and no state layer above. */
export class RealMember {
  readonly swim: Swim;
  readonly events: SwimEvent[] = [];
  readonly errors: Error[] = [];
  #transport: GossipTransport | undefined;

  private constructor(swim: Swim) {
    this.swim = swim;
  }

  static async open(
    name: string,
    ip: string,
    options: Partial<SwimOptions> = {},
    port = 7946,
    { delegate = NO_DELEGATE, sealing }: Partial<Pick<SwimDeps, 'delegate' | 'sealing'>> = {},
  ): Promise<RealMember> {
    const vtep = { ip, port: 4789 };
    const swim = new Swim(
      {
        name,
        addr: { ip, port },
        meta: encodeMeta({ stateProtocolMin: 1, stateProtocolMax: 1, epoch: 1n, vtep }),
        gossipIntervalMs: 100,
        suspicionMult: 3,
        ...options,
      },
      { rng: systemRng(), delegate, sealing },
    );
    const member = new RealMember(swim);
    member.#transport = await openGossipTransport({
      bindAddr: ip,
      port,
      swim,
      clock: { now: monotonicMs },
      onEvent: (event) => member.events.push(event),
      onError: (error) => member.errors.push(error),
      log: pino({ level: 'silent' }),
    });
    return member;
  }

  do(run: (swim: Swim, now: number) => void): void {
    run(this.swim, monotonicMs());
    this.#transport?.kick();
  }

  stateOf(name: string): string | undefined {
    return this.swim.member(name)?.state;
  }

  async close(): Promise<void> {
    await this.#transport?.close();
  }
}

const NO_BYTES = new Uint8Array(0);
const NO_DELEGATE: SwimDelegate = {
  localState: () => NO_BYTES,
  broadcasts: () => [],
  ackPayload: () => NO_BYTES,
};

/** Looks every 100 ms; false when it did not come about within `ms`. */
export async function eventually(isReached: () => boolean | Promise<boolean>, ms: number): Promise<boolean> {
  const endMs = monotonicMs() + ms;
  for (;;) {
    if (await isReached()) return true;
    if (monotonicMs() > endMs) return false;
    await sleep(100);
  }
}
