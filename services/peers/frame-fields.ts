/** Reads and writes the parts that frames are made of, pure. Must never know what a frame means. */
import { MAX_REPLICAS } from "../base/limits.ts";
import {
  HEADER_BYTES,
  MAX_DETAIL_BYTES,
  NO_SLOT_BYTE,
  STAND_IN_BIT,
  STAND_IN_COUNT_SHIFT,
  STAND_IN_MASK,
} from "./frame-layout.ts";
import type { Frame } from "./frame-reader.ts";
import type { FrameWriter } from "./frame-writer.ts";
import type { StandIn } from "./messages.ts";

/** Bytes of a hash or a version digest. */
export const HASH_BYTES = 8;

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** Sets the flags of the frame whose body starts at `bodyStart`. */
export function setFlags(writer: FrameWriter, bodyStart: number, flags: number): void {
  writer.view.setUint8(bodyStart - HEADER_BYTES + 9, flags);
}

/** The flags of a request for a stand-in. */
export function standInFlags({ slot, n }: StandIn): number {
  return STAND_IN_BIT | ((n - 1) << STAND_IN_COUNT_SHIFT) | slot;
}

/** What the flags of a request ask for: a stand-in, an owner (undefined), or nothing that makes sense. */
export function standInOf(flags: number): StandIn | undefined | "malformed" {
  if ((flags & STAND_IN_BIT) === 0) return undefined;
  const slot = flags & STAND_IN_MASK;
  const n = ((flags >> STAND_IN_COUNT_SHIFT) & STAND_IN_MASK) + 1;
  return slot < n && n <= MAX_REPLICAS ? { slot, n } : "malformed";
}

/** Sets the partition of the frame whose body starts at `bodyStart`. */
export function setPartition(writer: FrameWriter, bodyStart: number, partition: number): void {
  writer.view.setUint16(bodyStart - 2, partition);
}

/** A view of the body from offset `from` to `to`. */
export function bodySlice(frame: Frame, from: number, to: number): Uint8Array {
  return new Uint8Array(frame.bytes.buffer, frame.bytes.byteOffset + frame.bodyStart + from, to - from);
}

/** The text in the body from offset `from` to `to`; bytes that are no UTF-8 become U+FFFD. */
export function bodyText(frame: Frame, from: number, to: number): string {
  return from === to ? "" : decoder.decode(bodySlice(frame, from, to));
}

/** The words of a refusal, cut to what a frame holds. */
export function detailBytes(detail: string): Uint8Array {
  const bytes = encoder.encode(detail);
  return bytes.length <= MAX_DETAIL_BYTES ? bytes : bytes.subarray(0, MAX_DETAIL_BYTES);
}

/** A slot as one byte; −1 (none) is 255. */
export function slotByte(slot: number): number {
  return slot < 0 ? NO_SLOT_BYTE : slot;
}

/** The slot in a byte, −1 for none. */
export function slotOf(byte: number): number {
  return byte === NO_SLOT_BYTE ? -1 : byte;
}
