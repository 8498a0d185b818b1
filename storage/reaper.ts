/**
 * Takes records out of the store for good: a reap mark is written behind each, durable like any write, and in the
 * index it stands for "nothing". The mark keeps older records of the key from coming back at a start (Bitcask's
 * resurrection, reliability notes §3.1) until `reap-sweep.ts` has proved that there are none.
 * Must never take out a record that is not the newest of its key.
 */
import type { KeyAddress, ReapEntry } from "./engine.ts";
import { CorruptRecordError, StoreBusyError } from "./errors.ts";
import { KIND_REAPED, recordBytes } from "./format/record.ts";
import type { KeyLookup } from "./key-lookup.ts";
import type { Keyspace } from "./keyspace.ts";
import type { PartitionDrops } from "./partition-drops.ts";
import { type PendingWrite, pendingReapOf } from "./pending-write.ts";
import type { RecordReader, RecordSpot } from "./record-reader.ts";
import type { WriteQueue } from "./write-queue.ts";

/** What a reaper works with. */
export interface ReaperParts {
  readonly keyspace: Keyspace;
  readonly reader: RecordReader;
  readonly lookup: KeyLookup;
  readonly queue: WriteQueue;
  readonly drops: PartitionDrops;
  /** queues a write, or rejects it */
  readonly accept: (write: PendingWrite) => void;
}

/** marks that are under way at a time: as many share a group */
const SLICE_ENTRIES = 256;
/** bytes that most keys do not exceed; longer ones cost a second read */
const TYPICAL_KEY_BYTES = 128;

/** Reaps these records; resolves to how many are gone. Rejects as `StorageEngine.reap`. */
export async function reapRecords(
  parts: ReaperParts,
  partition: number,
  entries: readonly ReapEntry[],
): Promise<number> {
  let count = 0;
  let rest = entries;
  while (rest.length > 0) {
    const slice = sliceOf(rest);
    rest = slice.rest;
    const settled = await Promise.allSettled(slice.now.map((entry) => reapOne(parts, partition, entry)));
    for (const one of settled) {
      if (one.status === "rejected") throw one.reason;
      if (one.value) count += 1;
    }
  }
  return count;
}

/** The next so many, no two of one hash: marks of twins follow each other. */
function sliceOf(entries: readonly ReapEntry[]): {
  readonly now: readonly ReapEntry[];
  readonly rest: readonly ReapEntry[];
} {
  const now = new Map<bigint, ReapEntry>();
  const twins: ReapEntry[] = [];
  for (const entry of entries.slice(0, SLICE_ENTRIES)) {
    if (now.has(entry.hash)) twins.push(entry);
    else now.set(entry.hash, entry);
  }
  return { now: [...now.values()], rest: [...twins, ...entries.slice(SLICE_ENTRIES)] };
}

/** False when it is not the newest record of its key (any more), or when its key cannot be read. */
async function reapOne(parts: ReaperParts, partition: number, entry: ReapEntry): Promise<boolean> {
  const { drops } = parts;
  const spot = spotOf(parts.keyspace, partition, entry);
  if (spot === undefined) return false;
  const key = await keyOrUndefined(parts, { partition, hash: entry.hash }, spot);
  if (key === undefined) return false;
  const sizeBytes = recordBytes(key.length, 0);
  return new Promise((resolve, reject) => {
    const follow = (): void => {
      // looked at again in the very turn in which the mark takes its place in the order of writes
      if (spotOf(parts.keyspace, partition, entry) === undefined || isBeingWritten(parts.queue, entry)) {
        resolve(false);
        return;
      }
      const address: KeyAddress = { partition, hash: entry.hash, key };
      parts.accept(pendingReapOf(address, { resolve: () => resolve(true), reject }));
    };
    if (!drops.follow(partition, sizeBytes, follow)) reject(new StoreBusyError());
  });
}

/** A put that was called before has a lower seq than the mark would have: it would be reaped unseen. */
function isBeingWritten(queue: WriteQueue, { hash }: ReapEntry): boolean {
  return queue.newestOf(hash) !== undefined;
}

function spotOf(keyspace: Keyspace, partition: number, { hash, digest }: ReapEntry): RecordSpot | undefined {
  const table = keyspace.table(partition);
  if (table === undefined || digest === 0n) return undefined;
  for (let slot = table.find(hash); slot >= 0; slot = table.findNext(slot, hash)) {
    if (table.digestAt(slot) === digest && table.kindAt(slot) !== KIND_REAPED) return keyspace.spotOf(partition, slot);
  }
  return undefined;
}

async function keyOrUndefined(
  parts: ReaperParts,
  address: { readonly partition: number; readonly hash: bigint },
  spot: RecordSpot,
): Promise<Uint8Array | undefined> {
  try {
    const key = await parts.reader.key(spot, TYPICAL_KEY_BYTES);
    return key;
  } catch (error) {
    if (!(error instanceof CorruptRecordError)) throw error;
    parts.lookup.noteUnreadable(address, spot);
    return undefined;
  }
}
