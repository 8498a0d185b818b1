/**
 * The first 64 bytes of a segment. Layout: FORMAT.md §2. Must never be read without its checks.
 */
import { isZero } from "./bytes.ts";
import { checksum } from "./checksum.ts";

/** Bytes before the first record of a segment. */
export const SEGMENT_HEADER_BYTES = 64;
const SEGMENT_MAGIC = "gyreseg\n";
/** 1 knew no records that expire, nor reap marks */
const SEGMENT_VERSION = 2;

/** What a segment says of itself. */
export interface SegmentHeader {
  readonly kind: "segment";
  /** 1 … 2^32 − 1, never used twice in a store */
  readonly segment: number;
  /** 16 bytes */
  readonly storeId: Uint8Array;
  /** `log`: written by puts; `copy`: written by compaction or recovery */
  readonly role: "log" | "copy";
  /** what an acknowledged write in it had been through */
  readonly durability: "fsync" | "os";
}

/** The bytes are no segment header of this version. */
export interface SegmentHeaderCorrupt {
  readonly kind: "corrupt";
  readonly reason: "short" | "empty" | "magic" | "version" | "checksum" | "field";
}

/** The 64 bytes of a segment header. */
export function encodeSegmentHeader(header: Omit<SegmentHeader, "kind">): Buffer {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
  bytes.write(SEGMENT_MAGIC, 0, "latin1");
  bytes.writeUInt32LE(SEGMENT_VERSION, 8);
  bytes.writeUInt32LE(header.segment, 12);
  bytes.set(header.storeId, 16);
  bytes.writeUInt8(header.role === "log" ? 1 : 2, 32);
  bytes.writeUInt8(header.durability === "fsync" ? 1 : 2, 33);
  bytes.writeUInt32LE(checksum(bytes.subarray(0, 60), 0), 60);
  return bytes;
}

/** Reads a segment header; `corrupt` / `empty` when nothing was ever written there. */
export function decodeSegmentHeader(bytes: Buffer): SegmentHeader | SegmentHeaderCorrupt {
  if (bytes.length < SEGMENT_HEADER_BYTES) return { kind: "corrupt", reason: "short" };
  if (isZero(bytes, 0, SEGMENT_HEADER_BYTES)) return { kind: "corrupt", reason: "empty" };
  if (bytes.toString("latin1", 0, 8) !== SEGMENT_MAGIC) return { kind: "corrupt", reason: "magic" };
  if (checksum(bytes.subarray(0, 60), 0) !== bytes.readUInt32LE(60)) return { kind: "corrupt", reason: "checksum" };
  const version = bytes.readUInt32LE(8);
  if (version < 1 || version > SEGMENT_VERSION) return { kind: "corrupt", reason: "version" };
  const role = bytes.readUInt8(32);
  const durability = bytes.readUInt8(33);
  const isKnown = role >= 1 && role <= 2 && durability >= 1 && durability <= 2;
  if (!isKnown || !isZero(bytes, 34, 60)) return { kind: "corrupt", reason: "field" };
  return {
    kind: "segment",
    segment: bytes.readUInt32LE(12),
    storeId: Buffer.from(bytes.subarray(16, 32)),
    role: role === 1 ? "log" : "copy",
    durability: durability === 1 ? "fsync" : "os",
  };
}
