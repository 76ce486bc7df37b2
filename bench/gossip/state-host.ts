/**
 * A host of a simulated cluster for the gossip bench: Swim and State glued as the agent glues them, with no view above,
 * counting what the state layer says and hears and noting when each endpoint became visible.
 */
import type { Change } from './cluster.ts';
import type { State } from '../../proto/state/state.ts';
import type { SwimEvent } from '../../proto/swim/interface.ts';
import { decodeMeta } from '../../proto/swim/meta.ts';
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
    switch (event.type) {
      case 'join':
      case 'alive':
      case 'update':
        this.state.handleMemberAlive(now, event.member.name, decodeMeta(event.member.meta)?.epoch);
        break;
      case 'dead':
        this.state.handleMemberDead(now, event.member.name);
        break;
      case 'left':
        this.state.handleMemberLeft(now, event.member.name);
        break;
      case 'ack-payload':
        this.state.handleAckPayload(now, event.node, event.bytes);
        break;
      case 'user':
        if (event.node === undefined || this.isDeaf) break;
        this.traffic.in += (event.reliable ? streamBytes : datagramBytes)(event.bytes.length + 1);
        this.state.handleMessage(now, event.node, event.bytes);
        break;
      case 'remote-state':
        if (event.node !== undefined) this.state.handleRemoteState(now, event.node, event.bytes);
        break;
      default:
    }
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
    for (let out = this.state.pollTransmit(); out !== undefined; out = this.state.pollTransmit()) {
      const to = swim.member(out.to);
      if (to === undefined) continue;
      this.traffic.messages++;
      this.traffic.out += (out.reliable ? streamBytes : datagramBytes)(out.bytes.length + 1);
      if (out.reliable) swim.sendUserReliable(now, to.addr, out.bytes);
      else swim.sendUser(now, to.addr, out.bytes);
    }
  }
}
