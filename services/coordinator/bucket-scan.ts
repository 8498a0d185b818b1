/**
 * This node's part of a listing: the living keys of one bucket among what it stores, over a run of partitions, in hash
 * order. Bounded by keys, entries looked at and time, and it gives way to other work between steps. Must never read a
 * partition of which no slot is held here, nor a value, but of keys that may have expired: those cost a read each.
 */
import type { BucketName } from "../base/ids.ts";
import { LIST_SCAN_ENTRIES, LIST_SCAN_STEP } from "../base/limits.ts";
import type { Clock } from "../base/ports.ts";
import { keyBytes, partitionBitsOf, partitionOf } from "../placement/partitioner.ts";
import type { LocalReplica } from "../replica/contract.ts";
import { encodedExpiryOf } from "../versioning/object-header.ts";
import type { KeyScan, ScannedKey } from "./needs.ts";

const HASH_BITS = 64;
const MICROS_PER_MS = 1_000;

/** What to look for, and how far. */
export interface ScanRun {
  readonly bucket: BucketName;
  readonly prefix: Uint8Array;
  /** hash to start at */
  readonly from: bigint;
  /** the last partition to look at */
  readonly through: number;
  /** keys wanted, ≥ 1; a few more come when they share a hash */
  readonly limit: number;
  /** monotonic milliseconds at which to stop; one step is always made */
  readonly stopAtMs: number;
}

/** What a run found. */
export interface ScanFound {
  /** keys without their bucket, in hash order */
  readonly keys: readonly Uint8Array[];
  /** hash to go on from; undefined when the run is done to its last partition */
  readonly next: bigint | undefined;
}

/** Looks through this node's store. */
export interface ScanParts {
  readonly clock: Clock;
  readonly scan: KeyScan;
  /** what is stored of a key, to see whether its time is over */
  readonly local: Pick<LocalReplica, "readEncoded">;
  readonly partitionCount: number;
  /** the slot of the bucket's n that this node holds of the partition, −1 for none */
  readonly slotOf: (partition: number) => number;
}

/** The hash at which a partition begins; undefined past the last one. */
export function startOf(partition: number, partitionCount: number): bigint | undefined {
  if (partition >= partitionCount) return undefined;
  return BigInt(partition) << BigInt(HASH_BITS - partitionBitsOf(partitionCount));
}

/** The partition in which a hash lies. */
export function partitionAt(hash: bigint, partitionCount: number): number {
  return partitionOf(hash, partitionBitsOf(partitionCount));
}

/** Runs through the partitions; undefined when the first of them is not held here. */
export async function scanRun(parts: ScanParts, run: ScanRun): Promise<ScanFound | undefined> {
  const start = keyBytes(run.bucket, run.prefix);
  const bucketLength = run.bucket.length + 1;
  const keys: Uint8Array[] = [];
  const first = partitionAt(run.from, parts.partitionCount);
  let position = run.from;
  let entryCount = 0;
  for (let partition = first; partition <= run.through; ) {
    const slot = parts.slotOf(partition);
    if (slot < 0) return partition === first ? undefined : { keys, next: position };
    // One partition after the other, one step after the other: the page must come in hash order.
    // oxlint-disable-next-line no-await-in-loop
    const page = await parts.scan.scan(partition, position, LIST_SCAN_STEP);
    // oxlint-disable-next-line no-await-in-loop
    const entries = await livingOf(parts, { partition, start }, page.entries);
    // The slot may have gone while the disk was read, and keys with it: such a page would leave out what stands.
    if (parts.slotOf(partition) !== slot) return partition === first ? undefined : { keys, next: position };
    const stop = take(entries, { start, bucketLength, keys, limit: run.limit });
    if (stop !== undefined) return { keys, next: stop };
    const next = page.nextHash ?? startOf(partition + 1, parts.partitionCount);
    if (page.nextHash === undefined) partition += 1;
    if (next === undefined || partition > run.through) return { keys, next: undefined };
    position = next;
    entryCount += page.entries.length;
    const isTimeUp = parts.clock.monotonicMs() >= run.stopAtMs;
    if (keys.length >= run.limit || entryCount >= LIST_SCAN_ENTRIES || isTimeUp) return { keys, next: position };
    // An empty partition costs nothing: only real work gives way.
    // oxlint-disable-next-line no-await-in-loop
    if (page.entries.length > 0) await turnOf(parts.clock);
  }
  return { keys, next: undefined };
}

/** The entries without those of the bucket whose time is over. What cannot be read is shown: an error is no absence. */
async function livingOf(
  parts: ScanParts,
  where: { readonly partition: number; readonly start: Uint8Array },
  entries: readonly ScannedKey[],
): Promise<readonly ScannedKey[]> {
  if (!entries.some((entry) => entry.mayExpire === true)) return entries;
  const living: ScannedKey[] = [];
  for (const entry of entries) {
    const { hash, key } = entry;
    if (entry.mayExpire === true && startsWith(key, where.start)) {
      const reading = parts.local.readEncoded({ partition: where.partition, hash, key });
      // At once when the record is cached; one at a time otherwise: values may be large.
      // oxlint-disable-next-line no-await-in-loop
      const read = reading instanceof Promise ? await reading : reading;
      if (read.kind === "object" && isOver(read.object, parts.clock)) continue;
    }
    living.push(entry);
  }
  return living;
}

/** Nothing of the object is there any more, or it went while it was looked at. */
function isOver(object: Uint8Array | undefined, clock: Clock): boolean {
  if (object === undefined) return true;
  const expiresAtMs = encodedExpiryOf(object);
  return expiresAtMs !== 0 && expiresAtMs <= clock.wallMicros() / MICROS_PER_MS;
}

interface Taking {
  readonly start: Uint8Array;
  readonly bucketLength: number;
  readonly keys: Uint8Array[];
  readonly limit: number;
}

/** Adds what fits; the hash to go on from when the limit is reached. Keys of one hash stay together. */
function take(entries: readonly ScannedKey[], taking: Taking): bigint | undefined {
  let lastHash: bigint | undefined;
  for (const entry of entries) {
    if (taking.keys.length >= taking.limit && entry.hash !== lastHash) return entry.hash;
    lastHash = entry.hash;
    if (entry.isTombstone || !startsWith(entry.key, taking.start)) continue;
    taking.keys.push(entry.key.subarray(taking.bucketLength));
  }
  return undefined;
}

function startsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  if (bytes.length < start.length) return false;
  for (let at = 0; at < start.length; at += 1) if (bytes[at] !== start[at]) return false;
  return true;
}

function turnOf(clock: Clock): Promise<void> {
  return new Promise((resolve) => clock.defer(resolve));
}
