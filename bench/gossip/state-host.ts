/**
 * A host of a simulated cluster for the gossip bench: Swim and State glued as the agent glues them, with no view above,
 * counting what the state layer says and hears and noting when each endpoint became visible.
 */
import type { Change } from './cluster.ts';
import { feedState, sendState } from '../../proto/state/over-swim.ts';
import type { State } from '../../proto/state/state.ts';
import type { SwimEvent } from '../../proto/swim/interface.ts';
import type { Swim } from '../../proto/swim/swim.ts';
import { TABLE } from '../../proto/state/interface.ts';
import type { SimLayer } from '../../test/sim/sim-node.ts';

/** IP and UDP headers; memberlist's type byte is in its own count. */
export const HEADER_BYTES = 28;
/** Connection set-up and end with their acknowledgements, and a header for each 1,400 bytes. */
export const STREAM_BYTES = 280;
export const SEGMENT_BYTES = 1_400;

const datagramBytes = (bytes: number): number => bytes + HEADER_BYTES;
const streamBytes = (bytes: number): number => bytes + STREAM_BYTES + 40 * Math.ceil(bytes / SEGMENT_BYTES);

export class StateHost implements SimLayer {
  readonly state: State;
  /** Of the state layer: bytes on the wire, out and in. */
  readonly traffic = { out: 0, in: 0, messages: 0 };
  /** State messages are lost here, and nothing else is. */
  isDeaf = false;
  /** Told of every visible change of an endpoint. */
  onChange: (now: number, change: Change) => void = () => {};

  constructor(state: State) {
    this.state = state;
  }

  get delegate(): State['delegate'] {
    return this.state.delegate;
  }

  handleEvent(now: number, event: SwimEvent): void {
    if (event.type === 'user' && event.node !== undefined) {
      if (this.isDeaf) return;
      this.traffic.in += (event.reliable ? streamBytes : datagramBytes)(event.bytes.length + 1);
    }
    feedState(now, this.state, event);
  }

  handleDeadline(now: number): void {
    this.state.handleDeadline(now);
  }

  nextDeadline(): number {
    return this.state.nextDeadline();
  }

  pump(now: number, swim: Swim): void {
    for (let c = this.state.pollChange(); c !== undefined; c = this.state.pollChange()) {
      if (c.table === TABLE.endpoint) this.onChange(now, c);
    }
    sendState(now, this.state, swim, ({ reliable, bytes }) => {
      this.traffic.messages++;
      this.traffic.out += (reliable ? streamBytes : datagramBytes)(bytes.length + 1);
    });
  }
}
