/**
 * Replies to bytes and back, pure. The hot kinds have a fixed layout; `answer` carries a body that is already MessagePack.
 * Must never throw for what came in: a frame that makes no sense is undefined, and its link ends.
 */
import { parseNodeId } from "../base/ids.ts";
import { bodySlice, bodyText, detailBytes, HASH_BYTES, setFlags, slotByte, slotOf } from "./frame-fields.ts";
import {
  FLAG_DURABLE,
  FLAG_IN_PART,
  FLAG_PRESENT,
  FLAG_STAND_IN,
  FLAG_SUSPECT,
  HEADER_BYTES,
  KIND_ANSWER,
  KIND_DIGEST_REPLY,
  KIND_FAILED,
  KIND_OBJECT,
  KIND_PONG,
  KIND_REFUSED,
  KIND_STORED,
  MAX_DETAIL_BYTES,
} from "./frame-layout.ts";
import type { Frame } from "./frame-reader.ts";
import type { FrameWriter } from "./frame-writer.ts";
import type { PeerReply, RefusalReason } from "./messages.ts";

/** A reply as the wire carries it: the body of an `answer` is encoded. */
export type WireReply =
  | Exclude<PeerReply, { readonly kind: "answer" }>
  | { readonly kind: "answer"; readonly body: Uint8Array };

type WireKeyReply = Extract<WireReply, { readonly kind: "digest" | "object" | "stored" }>;

const SLOT_AND_DIGEST_BYTES = 1 + HASH_BYTES;
const COUNTER_BYTES = 8;
const NO_BYTES = new Uint8Array(0);

const encoder = new TextEncoder();

/** The numbers that the reasons have on the wire. */
const REASONS: readonly RefusalReason[] = [
  "not_owner",
  "overloaded",
  "disk_full",
  "expired",
  "shutting_down",
  "not_ready",
  "corrupt_record",
  "too_many_siblings",
  "unknown_topic",
  "bad_request",
  "moved",
  "collected",
  "uncertain",
];
/** The frame of this reason carries a node before its words: its length in bytes (0: unknown), then its name. */
const MOVED = REASONS.indexOf("moved");

/** True for the kinds that the accepting side sends once the link stands. */
export function isReplyKind(kind: number): boolean {
  return kind >= KIND_DIGEST_REPLY && kind <= KIND_FAILED;
}

/** Bytes that the frame of `reply` takes, at most. */
export function replySize(reply: WireReply): number {
  switch (reply.kind) {
    case "digest":
      return HEADER_BYTES + SLOT_AND_DIGEST_BYTES;
    case "stored":
      return HEADER_BYTES + SLOT_AND_DIGEST_BYTES + COUNTER_BYTES;
    case "object":
      return HEADER_BYTES + 1 + (reply.object?.length ?? 0);
    case "pong":
      return HEADER_BYTES;
    case "answer":
      return HEADER_BYTES + reply.body.length;
    case "refused":
    case "failed":
      return HEADER_BYTES + 1 + MAX_DETAIL_BYTES;
  }
}

/** Adds the frame of `reply` to the writer. */
export function encodeReply(writer: FrameWriter, reply: WireReply): void {
  switch (reply.kind) {
    case "digest": {
      const at = writer.start(KIND_DIGEST_REPLY, HEADER_BYTES + SLOT_AND_DIGEST_BYTES, 0);
      setFlags(writer, at, (reply.isSuspect ? FLAG_SUSPECT : 0) | standInFlag(reply.isStandIn));
      writer.view.setUint8(at, slotByte(reply.slot));
      writer.view.setBigUint64(at + 1, reply.digest);
      return;
    }
    case "object": {
      const object = reply.object ?? NO_BYTES;
      const at = writer.start(KIND_OBJECT, HEADER_BYTES + 1, object.length);
      const present = reply.object === undefined ? 0 : FLAG_PRESENT;
      setFlags(writer, at, (reply.isSuspect ? FLAG_SUSPECT : 0) | present | standInFlag(reply.isStandIn));
      writer.view.setUint8(at, slotByte(reply.slot));
      writer.append(object);
      return;
    }
    case "stored":
      return encodeStored(writer, reply);
    case "pong":
      writer.start(KIND_PONG, HEADER_BYTES, 0);
      return;
    case "answer":
      writer.start(KIND_ANSWER, HEADER_BYTES, reply.body.length);
      writer.append(reply.body);
      return;
    case "refused":
      return encodeRefused(writer, reply);
    case "failed": {
      const detail = detailBytes(reply.detail);
      const at = writer.start(KIND_FAILED, HEADER_BYTES + detail.length, 0);
      writer.bytes.set(detail, at);
    }
  }
}

