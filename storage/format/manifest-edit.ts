/**
 * Edits of the manifest: each is one frame of changes that hold together or not at all. A frame's checksum is seeded
 * by its place, so that a leftover of another manifest never passes. Layout: FORMAT.md §5.
 * Must never skip a bad frame: only a torn LAST one may be dropped, which the reader decides, not this codec.
 */
import assert from "node:assert";
import { alignUp, isZero } from "./bytes.ts";
import { checksum, seedAt } from "./checksum.ts";

/** What a sealed segment is known by. */
export interface SealedFacts {
  readonly segment: number;
  /** bytes of the file */
  readonly sizeBytes: number;
  /** lowest and highest seq in it; 0 and 0 when it holds no record */
  readonly minSeq: number;
  readonly maxSeq: number;
}

/** One change of what the store is made of. */
export type ManifestChange =
  /** ids below this one may have been used */
  | { readonly kind: "ids"; readonly nextSegment: number }
  | { readonly kind: "added"; readonly segment: number }
  | ({ readonly kind: "sealed" } & SealedFacts)
  | { readonly kind: "removed"; readonly segment: number }
  | { readonly kind: "actor"; readonly actor: number }
  | { readonly kind: "lease"; readonly through: number }
  | { readonly kind: "suspect"; readonly partition: number }
  | { readonly kind: "cleared"; readonly partition: number }
  | { readonly kind: "all-suspect" }
  /** records of the partition up to this seq are gone */
  | { readonly kind: "dropped"; readonly partition: number; readonly throughSeq: number };

/** A proved frame. */
export interface EditFrame {
  readonly kind: "edit";
  readonly changes: readonly ManifestChange[];
  /** bytes of the frame, a multiple of 8 */
  readonly totalBytes: number;
}

/** The bytes at this place are no frame. */
export interface EditCorrupt {
  readonly kind: "corrupt";
  readonly reason: "short" | "checksum" | "change";
}

/** Bytes of a frame before its changes: length u32, checksum u32. */
export const EDIT_HEADER_BYTES = 8;
/** Longest frame that is believed. */
export const MAX_EDIT_BYTES: number = 16 * 1024 * 1024;

const CODES = {
  ids: 1,
  added: 2,
  sealed: 3,
  removed: 4,
  actor: 5,
  lease: 6,
  suspect: 7,
  cleared: 8,
  "all-suspect": 9,
  dropped: 10,
} as const;
/** bytes of each kind of change, its code byte included */
const SIZES: readonly number[] = [0, 5, 5, 25, 5, 7, 9, 3, 3, 1, 9];

/** The frame of these changes for the given byte offset of the manifest with the given seed. */
export function encodeEdit(changes: readonly ManifestChange[], place: EditPlace): Buffer {
  let bodyBytes = 0;
  for (const change of changes) bodyBytes += SIZES[CODES[change.kind]] ?? 0;
  const bytes = Buffer.alloc(alignUp(EDIT_HEADER_BYTES + bodyBytes));
  assert(bytes.length <= MAX_EDIT_BYTES, "an edit is never longer than what is read back");
  bytes.writeUInt32LE(bodyBytes, 0);
  let at = EDIT_HEADER_BYTES;
  for (const change of changes) at = encodeChange(change, bytes, at);
  bytes.writeUInt32LE(frameChecksum(bytes, 0, bytes.length, place), 4);
  return bytes;
}

/** Where a frame stands: the manifest's seed (see `fileSeed`) and a byte offset, a multiple of 8. */
export interface EditPlace {
  readonly manifestSeed: number;
  readonly offset: number;
}

