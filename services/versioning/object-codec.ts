/**
 * Sibling set ⇄ bytes, the same on disk and on the wire. One encoding per set: equal sets have equal bytes, and bytes
 * that are not what `encodeSet` would write are corrupt. Must never throw on any bytes, never copy a body while
 * decoding, and never need the bodies for the digest or the count.
 *
 * Layout, big-endian: version u8 = 1, zero u8, counts u16 × 3 (vector, detached, siblings); dots of the vector, of the
 * detached, of the siblings (actor u48, counter u64); per sibling expiry u64 (ms), type length u16, body length u32;
 * the content types (Latin-1); the bodies. The digest is xxh64 over the bytes from the counts to the last dot.
 */
import assert from "node:assert/strict";
import { xxh64 } from "../base/hash.ts";
import { clockFlawOf, covers } from "./causal-context.ts";
import { compareByAge, orderFlawOf } from "./dot.ts";
import {
  COUNTS_AT,
  DOTS_AT,
  detachedAt,
  detachedCountOf,
  dotCountOf,
  headerFlawOf,
  SIBLING_FIELDS_BYTES,
  siblingCountFieldOf,
  siblingDotsAt,
  siblingFieldsAt,
  vectorCountOf,
  writeHeader,
} from "./object-header.ts";
import type { CausalContext, Dot, Sibling, SiblingSet } from "./types.ts";
import { DOT_BYTES, readDot, readU16, readU32, readU64, writeU16, writeU32, writeU64 } from "./wide-integers.ts";

const MAX_TYPE_BYTES = 0xffff;

/** A decoded object, or why the bytes are none. Bodies are views into the bytes. */
export type DecodedSet =
  | { readonly kind: "set"; readonly set: SiblingSet }
  | { readonly kind: "corrupt"; readonly reason: string };

/** Bytes that the encoded set takes. O(siblings). */
export function encodedSizeOf(set: SiblingSet): number {
  let sizeBytes = DOTS_AT + dotCountOf(set) * DOT_BYTES + set.siblings.length * SIBLING_FIELDS_BYTES;
  for (const sibling of set.siblings) sizeBytes += sibling.contentType.length + sibling.bytes.length;
  return sizeBytes;
}

/** The one encoding of a canonical set. Content types must be Latin-1. O(bytes): bodies are copied once. */
export function encodeSet(set: SiblingSet): Uint8Array {
  const bytes = Buffer.allocUnsafe(encodedSizeOf(set));
  let at = writeHeader(bytes, set);
  for (const sibling of set.siblings) {
    assert.ok(sibling.contentType.length <= MAX_TYPE_BYTES, "a content type fits its length field");
    writeU64(bytes, at, sibling.expiresAtMs);
    writeU16(bytes, at + 8, sibling.contentType.length);
    writeU32(bytes, at + 10, sibling.bytes.length);
    at += SIBLING_FIELDS_BYTES;
  }
  for (const sibling of set.siblings) {
    for (let i = 0; i < sibling.contentType.length; i += 1) {
      const code = sibling.contentType.charCodeAt(i);
      assert.ok(code <= 0xff, "a content type is Latin-1");
      bytes[at++] = code;
    }
  }
  for (const sibling of set.siblings) {
    bytes.set(sibling.bytes, at);
    at += sibling.bytes.length;
  }
  return bytes;
}

/** The set in the bytes, or the reason why there is none; never throws. O(header): bodies are views into `bytes`. */
export function decodeSet(bytes: Uint8Array): DecodedSet {
  const flaw = headerFlawOf(bytes);
  if (flaw !== undefined) return { kind: "corrupt", reason: flaw };
  const clock: CausalContext = {
    vector: readDots(bytes, DOTS_AT, vectorCountOf(bytes)),
    detached: readDots(bytes, detachedAt(bytes), detachedCountOf(bytes)),
  };
  const dots = readDots(bytes, siblingDotsAt(bytes), siblingCountFieldOf(bytes));
  const dotFlaw = dotFlawOf(clock, dots);
  if (dotFlaw !== undefined) return { kind: "corrupt", reason: dotFlaw };
  return readSiblings(bytes, clock, dots);
}

