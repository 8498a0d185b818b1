/**
 * Finds out, before a record is written, whether another key with the same 64-bit hash is known: among the writes that
 * are under way, or on disk. The record then says so for ever, and everything without that mark may be told apart by
 * hash alone: start-up needs no key, an overwrite only one short read.
 * Must never assume that equal hashes are equal keys: the hash has no secret, so collisions can be made at will.
 */
import type { KeyAddress, PutRequest } from "./engine.ts";
import { CorruptRecordError, StoreBusyError } from "./errors.ts";
import { bufferOver } from "./format/bytes.ts";
import type { Keyspace, LogPlace } from "./keyspace.ts";
import type { PendingWrite } from "./pending-write.ts";
import { isOutOfHandles } from "./ports.ts";
import type { RecordReader, RecordSpot } from "./record-reader.ts";
import type { SegmentSet } from "./segment-set.ts";
import type { WriteQueue } from "./write-queue.ts";

/** What a judge works with. */
export interface JudgeParts {
  readonly keyspace: Keyspace;
  readonly reader: RecordReader;
  readonly queue: WriteQueue;
  readonly segments: SegmentSet;
}

/** Compares keys of one hash. */
export class HashJudge {
  readonly #keyspace: Keyspace;
  readonly #reader: RecordReader;
  readonly #queue: WriteQueue;
  readonly #segments: SegmentSet;

  constructor(parts: JudgeParts) {
    this.#segments = parts.segments;
    this.#keyspace = parts.keyspace;
    this.#reader = parts.reader;
    this.#queue = parts.queue;
  }

  /** Whether another key shares this hash; called before the write is queued. Rejects when it cannot be found out. */
  sharesHash(request: PutRequest): boolean | Promise<boolean> {
    const { address } = request;
    const newest = this.#queue.newestOf(address.hash);
    if (newest !== undefined) {
      if (newest.sharesHash !== false) return asJudged(newest);
      if (!bufferOver(address.key).equals(newest.request.address.key)) return true;
    }
    return this.#sharesKnown(request);
  }

  /** Whether a record that is visible is of another key of this hash. */
  #sharesKnown(request: PutRequest): boolean | Promise<boolean> {
    const { partition, hash } = request.address;
    const key = bufferOver(request.address.key);
    const table = this.#keyspace.table(partition);
    const slot = table === undefined ? -1 : table.find(hash);
    if (table === undefined || slot < 0) return false;
    if (table.findNext(slot, hash) >= 0) return true;
    // digests of different keys never agree: the caller has read this very record
    if (request.replaces !== undefined && table.digestAt(slot) === request.replaces) return false;
    const spot = this.#keyspace.spotOf(partition, slot);
    if (spot === undefined) return false;
    const found = this.#keyAt(spot, key.length);
    return found instanceof Promise ? found.then((bytes) => isOtherKey(bytes, key)) : isOtherKey(found, key);
  }

  /**
   * Where the entry of exactly this key stands among all of its hash; else where one stands that cannot be read, for
   * what it held is lost already; undefined when there is neither.
   */
  async placeOf(address: KeyAddress): Promise<LogPlace | undefined> {
    const key = bufferOver(address.key);
    let unreadable: LogPlace | undefined;
    const spots = this.#keyspace.spotsOf(address.partition, address.hash);
    for (const spot of spots) this.#segments.pin(spot.segment);
    try {
      for (const spot of spots) {
        const place = { segment: spot.segment.id, offset: spot.offset };
        const found = await this.#keyAt(spot, key.length);
        if (found === undefined) unreadable ??= place;
        else if (found.equals(key)) return place;
      }
    } finally {
      for (const spot of spots) this.#segments.unpin(spot.segment);
    }
    return unreadable;
  }

  /** The key that stands there; undefined when it cannot be read. */
  #keyAt(spot: RecordSpot, expectedLength: number): Buffer | undefined | Promise<Buffer | undefined> {
    try {
      const found = this.#reader.key(spot, expectedLength);
      return found instanceof Promise ? found.catch(undefinedIfCorrupt) : found;
    } catch (error) {
      return undefinedIfCorrupt(error);
    }
  }
}

/** One that is still being judged, or was refused for want of a judgement, has none for others of its hash either. */
function asJudged(other: PendingWrite): boolean | Promise<boolean> {
  const told = (): boolean | Promise<boolean> => other.refusal === undefined || Promise.reject(other.refusal);
  return other.sharesHash === undefined && other.judged !== undefined ? other.judged.then(told) : told();
}

function undefinedIfCorrupt(error: unknown): undefined {
  if (error instanceof CorruptRecordError) return undefined;
  throw error;
}

/** A key that cannot be read counts as the same one: the new record heals its place. */
function isOtherKey(found: Buffer | undefined, key: Buffer): boolean {
  return found !== undefined && !found.equals(key);
}

/** Says in a pending write what was found out. */
export function recordJudgement(write: PendingWrite, verdict: boolean | Promise<boolean>): void {
  if (typeof verdict === "boolean") {
    write.sharesHash = verdict;
    return;
  }
  write.judged = verdict.then(
    (sharesHash) => {
      write.sharesHash = sharesHash;
    },
    (error: unknown) => {
      // not known is treated as shared: the keys are then compared when the record is published, where that will be possible
      write.sharesHash = true;
      if (error instanceof StoreBusyError) write.refusal = error;
      else if (isOutOfHandles(error)) write.refusal = new StoreBusyError({ cause: error });
    },
  );
}
