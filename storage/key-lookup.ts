/**
 * Finds the record of a key: by hash in RAM, proved by its key on disk. Bytes that cannot be read are an error to this
 * reader and a fact for everyone: the partition is suspect from then on, and the Merkle tree no longer claims the
 * version, so that replicas repair it. Must never answer absence for them.
 */
import type { KeyAddress, ReadTerm, StoredRecord } from "./engine.ts";
import { CorruptRecordError } from "./errors.ts";
import { bufferOver } from "./format/bytes.ts";
import { KIND_REAPED, KIND_TOMBSTONE, kindOf, RECORD_HEADER_BYTES, valueOf } from "./format/record.ts";
import type { Keyspace } from "./keyspace.ts";
import type { StorageLog } from "./ports.ts";
import type { ReadRecord, RecordReader, RecordSpot } from "./record-reader.ts";
import type { SegmentSet } from "./segment-set.ts";
import type { Suspicion } from "./suspicion.ts";

/** What a lookup works with. */
export interface LookupParts {
  readonly keyspace: Keyspace;
  readonly reader: RecordReader;
  readonly segments: SegmentSet;
  readonly suspicion: Suspicion;
  readonly log: StorageLog;
}

interface Match {
  /** undefined: the key was reaped */
  readonly record: StoredRecord | undefined;
  readonly spot: RecordSpot;
  readonly seq: number;
}

/** Looks keys up. */
export class KeyLookup {
  readonly #parts: LookupParts;
  #corruptReadCount = 0;

  constructor(parts: LookupParts) {
    this.#parts = parts;
  }

  /** Reads that met bytes that fail their checksum. */
  get corruptReadCount(): number {
    return this.#corruptReadCount;
  }

  /** The newest record of the key; at once when its bytes are believed cached. Throws or rejects as `StorageEngine.get`. */
  get(address: KeyAddress, until?: number | ReadTerm): StoredRecord | undefined | Promise<StoredRecord | undefined> {
    const { keyspace, reader } = this.#parts;
    const { partition, hash } = address;
    const table = keyspace.table(partition);
    const slot = table === undefined ? -1 : table.find(hash);
    if (table === undefined || slot < 0) return undefined;
    if (table.findNext(slot, hash) >= 0) return this.#getAmong(address, until);
    if (table.kindAt(slot) === KIND_REAPED) return undefined;
    const spot = keyspace.spotOf(partition, slot);
    if (spot === undefined) throw new Error("the index points at a segment that is gone");
    try {
      const read = reader.record(spot, until);
      if (!(read instanceof Promise)) return recordIfKey(read, address);
      return read.then(
        (record) => recordIfKey(record, address),
        (error: unknown) => this.#rethrow(error, address, spot),
      );
    } catch (error) {
      return this.#rethrow(error, address, spot);
    }
  }

  /** Takes note of a record that cannot be read: see the head of this file. */
  noteUnreadable(address: { readonly partition: number; readonly hash: bigint }, spot: RecordSpot): void {
    const { keyspace, suspicion, log } = this.#parts;
    const { partition, hash } = address;
    const place = { segment: spot.segment.id, offset: spot.offset };
    this.#corruptReadCount += 1;
    log.error({ event: "storage.record-corrupt", ...place, partition });
    // overwritten or dropped while it was read: nobody misses it
    if (keyspace.slotAt(partition, hash, place) < 0) return;
    // one that was given up before has been told of: whoever repairs knows of it, and what became of it
    if (!keyspace.disown(partition, hash, place) && !suspicion.has(partition)) return;
    suspicion.add(partition).catch((error: unknown) => {
      // believed in RAM all the same; without space it is written down the next time someone asks
      log.warn({ event: "storage.suspicion-not-durable", partition, cause: String(error) });
    });
  }

  #rethrow(error: unknown, address: KeyAddress, spot: RecordSpot): never {
    if (error instanceof CorruptRecordError) this.noteUnreadable(address, spot);
    throw error;
  }

  /**
   * Several entries have the hash. One that cannot be read may be this key's newest: a readable one only answers when it
   * is proved to be newer.
   */
  async #getAmong(address: KeyAddress, until: number | ReadTerm | undefined): Promise<StoredRecord | undefined> {
    const { keyspace, segments } = this.#parts;
    const spots = keyspace.spotsOf(address.partition, address.hash);
    for (const spot of spots) segments.pin(spot.segment);
    try {
      let newest: Match | undefined;
      const unreadable: { readonly spot: RecordSpot; readonly error: CorruptRecordError }[] = [];
      for (const spot of spots) {
        const read = await this.#readOrError(address, spot, until);
        if (read instanceof CorruptRecordError) {
          unreadable.push({ spot, error: read });
          continue;
        }
        const { seq } = read.identity;
        if (!isOfKey(read, address) || (newest !== undefined && seq <= newest.seq)) continue;
        newest = { record: recordOf(read), spot, seq };
      }
      for (const { spot, error } of unreadable) {
        if (newest === undefined || !isProvedOlder(spot, newest)) throw error;
      }
      return newest?.record;
    } finally {
      for (const spot of spots) segments.unpin(spot.segment);
    }
  }

  async #readOrError(
    address: KeyAddress,
    spot: RecordSpot,
    until: number | ReadTerm | undefined,
  ): Promise<ReadRecord | CorruptRecordError> {
    try {
      const read = await this.#parts.reader.record(spot, until);
      return read;
    } catch (error) {
      if (!(error instanceof CorruptRecordError)) throw error;
      this.noteUnreadable(address, spot);
      return error;
    }
  }
}

/** Within a segment seqs grow with the offset; a sealed one knows its highest. Anything else proves nothing. */
function isProvedOlder(unreadable: RecordSpot, match: Match): boolean {
  const { segment, offset } = unreadable;
  if (segment === match.spot.segment) return offset < match.spot.offset;
  return segment.isSealed && segment.maxSeq < match.seq;
}

function recordIfKey(read: ReadRecord, address: KeyAddress): StoredRecord | undefined {
  return isOfKey(read, address) ? recordOf(read) : undefined;
}

function isOfKey({ identity, bytes }: ReadRecord, { key }: KeyAddress): boolean {
  const keyEnd = RECORD_HEADER_BYTES + identity.keyLength;
  return identity.keyLength === key.length && bufferOver(key).compare(bytes, RECORD_HEADER_BYTES, keyEnd) === 0;
}

/** undefined: a reap mark, which says that there is nothing. */
function recordOf({ identity, bytes }: ReadRecord): StoredRecord | undefined {
  const kind = kindOf(identity.flags);
  if (kind === KIND_REAPED) return undefined;
  return { value: valueOf(bytes, 0, identity), digest: identity.digest, isTombstone: kind === KIND_TOMBSTONE };
}
