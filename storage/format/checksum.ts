/**
 * CRC-32 seeded by place: bytes that were recycled, misdirected or copied never validate where they do not belong.
 * A CRC with two different seeds over the same bytes always differs, and within a segment every offset has its own
 * seed, so a record moved inside its segment is ALWAYS found out. Source: reliability notes §3.3 (RocksDB format 6).
 */
import { crc32 } from "node:zlib";

/** CRC-32 (IEEE, as in zlib) of `bytes`, continued from `seed`. */
export function checksum(bytes: Uint8Array, seed: number): number {
  return crc32(bytes, seed);
}

/** The seed of everything in one file of one store: its 16-byte identity, a kind letter, its number. */
export function fileSeed(storeId: Uint8Array, kind: "segment" | "index" | "manifest", number: number): number {
  const place = Buffer.alloc(9);
  place.writeUInt8(KIND_CODES[kind], 0);
  place.writeBigUInt64LE(BigInt(number), 1);
  return crc32(place, crc32(storeId));
}

/** The seed at a byte offset (multiple of 8, below 32 GiB) of a file: an odd multiplier keeps offsets apart. */
export function seedAt(seedOfFile: number, offset: number): number {
  return (seedOfFile ^ Math.imul(offset / 8, 0x9e3779b1)) >>> 0;
}

const KIND_CODES = { segment: 1, index: 2, manifest: 3 } as const;
