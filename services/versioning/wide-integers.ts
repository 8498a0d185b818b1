/**
 * Unsigned integers wider than 32 bits as bytes, most significant first, without bigints: actors in 6 bytes, counters
 * and times in 8. Must never check bounds of the array: callers have measured it.
 */
import type { Dot } from "./types.ts";

const WORD = 0x1_0000_0000;

/** Bytes of one dot: actor u48, counter u64. */
export const DOT_BYTES: number = 14;

/** Writes `value` (0 … 2^16 − 1) at `at`. */
export function writeU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

/** Writes `value` (0 … 2^32 − 1) at `at`. */
export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** Writes `value` (0 … 2^53 − 1) in eight bytes at `at`. */
export function writeU64(bytes: Uint8Array, at: number, value: number): void {
  writeU32(bytes, at, Math.floor(value / WORD));
  writeU32(bytes, at + 4, value >>> 0);
}

/** Writes a dot in `DOT_BYTES` bytes; returns where the next thing goes. */
export function writeDot(bytes: Uint8Array, at: number, dot: Dot): number {
  writeU16(bytes, at, Math.floor(dot.actor / WORD));
  writeU32(bytes, at + 2, dot.actor >>> 0);
  writeU64(bytes, at + 6, dot.counter);
  return at + DOT_BYTES;
}

/** The two bytes at `at`. */
export function readU16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

/** The four bytes at `at`, unsigned. */
export function readU32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0
  );
}

/** The eight bytes at `at`; above 2^53 − 1 the result is rounded, and so never a safe integer. */
export function readU64(bytes: Uint8Array, at: number): number {
  return readU32(bytes, at) * WORD + readU32(bytes, at + 4);
}

/** The actor at `at`. */
export function readActor(bytes: Uint8Array, at: number): number {
  return readU16(bytes, at) * WORD + readU32(bytes, at + 2);
}

/** The dot at `at`. */
export function readDot(bytes: Uint8Array, at: number): Dot {
  return { actor: readActor(bytes, at), counter: readU64(bytes, at + 6) };
}
