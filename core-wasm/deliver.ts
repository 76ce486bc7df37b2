/**
 * Handing a TAP's frame to a port of this host: whole where the port takes super-frames, cut where it does not.
 */
import { cut, cutBytes, cutCount, cutSize } from './cut';
import { COUNTER_DELIVERED } from './counters';
import { gsoType, writeOffload } from './offload';
import { outPut } from './out';
import { PORT_OFFLOAD, PORT_USO, portHas } from './port';
import { REASON_NONE, REASON_OUT_FULL } from './reason';
import { arenaCursor, arenaKeep, txHasRoom } from './transmit';
import { GSO_NONE, GSO_UDP_L4 } from './vnet';
import { VXLAN_SIZE } from './vxlan';

/** Cut frames for ports lie in the first table's arena; any would do. */
const TABLE: u32 = 0;

function takesWhole(port: u32): bool {
  return gsoType == GSO_NONE || portHas(port, gsoType == GSO_UDP_L4 ? PORT_USO : PORT_OFFLOAD);
}

/** Delivers the classified and checked frame; `verdict` is 1 when no other copy carries it. */
export function deliver(port: u32, frame: usize, length: u32, verdict: u32): u32 {
  if (!takesWhole(port)) return deliverCut(port, frame, length, verdict);
  const vnet = outPut(port, frame, length, 1, verdict, COUNTER_DELIVERED);
  if (!vnet) return REASON_OUT_FULL;
  writeOffload(vnet);
  return REASON_NONE;
}

function deliverCut(port: u32, frame: usize, length: u32, verdict: u32): u32 {
  if (!txHasRoom(TABLE)) return REASON_OUT_FULL;
  let at = arenaCursor(TABLE);
  if (!cut(at, frame, length, 0, 0, 0)) return REASON_OUT_FULL;
  arenaKeep(TABLE, cutBytes);
  let left = cutBytes;
  for (let i: u32 = 0; i < cutCount; i++) {
    const size = left < cutSize ? left : cutSize;
    const put = outPut(port, at + VXLAN_SIZE, size - VXLAN_SIZE, 1, i == 0 ? verdict : 0, COUNTER_DELIVERED);
    if (!put) return i == 0 ? REASON_OUT_FULL : REASON_NONE;
    at += size;
    left -= size;
  }
  return REASON_NONE;
}
