/**
 * Partitioner: from a name to its place on the ring. A key's address is bucket, 0x00, key; its hash is xxh64 of that;
 * its partition is the hash's top bits (DESIGN §3). Hot path: one call per request; must never read the key as text.
 */
import assert from "node:assert/strict";
import { xxh64 } from "../base/hash.ts";
import type { BucketName } from "../base/ids.ts";
import { MAX_PARTITIONS, MIN_PARTITIONS } from "../base/limits.ts";

/** Where a key lives: same shape as the wire's KeyOnWire, replica's KeyLocation and storage's KeyAddress. */
export interface LocatedKey {
  readonly partition: number;
  /** unsigned 64-bit xxh64 of `key` */
  readonly hash: bigint;
  /** bucket, 0x00, key */
  readonly key: Uint8Array;
}

/** Shifting a bigint allocates; reading its high half through shared memory does not. */
const scratch64 = new BigUint64Array(1);
const scratch32 = new Uint32Array(scratch64.buffer);
scratch64[0] = 1n << 32n;
const HIGH_HALF = scratch32[1] === 1 ? 1 : 0;

/** Below this, a loop copies faster than the call into the runtime (65 against 134 ns for a whole address). */
const COPY_BY_HAND_BYTES = 48;

/** True when `count` can be a cluster's number of partitions: a power of two within the bounds of `limits.ts`. */
export function isPartitionCount(count: number): boolean {
  return Number.isInteger(count) && count >= MIN_PARTITIONS && count <= MAX_PARTITIONS && (count & (count - 1)) === 0;
}

/** log2 of a partition count (64 … 4096 → 6 … 12). */
export function partitionBitsOf(partitionCount: number): number {
  assert.ok(isPartitionCount(partitionCount), "the partition count is a power of two within its bounds");
  return 31 - Math.clz32(partitionCount);
}

/** The partition of a 64-bit hash: its top `partitionBits` (1 … 31) bits. */
export function partitionOf(hash: bigint, partitionBits: number): number {
  scratch64[0] = hash;
  return (scratch32[HIGH_HALF] ?? 0) >>> (32 - partitionBits);
}

/** The address bytes of a key: bucket (ASCII), 0x00, key. Allocates once; the bytes belong to the caller. */
export function keyBytes(bucket: BucketName, key: Uint8Array): Uint8Array {
  const bucketLength = bucket.length;
  const bytes = Buffer.allocUnsafe(bucketLength + 1 + key.length);
  for (let at = 0; at < bucketLength; at += 1) bytes[at] = bucket.charCodeAt(at);
  bytes[bucketLength] = 0;
  const start = bucketLength + 1;
  if (key.length > COPY_BY_HAND_BYTES) bytes.set(key, start);
  else for (let at = 0; at < key.length; at += 1) bytes[start + at] = key[at] ?? 0;
  return bytes;
}

/** Partition, hash and address bytes of a key name. `partitionCount` must be a power of two. */
export function locate(
  name: { readonly bucket: BucketName; readonly key: Uint8Array },
  partitionCount: number,
): LocatedKey {
  const key = keyBytes(name.bucket, name.key);
  const hash = xxh64(key);
  return { partition: partitionOf(hash, 31 - Math.clz32(partitionCount)), hash, key };
}