/** The reply in the frame; its byte arrays are views of the frame's chunk. Undefined: malformed. */
export function decodeReply(frame: Frame): WireReply | undefined {
  const { view, bodyStart: at, flags } = frame;
  const sizeBytes = frame.bodyEnd - at;
  switch (frame.kind) {
    case KIND_DIGEST_REPLY:
      if (sizeBytes !== SLOT_AND_DIGEST_BYTES) return undefined;
      return by(flags, {
        kind: "digest",
        slot: slotOf(view.getUint8(at)),
        digest: view.getBigUint64(at + 1),
        isSuspect: (flags & FLAG_SUSPECT) !== 0,
      });
    case KIND_OBJECT:
      return decodeObject(frame, sizeBytes);
    case KIND_STORED:
      return decodeStored(frame, sizeBytes);
    case KIND_PONG:
      return sizeBytes === 0 ? { kind: "pong" } : undefined;
    case KIND_ANSWER:
      return { kind: "answer", body: bodySlice(frame, 0, sizeBytes) };
    case KIND_REFUSED:
      return decodeRefused(frame, sizeBytes);
    case KIND_FAILED:
      return { kind: "failed", detail: bodyText(frame, 0, sizeBytes) };
    default:
      return undefined;
  }
}

function encodeStored(writer: FrameWriter, reply: Extract<WireReply, { readonly kind: "stored" }>): void {
  const { keptAbove } = reply;
  const counterBytes = keptAbove === undefined ? 0 : COUNTER_BYTES;
  const at = writer.start(KIND_STORED, HEADER_BYTES + SLOT_AND_DIGEST_BYTES + counterBytes, 0);
  const inPart = keptAbove === undefined ? 0 : FLAG_IN_PART;
  setFlags(writer, at, (reply.isDurable ? FLAG_DURABLE : 0) | inPart | standInFlag(reply.isStandIn));
  writer.view.setUint8(at, slotByte(reply.slot));
  writer.view.setBigUint64(at + 1, reply.digest);
  if (keptAbove !== undefined) writer.view.setBigUint64(at + SLOT_AND_DIGEST_BYTES, BigInt(keptAbove));
}

function decodeStored({ view, flags, bodyStart: at }: Frame, sizeBytes: number): WireReply | undefined {
  const isInPart = (flags & FLAG_IN_PART) !== 0;
  if (sizeBytes !== SLOT_AND_DIGEST_BYTES + (isInPart ? COUNTER_BYTES : 0)) return undefined;
  const stored = {
    kind: "stored",
    slot: slotOf(view.getUint8(at)),
    digest: view.getBigUint64(at + 1),
    isDurable: (flags & FLAG_DURABLE) !== 0,
  } as const;
  if (!isInPart) return by(flags, stored);
  const keptAbove = Number(view.getBigUint64(at + SLOT_AND_DIGEST_BYTES));
  return Number.isSafeInteger(keptAbove) ? by(flags, { ...stored, keptAbove }) : undefined;
}

function encodeRefused(writer: FrameWriter, reply: Extract<WireReply, { readonly kind: "refused" }>): void {
  const words = detailBytes(reply.detail);
  const to = reply.reason === "moved" ? encoder.encode(reply.to ?? "") : undefined;
  const toBytes = to === undefined ? 0 : 1 + to.length;
  const detail = words.length + toBytes <= MAX_DETAIL_BYTES ? words : words.subarray(0, MAX_DETAIL_BYTES - toBytes);
  const at = writer.start(KIND_REFUSED, HEADER_BYTES + 1 + toBytes + detail.length, 0);
  writer.view.setUint8(at, REASONS.indexOf(reply.reason));
  if (to !== undefined) {
    writer.view.setUint8(at + 1, to.length);
    writer.bytes.set(to, at + 2);
  }
  writer.bytes.set(detail, at + 1 + toBytes);
}

function decodeRefused(frame: Frame, sizeBytes: number): WireReply | undefined {
  const number = sizeBytes < 1 ? -1 : frame.view.getUint8(frame.bodyStart);
  const reason = REASONS[number];
  // no proof that nothing was done: what it means is not known here
  if (reason === undefined) return number < 0 ? undefined : { kind: "failed", detail: `refused, by reason ${number}` };
  if (number !== MOVED) return { kind: "refused", reason, detail: bodyText(frame, 1, sizeBytes) };
  const toEnd = sizeBytes < 2 ? sizeBytes + 1 : 2 + frame.view.getUint8(frame.bodyStart + 1);
  if (toEnd > sizeBytes) return undefined;
  const detail = bodyText(frame, toEnd, sizeBytes);
  if (toEnd === 2) return { kind: "refused", reason, detail };
  const to = parseNodeId(bodyText(frame, 2, toEnd));
  return to === undefined ? undefined : { kind: "refused", reason, detail, to };
}

function decodeObject(frame: Frame, sizeBytes: number): WireReply | undefined {
  const isPresent = (frame.flags & FLAG_PRESENT) !== 0;
  if (sizeBytes < 1 || (!isPresent && sizeBytes !== 1)) return undefined;
  return by(frame.flags, {
    kind: "object",
    slot: slotOf(frame.view.getUint8(frame.bodyStart)),
    object: isPresent ? bodySlice(frame, 1, sizeBytes) : undefined,
    isSuspect: (frame.flags & FLAG_SUSPECT) !== 0,
  });
}

/** The reply, as that of a stand-in where the frame's flags say so. */
function by(flags: number, reply: WireKeyReply): WireReply {
  return (flags & FLAG_STAND_IN) === 0 ? reply : { ...reply, isStandIn: true };
}

function standInFlag(isStandIn: true | undefined): number {
  return isStandIn === true ? FLAG_STAND_IN : 0;
}