/** The digest of a set: xxh64 over its clock and dots, never 0n (which means: nothing). O(header). */
export function digestOf(set: SiblingSet): bigint {
  const sizeBytes = DOTS_AT + dotCountOf(set) * DOT_BYTES;
  if (scratch.length < sizeBytes) scratch = new Uint8Array(sizeBytes * 2);
  writeHeader(scratch, set);
  return digestOfDots(scratch.subarray(COUNTS_AT, sizeBytes));
}

/** The digest of the set encoded in `bytes`, from its header alone; 0n when that is malformed. */
export function encodedDigestOf(bytes: Uint8Array): bigint {
  if (headerFlawOf(bytes) !== undefined) return 0n;
  return digestOfDots(bytes.subarray(COUNTS_AT, siblingFieldsAt(bytes)));
}

// Reused for digests of sets that have no bytes yet; written and read within one call.
let scratch: Uint8Array = new Uint8Array(1024);

function digestOfDots(bytes: Uint8Array): bigint {
  const digest = xxh64(bytes);
  return digest === 0n ? 1n : digest;
}

function readDots(bytes: Uint8Array, from: number, count: number): readonly Dot[] {
  const dots: Dot[] = [];
  for (let i = 0; i < count; i += 1) dots.push(readDot(bytes, from + i * DOT_BYTES));
  return dots;
}

function dotFlawOf(clock: CausalContext, dots: readonly Dot[]): string | undefined {
  return (
    clockFlawOf(clock) ??
    orderFlawOf(dots, (a, b) => compareByAge(b, a)) ??
    (dots.every((dot) => covers(clock, dot)) ? undefined : "a sibling that the clock does not cover")
  );
}

function readSiblings(bytes: Uint8Array, clock: CausalContext, dots: readonly Dot[]): DecodedSet {
  let fieldsAt = siblingFieldsAt(bytes);
  let typeAt = fieldsAt + dots.length * SIBLING_FIELDS_BYTES;
  let bodyAt = typeAt;
  for (let i = 0; i < dots.length; i += 1) bodyAt += readU16(bytes, fieldsAt + i * SIBLING_FIELDS_BYTES + 8);
  const siblings: Sibling[] = [];
  for (const dot of dots) {
    const expiresAtMs = readU64(bytes, fieldsAt);
    const typeBytes = readU16(bytes, fieldsAt + 8);
    const bodyEnd = bodyAt + readU32(bytes, fieldsAt + 10);
    fieldsAt += SIBLING_FIELDS_BYTES;
    if (!Number.isSafeInteger(expiresAtMs)) return { kind: "corrupt", reason: "an expiry out of range" };
    if (bodyEnd > bytes.length) return { kind: "corrupt", reason: "a body is cut short" };
    const contentType = readLatin1(bytes, typeAt, typeBytes);
    siblings.push({ dot, expiresAtMs, contentType, bytes: bytes.subarray(bodyAt, bodyEnd) });
    typeAt += typeBytes;
    bodyAt = bodyEnd;
  }
  if (bodyAt !== bytes.length) return { kind: "corrupt", reason: "bytes after the last body" };
  return { kind: "set", set: { clock, siblings } };
}

// Nearly all values of a store have one of a few types: the last one met is compared, not built again.
let lastType = "";

function readLatin1(bytes: Uint8Array, from: number, lengthBytes: number): string {
  if (lengthBytes === lastType.length) {
    let i = 0;
    while (i < lengthBytes && bytes[from + i] === lastType.charCodeAt(i)) i += 1;
    if (i === lengthBytes) return lastType;
  }
  lastType = Buffer.from(bytes.buffer, bytes.byteOffset + from, lengthBytes).toString("latin1");
  return lastType;
}
