import { ByteWriter } from './byte-writer.ts';
import { MESSAGE_TYPE, PUSH_PULL_HEADER, PUSH_PULL_NODE, USER_HEADER, encodeMessage } from './messages.ts';
import { MsgpackWriter } from './msgpack-writer.ts';
import { writeLabel } from './packet.ts';
import type { StreamMessage } from './stream-parser.ts';
import { writeStruct } from './struct.ts';

/**
 * Writes the message of a TCP stream (gossip.md 1.10). The dialler puts the cluster label first, the acceptor's answer
 * has none. Never compressed: our state is small and binary. Sealing will go around what is written here.
 */
export function encodeStream(message: StreamMessage, label: Uint8Array): Uint8Array {
  const out = new ByteWriter(1024);
  writeLabel(out, label);
  const writer = new MsgpackWriter(out);
  switch (message.type) {
    case 'pushPull': {
      out.u8(MESSAGE_TYPE.pushPull);
      const { join, nodes, userState, signedInts } = message;
      const header = { join, nodes: nodes.length, userStateLen: userState.length };
      writeStruct(writer, PUSH_PULL_HEADER, header, signedInts);
      for (const node of nodes) writeStruct(writer, PUSH_PULL_NODE, node, signedInts);
      out.bytes(userState);
      break;
    }
    case 'user':
      out.u8(MESSAGE_TYPE.user);
      writeStruct(writer, USER_HEADER, { userMsgLen: message.bytes.length }, message.signedInts);
      out.bytes(message.bytes);
      break;
    default:
      out.bytes(encodeMessage(message));
  }
  return out.finish();
}
