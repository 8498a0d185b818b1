/**
 * How many bytes a message takes as a frame, at most: the core fills datagrams by it, the codec must keep within it.
 * Source: frames of gossip-ring notes §A.5, with names as text.
 */
import type { Message } from "./messages.ts";

/** type u8 and length varint */
const FRAME_BYTES = 3;
/** generation u32 and incarnation varint */
const LIFE_BYTES = 9;
/** members u32 and records u64 */
const HASHES_BYTES = 12;
const SEQ_BYTES = 4;
/** a length and what is to come in later versions of ALIVE */
const ALIVE_SPARE_BYTES = 8;

function textBytes(text: string): number {
  return 1 + text.length;
}

/** An upper bound of the frame's bytes; texts are ASCII. */
export function messageBytes(message: Message): number {
  switch (message.kind) {
    case "ping":
      return FRAME_BYTES + SEQ_BYTES + textBytes(message.target) + HASHES_BYTES;
    case "ack":
      return FRAME_BYTES + SEQ_BYTES + HASHES_BYTES + 3;
    case "ping-req":
      return FRAME_BYTES + SEQ_BYTES + textBytes(message.target) + textBytes(message.targetAddress) + 2;
    case "nack":
      return FRAME_BYTES + SEQ_BYTES;
    case "pull":
      return FRAME_BYTES + 1;
    case "user":
      return FRAME_BYTES + 1 + message.bytes.length;
    case "alive": {
      const { nodeId, address, zone } = message.facts;
      return FRAME_BYTES + LIFE_BYTES + textBytes(nodeId) + textBytes(address) + textBytes(zone) + ALIVE_SPARE_BYTES;
    }
    case "suspect":
    case "dead":
      return FRAME_BYTES + LIFE_BYTES + textBytes(message.nodeId) + textBytes(message.from);
    case "left":
      return FRAME_BYTES + LIFE_BYTES + textBytes(message.nodeId);
  }
}
