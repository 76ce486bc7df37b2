/**
 * Where membership and replicated state meet: what one says is told to the other. Neither knows of the other itself.
 */
import type { SwimEvent, SwimNode } from '../swim/interface.ts';
import { decodeMeta } from '../swim/meta.ts';
import type { StateNode, StateTransmit } from './interface.ts';
import { STATE_MAGIC, isNotice } from './messages.ts';
import { VersionGate } from './version-gate.ts';

/** Clusters of one version, as simulations have them. */
const NO_GATE = new VersionGate();

/** Tells the state layer what membership has to say to it; other events are none of its business. */
export function feedState(
  now: number,
  state: StateNode,
  event: SwimEvent,
  gate: VersionGate = NO_GATE,
): void {
  switch (event.type) {
    case 'join':
    case 'alive':
    case 'update':
      if (!gate.admit(event.member.name, event.member.meta)) {
        // It may have been one of us until its upgrade.
        state.handleMemberDead(now, event.member.name);
        break;
      }
      state.handleMemberAlive(now, event.member.name, decodeMeta(event.member.meta)?.epoch);
      break;
    case 'dead':
      gate.forget(event.member.name);
      state.handleMemberDead(now, event.member.name);
      break;
    case 'left':
      gate.forget(event.member.name);
      state.handleMemberLeft(now, event.member.name);
      break;
    case 'ack-payload':
      if (!gate.isRefused(event.node)) state.handleAckPayload(now, event.node, event.bytes);
      break;
    case 'user':
    case 'remote-state':
      // Other user messages belong to other programs (Serf, networkdb). What comes from somebody who is not (yet) a member
      // will come again by anti-entropy once it is.
      if (event.bytes[0] !== STATE_MAGIC) break;
      if (event.type === 'user' && isNotice(event.bytes)) {
        state.handleMessage(now, '', event.bytes);
        break;
      }
      if (event.node === undefined || gate.isRefused(event.node)) break;
      if (event.type === 'user') state.handleMessage(now, event.node, event.bytes);
      else state.handleRemoteState(now, event.node, event.bytes);
      break;
    default:
  }
}

/** Who was shut out and still talks to us hears why. */
export function answerBanned(now: number, state: StateNode, event: SwimEvent, swim: SwimNode): void {
  const notice = event.type === 'banned' ? state.noticeFor(event.name) : undefined;
  if (event.type === 'banned' && notice !== undefined) swim.sendUser(now, event.addr, notice);
}

/**
 * Sends what the state layer wants sent, to members that are known; `onSent` is told of each. What others made and we pass on
 * may be longer than a packet: it goes by a stream, whatever was wished. Then membership is told whom
 * it is to shut out.
 */
export function sendState(
  now: number,
  state: StateNode,
  swim: SwimNode,
  onSent: (out: StateTransmit) => void = () => {},
): void {
  for (let out = state.pollTransmit(); out !== undefined; out = state.pollTransmit()) {
    const to = swim.member(out.to);
    if (to === undefined) continue;
    onSent(out);
    const isReliable = out.reliable || out.bytes.length > swim.userPacketBytes;
    if (isReliable) swim.sendUserReliable(now, to.addr, out.bytes);
    else swim.sendUser(now, to.addr, out.bytes);
  }
  swim.setBans(now, state.bans());
}
