/**
 * The head of an encoded object: counts, clock and dots. What needs no values is answered from here,
 * without decoding. Must never throw on any bytes. The layout is told in object-codec.ts.
 */
import assert from "node:assert/strict";
import type { SiblingSet } from "./types.ts";
import { DOT_BYTES, readActor, readU16, readU32, readU64, writeDot, writeU16 } from "./wide-integers.ts";

const FORMAT_VERSION = 1;
const MAX_COUNT = 0xffff;

/** Where the counts, and with them the bytes under the digest, begin. */
export const COUNTS_AT: number = 2;
/** Where the dots begin. */
export const DOTS_AT: number = 8;
/** Bytes of a sibling's expiry, type length and body length. */
export const SIBLING_FIELDS_BYTES: number = 14;

/**
 * What keeps the bytes from being one whole object, by the lengths that they name; undefined when all is there. Cheaper
 * than decoding, and makes no garbage: for versions that are stored as they came. O(siblings).
 */
export function lengthFlawOf(bytes: Uint8Array): string | undefined {
  const flaw = headerFlawOf(bytes);
  if (flaw !== undefined) return flaw;
  const from = siblingFieldsAt(bytes);
  const to = from + siblingCountFieldOf(bytes) * SIBLING_FIELDS_BYTES;
  let sizeBytes = to;
  for (let at = from; at < to; at += SIBLING_FIELDS_BYTES)
    sizeBytes += readU16(bytes, at + 8) + readU32(bytes, at + 10);
  if (sizeBytes === bytes.length) return undefined;
  return sizeBytes > bytes.length ? "a body is cut short" : "bytes after the last body";
}

/** Siblings of the set encoded in `bytes`, from its header alone; −1 when that is malformed. 0 = a tombstone. */
export function encodedSiblingCountOf(bytes: Uint8Array): number {
  return headerFlawOf(bytes) === undefined ? siblingCountFieldOf(bytes) : -1;
}

/**
 * When nothing of the set encoded in `bytes` is there any more: the last expiry of its siblings, wall-clock milliseconds;
 * 0 when one of them stays for ever, when there is none (a tombstone), or when the header is malformed. O(siblings).
 */
export function encodedExpiryOf(bytes: Uint8Array): number {
  if (headerFlawOf(bytes) !== undefined) return 0;
  const from = siblingFieldsAt(bytes);
  const to = from + siblingCountFieldOf(bytes) * SIBLING_FIELDS_BYTES;
  let lastMs = 0;
  for (let at = from; at < to; at += SIBLING_FIELDS_BYTES) {
    const expiresAtMs = readU64(bytes, at);
    if (expiresAtMs === 0) return 0;
    lastMs = Math.max(lastMs, expiresAtMs);
  }
  return lastMs;
}

/** The greatest counter of an actor in the encoded clock, 0 = none or malformed; makes no garbage. */
export function encodedCounterOf(bytes: Uint8Array, actor: number): number {
  if (headerFlawOf(bytes) !== undefined) return 0;
  let greatest = 0;
  for (let at = DOTS_AT; at < siblingDotsAt(bytes); at += DOT_BYTES) {
    if (readActor(bytes, at) === actor) greatest = Math.max(greatest, readU64(bytes, at + 6));
  }
  return greatest;
}

/** The greatest counter of any actor in the encoded clock, 0 = none or malformed; makes no garbage. */
export function encodedGreatestCounterOf(bytes: Uint8Array): number {
  if (headerFlawOf(bytes) !== undefined) return 0;
  let greatest = 0;
  for (let at = DOTS_AT; at < siblingDotsAt(bytes); at += DOT_BYTES) {
    greatest = Math.max(greatest, readU64(bytes, at + 6));
  }
  return greatest;
}

/** Dots that the header of a set names. */
export function dotCountOf(set: SiblingSet): number {
  return set.clock.vector.length + set.clock.detached.length + set.siblings.length;
}

/** Writes version, counts and dots of a canonical set; returns where the siblings' fields go. */
export function writeHeader(bytes: Uint8Array, set: SiblingSet): number {
  const { vector, detached } = set.clock;
  assert.ok(Math.max(vector.length, detached.length, set.siblings.length) <= MAX_COUNT, "counts fit their fields");
  bytes[0] = FORMAT_VERSION;
  bytes[1] = 0;
  writeU16(bytes, COUNTS_AT, vector.length);
  writeU16(bytes, COUNTS_AT + 2, detached.length);
  writeU16(bytes, COUNTS_AT + 4, set.siblings.length);
  let at = DOTS_AT;
  for (const entry of vector) at = writeDot(bytes, at, entry);
  for (const dot of detached) at = writeDot(bytes, at, dot);
  for (const sibling of set.siblings) at = writeDot(bytes, at, sibling.dot);
  return at;
}

/** The least counter of a sibling's dot, 0 = no siblings or malformed; makes no garbage. */
export function encodedLeastSiblingCounterOf(bytes: Uint8Array): number {
  if (headerFlawOf(bytes) !== undefined) return 0;
  let least = 0;
  for (let at = siblingDotsAt(bytes); at < siblingFieldsAt(bytes); at += DOT_BYTES) {
    const counter = readU64(bytes, at + 6);
    least = least === 0 ? counter : Math.min(least, counter);
  }
  return least;
}

/** Entries of the vector. Only for bytes without a header flaw, as all below. */
export function vectorCountOf(bytes: Uint8Array): number {
  return readU16(bytes, COUNTS_AT);
}

/** Detached dots. */
export function detachedCountOf(bytes: Uint8Array): number {
  return readU16(bytes, COUNTS_AT + 2);
}

/** Siblings. */
export function siblingCountFieldOf(bytes: Uint8Array): number {
  return readU16(bytes, COUNTS_AT + 4);
}

/** Where the detached dots begin. */
export function detachedAt(bytes: Uint8Array): number {
  return DOTS_AT + vectorCountOf(bytes) * DOT_BYTES;
}

/** Where the siblings' dots begin. */
export function siblingDotsAt(bytes: Uint8Array): number {
  return detachedAt(bytes) + detachedCountOf(bytes) * DOT_BYTES;
}

/** Where the siblings' fields begin. */
export function siblingFieldsAt(bytes: Uint8Array): number {
  return siblingDotsAt(bytes) + siblingCountFieldOf(bytes) * DOT_BYTES;
}

/** What makes the header unreadable; undefined when it and the fields are all there. */
export function headerFlawOf(bytes: Uint8Array): string | undefined {
  if (bytes.length < DOTS_AT) return "shorter than a header";
  if (bytes[0] !== FORMAT_VERSION) return "unknown format version";
  if (bytes[1] !== 0) return "reserved byte is not zero";
  const fieldsEnd = siblingFieldsAt(bytes) + siblingCountFieldOf(bytes) * SIBLING_FIELDS_BYTES;
  return bytes.length < fieldsEnd ? "shorter than its counts say" : undefined;
}
