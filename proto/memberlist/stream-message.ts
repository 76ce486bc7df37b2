import { ByteWriter } from './byte-writer.ts';
import { wrapCompressed } from './compress.ts';
import { MESSAGE_TYPE, PUSH_PULL_HEADER, PUSH_PULL_NODE, USER_HEADER, encodeMessage } from './messages.ts';
import type { PushPullNode } from './messages.ts';
import { MsgpackWriter } from './msgpack-writer.ts';
import { writeLabel } from './packet.ts';
import type { Sealer } from './sealed-block.ts';
import { sealFrame } from './stream-frame.ts';
import type { StreamMessage } from './stream-parser.ts';
import { writeStruct } from './struct.ts';

/** What goes around the message: LZW as it comes, whether that is shorter or not (Go too), then the seal. */
export interface StreamWrapping {
  readonly compress?: boolean;
  readonly sealer?: Sealer | undefined;
  /** The cluster's label, associated data of the seal on both ways of the stream. */
  readonly sealLabel?: Uint8Array;
}

/**
 * Writes the message of a TCP stream (gossip.md 1.10). The dialler puts the cluster label first, the acceptor's answer
 * has none.
 */
export function encodeStream(
  message: StreamMessage,
  label: Uint8Array,
  { compress = false, sealer, sealLabel = label }: StreamWrapping = {},
): Uint8Array {
  const plain = encodeBody(message);
  const body = compress ? wrapCompressed(plain) : plain;
  const out = new ByteWriter(body.length + 64 + label.length);
  writeLabel(out, label);
  out.bytes(sealer === undefined ? body : sealFrame(sealer, sealLabel, body));
  return out.finish();
}

function encodeBody(message: StreamMessage): Uint8Array {
  const out = new ByteWriter(1024);
  const writer = new MsgpackWriter(out);
  switch (message.type) {
    case 'pushPull': {
      out.u8(MESSAGE_TYPE.pushPull);
      const { join, nodes, packed, userState, signedInts } = message;
      const header = { join, nodes: nodes.length + (packed?.count ?? 0), userStateLen: userState.length };
      writeStruct(writer, PUSH_PULL_HEADER, header, signedInts);
      for (const node of nodes) writeStruct(writer, PUSH_PULL_NODE, node, signedInts);
      for (const wire of packed?.wires ?? []) out.bytes(wire);
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

/** One node of a push/pull, appended. */
export function writeNode(out: ByteWriter, node: PushPullNode): void {
  writeStruct(new MsgpackWriter(out), PUSH_PULL_NODE, node);
}
