/**
 * The layout of a frame: header, kinds, bounds per kind. Numbers are big-endian. A layout changes only together with
 * `PROTOCOL_VERSION`. Must never hold code that reads or writes.
 *
 *   0 length u32 (whole frame) · 4 request id u32 · 8 kind u8 · 9 flags u8 · 10 remaining budget ms u16 ·
 *   12 ring hash u64 · 20 partition u16 · 22 body
 */
import { MAX_FRAME_BYTES, MAX_KEY_BYTES } from "../base/limits.ts";
import { TRACE_ID_BYTES } from "../base/trace.ts";

/** Checked by the handshake: nodes of different versions refuse each other with a word for it. */
export const PROTOCOL_VERSION: number = 2;

/** Bytes before the body. */
export const HEADER_BYTES: number = 22;
/** Milliseconds; what the header's field holds. */
export const MAX_BUDGET_MS: number = 0xffff;

/** Requests. */
export const KIND_DIGEST = 1;
export const KIND_FETCH = 2;
export const KIND_STORE = 3;
export const KIND_PING = 4;
export const KIND_ASK = 5;

/** Replies. */
export const KIND_DIGEST_REPLY = 65;
export const KIND_OBJECT = 66;
export const KIND_STORED = 67;
export const KIND_PONG = 68;
export const KIND_ANSWER = 69;
export const KIND_REFUSED = 70;
export const KIND_FAILED = 71;

/** The handshake, before anything else. */
export const KIND_HELLO = 129;
export const KIND_CHALLENGE = 130;
export const KIND_PROOF = 131;
export const KIND_WELCOME = 132;
export const KIND_REFUSAL = 133;

/** Flags of replies. */
export const FLAG_SUSPECT = 1;
export const FLAG_PRESENT = 2;
export const FLAG_DURABLE = 4;
/** The reply is made of hints, for the slot that was asked. */
export const FLAG_STAND_IN = 8;
/** Of a version handed in only a part was stored: after the digest comes the counter above which it was. */
export const FLAG_IN_PART = 16;

/** The flag of a welcome: whoever says it understands requests with a trace. Older nodes neither set it nor look at it. */
export const FLAG_TAKES_TRACES = 1;

/** The flag of a request whose key is followed by the id of its trace; only for who `FLAG_TAKES_TRACES`. */
export const TRACE_BIT = 0x40;

/** The flags of a request for a stand-in: this bit, then n − 1 in three bits, then the slot in three. */
export const STAND_IN_BIT = 0x80;
export const STAND_IN_COUNT_SHIFT = 3;
export const STAND_IN_MASK = 0x07;

/** What a slot that is not held looks like in a reply. */
export const NO_SLOT_BYTE = 0xff;

/** bucket, 0x00, key */
export const MAX_ADDRESS_BYTES: number = 63 + 1 + MAX_KEY_BYTES;
/** UTF-8 bytes of the words that go with a refusal or a failure. */
export const MAX_DETAIL_BYTES: number = 1_024;
export const MAX_TOPIC_BYTES: number = 64;
export const MAX_HANDSHAKE_BYTES: number = 2_048;

/** The longest frame of a kind in bytes, header and all; 0: there is no such kind. */
export function maxFrameBytes(kind: number): number {
  return MAX_BYTES_BY_KIND[kind] ?? 0;
}

const MAX_BYTES_BY_KIND: Readonly<Record<number, number>> = {
  [KIND_DIGEST]: HEADER_BYTES + 8 + MAX_ADDRESS_BYTES + TRACE_ID_BYTES,
  [KIND_FETCH]: HEADER_BYTES + 8 + MAX_ADDRESS_BYTES + TRACE_ID_BYTES,
  [KIND_STORE]: MAX_FRAME_BYTES,
  [KIND_PING]: HEADER_BYTES,
  [KIND_ASK]: MAX_FRAME_BYTES,
  [KIND_DIGEST_REPLY]: HEADER_BYTES + 9,
  [KIND_OBJECT]: MAX_FRAME_BYTES,
  [KIND_STORED]: HEADER_BYTES + 9 + 8,
  [KIND_PONG]: HEADER_BYTES,
  [KIND_ANSWER]: MAX_FRAME_BYTES,
  [KIND_REFUSED]: HEADER_BYTES + 1 + MAX_DETAIL_BYTES,
  [KIND_FAILED]: HEADER_BYTES + MAX_DETAIL_BYTES,
  [KIND_HELLO]: HEADER_BYTES + MAX_HANDSHAKE_BYTES,
  [KIND_CHALLENGE]: HEADER_BYTES + MAX_HANDSHAKE_BYTES,
  [KIND_PROOF]: HEADER_BYTES + MAX_HANDSHAKE_BYTES,
  [KIND_WELCOME]: HEADER_BYTES + MAX_HANDSHAKE_BYTES,
  [KIND_REFUSAL]: HEADER_BYTES + MAX_HANDSHAKE_BYTES,
};