/** Proves and reads the frame at `at` of `bytes`. */
export function decodeEdit(bytes: Buffer, at: number, place: EditPlace): EditFrame | EditCorrupt {
  if (at < 0 || at + EDIT_HEADER_BYTES > bytes.length) return { kind: "corrupt", reason: "short" };
  const bodyBytes = bytes.readUInt32LE(at);
  const totalBytes = alignUp(EDIT_HEADER_BYTES + bodyBytes);
  if (bodyBytes === 0 || totalBytes > MAX_EDIT_BYTES || at + totalBytes > bytes.length) {
    return { kind: "corrupt", reason: "short" };
  }
  if (frameChecksum(bytes, at, totalBytes, place) !== bytes.readUInt32LE(at + 4)) {
    return { kind: "corrupt", reason: "checksum" };
  }
  const end = at + EDIT_HEADER_BYTES + bodyBytes;
  if (!isZero(bytes, end, at + totalBytes)) return { kind: "corrupt", reason: "change" };
  const changes: ManifestChange[] = [];
  let next = at + EDIT_HEADER_BYTES;
  while (next < end) {
    const size = SIZES[bytes.readUInt8(next)] ?? 0;
    if (size === 0 || next + size > end) return { kind: "corrupt", reason: "change" };
    changes.push(parseChange(bytes, next));
    next += size;
  }
  return { kind: "edit", changes, totalBytes };
}

function frameChecksum(bytes: Buffer, at: number, totalBytes: number, place: EditPlace): number {
  const seed = seedAt(place.manifestSeed, place.offset);
  return checksum(bytes.subarray(at + EDIT_HEADER_BYTES, at + totalBytes), checksum(bytes.subarray(at, at + 4), seed));
}

function encodeChange(change: ManifestChange, into: Buffer, at: number): number {
  const code = CODES[change.kind];
  into.writeUInt8(code, at);
  switch (change.kind) {
    case "ids":
      into.writeUInt32LE(change.nextSegment, at + 1);
      break;
    case "added":
    case "removed":
      into.writeUInt32LE(change.segment, at + 1);
      break;
    case "sealed":
      into.writeUInt32LE(change.segment, at + 1);
      into.writeBigUInt64LE(BigInt(change.sizeBytes), at + 5);
      into.writeUIntLE(change.minSeq, at + 13, 6);
      into.writeUIntLE(change.maxSeq, at + 19, 6);
      break;
    case "actor":
      into.writeUIntLE(change.actor, at + 1, 6);
      break;
    case "lease":
      into.writeBigUInt64LE(BigInt(change.through), at + 1);
      break;
    case "suspect":
    case "cleared":
      into.writeUInt16LE(change.partition, at + 1);
      break;
    case "all-suspect":
      break;
    case "dropped":
      into.writeUInt16LE(change.partition, at + 1);
      into.writeUIntLE(change.throughSeq, at + 3, 6);
      break;
  }
  return at + (SIZES[code] ?? 0);
}

/** Reads a change whose code is known and whose bytes are all there. */
function parseChange(bytes: Buffer, at: number): ManifestChange {
  switch (bytes.readUInt8(at)) {
    case CODES.ids:
      return { kind: "ids", nextSegment: bytes.readUInt32LE(at + 1) };
    case CODES.added:
      return { kind: "added", segment: bytes.readUInt32LE(at + 1) };
    case CODES.removed:
      return { kind: "removed", segment: bytes.readUInt32LE(at + 1) };
    case CODES.sealed:
      return {
        kind: "sealed",
        segment: bytes.readUInt32LE(at + 1),
        sizeBytes: Number(bytes.readBigUInt64LE(at + 5)),
        minSeq: bytes.readUIntLE(at + 13, 6),
        maxSeq: bytes.readUIntLE(at + 19, 6),
      };
    case CODES.actor:
      return { kind: "actor", actor: bytes.readUIntLE(at + 1, 6) };
    case CODES.lease:
      return { kind: "lease", through: Number(bytes.readBigUInt64LE(at + 1)) };
    case CODES.suspect:
      return { kind: "suspect", partition: bytes.readUInt16LE(at + 1) };
    case CODES.cleared:
      return { kind: "cleared", partition: bytes.readUInt16LE(at + 1) };
    case CODES.dropped:
      return { kind: "dropped", partition: bytes.readUInt16LE(at + 1), throughSeq: bytes.readUIntLE(at + 3, 6) };
    default:
      return { kind: "all-suspect" };
  }
}
