/**
 * The first 48 bytes of a manifest: which store it is about. Layout: FORMAT.md §5.
 * Must never be guessed: a store without a valid one is not opened.
 */
import { checksum } from "./checksum.ts";

/** Bytes before the first edit. */
export const MANIFEST_HEADER_BYTES = 48;
const MANIFEST_MAGIC = "gyreman\n";
/** 2: partitions can be dropped */
const MANIFEST_VERSION = 2;
const OLDEST_VERSION = 1;

/** What is fixed when a store is made. */
export interface ManifestHeader {
  readonly kind: "manifest";
  /** which manifest of the store this is: 1, 2, … */
  readonly number: number;
  /** 16 random bytes */
  readonly storeId: Uint8Array;
  readonly partitionCount: number;
}

/** The bytes are no manifest header of this version. */
export interface ManifestHeaderCorrupt {
  readonly kind: "corrupt";
  readonly reason: "short" | "magic" | "version" | "checksum" | "field";
}

/** The 48 bytes of a manifest header. */
export function encodeManifestHeader(header: Omit<ManifestHeader, "kind">): Buffer {
  const bytes = Buffer.alloc(MANIFEST_HEADER_BYTES);
  bytes.write(MANIFEST_MAGIC, 0, "latin1");
  bytes.writeUInt32LE(MANIFEST_VERSION, 8);
  bytes.writeUInt32LE(header.partitionCount, 12);
  bytes.set(header.storeId, 16);
  bytes.writeBigUInt64LE(BigInt(header.number), 32);
  bytes.writeUInt32LE(checksum(bytes.subarray(0, 44), 0), 44);
  return bytes;
}

/** Reads a manifest header of this version or an older one. */
export function decodeManifestHeader(bytes: Buffer): ManifestHeader | ManifestHeaderCorrupt {
  if (bytes.length < MANIFEST_HEADER_BYTES) return { kind: "corrupt", reason: "short" };
  if (bytes.toString("latin1", 0, 8) !== MANIFEST_MAGIC) return { kind: "corrupt", reason: "magic" };
  if (checksum(bytes.subarray(0, 44), 0) !== bytes.readUInt32LE(44)) return { kind: "corrupt", reason: "checksum" };
  const version = bytes.readUInt32LE(8);
  if (version < OLDEST_VERSION || version > MANIFEST_VERSION) return { kind: "corrupt", reason: "version" };
  const number = Number(bytes.readBigUInt64LE(32));
  if (!Number.isSafeInteger(number)) return { kind: "corrupt", reason: "field" };
  return {
    kind: "manifest",
    number,
    storeId: Buffer.from(bytes.subarray(16, 32)),
    partitionCount: bytes.readUInt32LE(12),
  };
}
