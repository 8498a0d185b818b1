/**
 * Fills one page with objects from the store, from a cursor on. Must never make an absence of what cannot be read: an
 * error of the store is the caller's to tell, and a partition that has become suspect has no page.
 */
import type { ScanEntry, StorageEngine, StoredRecord } from "../../storage/engine.ts";
import { TRANSFER_PAGE_BYTES, TRANSFER_READS } from "../base/limits.ts";
import type { Clock } from "../base/ports.ts";
import type { KeyList, KeyLister } from "./transfer-listing.ts";
import { WorkSlices } from "./transfer-pace.ts";
import { compareKeys, encodeCursor, type PageCursor, PageWriter, parseCursor } from "./transfer-page-core.ts";

/** A page as it is sent. */
export interface FilledPage {
  readonly objects: Uint8Array;
  readonly next: Uint8Array | undefined;
  readonly objectCount: number;
  readonly sizeBytes: number;
}

/** What to fill a page with. */
export interface PageRequest {
  readonly partition: number;
  readonly list: KeyLister;
  /** undefined: from the beginning */
  readonly cursor: Uint8Array | undefined;
}

/** What pages are filled with. */
export interface PageParts {
  readonly store: Pick<StorageEngine, "get">;
  readonly clock: Clock;
}

interface Filling {
  readonly partition: number;
  readonly page: PageWriter;
  readonly slices: WorkSlices;
  /** where the page ends so far */
  cursor: PageCursor | undefined;
  isFull: boolean;
}

interface LargeObject {
  readonly partition: number;
  readonly key: Uint8Array;
  readonly record: StoredRecord;
}

/** Fills pages; remembers the one large object that it is in the middle of. */
export class PageFiller {
  readonly #parts: PageParts;
  #large: LargeObject | undefined;

  constructor(parts: PageParts) {
    this.#parts = parts;
  }

  /** Lets go of a large object of this partition: nobody asks for the rest of it. */
  forget(partition: number): void {
    if (this.#large?.partition === partition) this.#large = undefined;
  }

  /** The next page. Rejects as the store does. */
  async page(request: PageRequest): Promise<FilledPage> {
    const filling: Filling = {
      partition: request.partition,
      page: new PageWriter(),
      slices: new WorkSlices(this.#parts.clock),
      cursor: request.cursor === undefined ? undefined : parseCursor(request.cursor),
      isFull: false,
    };
    let fromHash: bigint | undefined = filling.cursor?.hash ?? 0n;
    while (fromHash !== undefined) {
      const { entries, nextHash }: KeyList = await request.list(fromHash);
      await this.#addAll(filling, entries);
      if (filling.isFull) return pageOf(filling.page, filling.cursor);
      fromHash = nextHash;
    }
    this.forget(request.partition);
    return pageOf(filling.page, undefined);
  }

  async #addAll(filling: Filling, entries: readonly ScanEntry[]): Promise<void> {
    const { cursor, page, slices } = filling;
    const waiting = inOrder(entries).filter((entry) => cursor === undefined || isBehind(entry, cursor));
    while (waiting.length > 0 && !filling.isFull) {
      if (slices.isOver) await slices.rest();
      const group = waiting.splice(0, readsOf(page));
      const records = await Promise.all(group.map(async (entry) => this.#read(filling.partition, entry)));
      for (const [at, entry] of group.entries()) {
        const record = records[at];
        // undefined: removed since it was listed
        if (record !== undefined && !filling.isFull) this.#add(filling, entry, record);
      }
    }
  }

  /** Adds an object, or the part of it that fits; the page is full when something has to wait for the next one. */
  #add(filling: Filling, { hash, key }: ScanEntry, record: StoredRecord): void {
    const { page, cursor, partition } = filling;
    const { value, digest } = record;
    const isUnderWay = cursor !== undefined && cursor.offset > 0 && compareKeys(cursor.key, key) === 0;
    // another version than the one that was begun is sent from its beginning
    const from = isUnderWay && cursor.digest === digest && cursor.offset < value.length ? cursor.offset : 0;
    const end = page.add(key, value, from);
    filling.isFull = end < value.length;
    if (end === from) return;
    filling.cursor = { hash, key, offset: filling.isFull ? end : 0, digest };
    if (filling.isFull) this.#large = { partition, key, record };
  }

  #read(partition: number, entry: ScanEntry): StoredRecord | undefined | Promise<StoredRecord | undefined> {
    const large = this.#large;
    const isKept =
      large !== undefined &&
      large.partition === partition &&
      large.record.digest === entry.digest &&
      compareKeys(large.key, entry.key) === 0;
    if (isKept) return large.record;
    return this.#parts.store.get({ partition, hash: entry.hash, key: entry.key });
  }
}

/** Few at first and where objects are large: what is read and finds no room is read again for the next page. */
function readsOf(page: PageWriter): number {
  if (page.count === 0) return 1;
  const typicalBytes = page.sizeBytes / page.count;
  const roomBytes = TRANSFER_PAGE_BYTES - page.sizeBytes;
  return Math.max(1, Math.min(TRANSFER_READS, Math.floor(roomBytes / typicalBytes)));
}

/** By hash, then by key: the store leaves the order of keys of one hash open. */
function inOrder(entries: readonly ScanEntry[]): ScanEntry[] {
  return entries.toSorted((a, b) => (a.hash === b.hash ? compareKeys(a.key, b.key) : a.hash < b.hash ? -1 : 1));
}

/** Whether an entry is still to be sent. */
function isBehind(entry: ScanEntry, cursor: PageCursor): boolean {
  if (entry.hash !== cursor.hash) return entry.hash > cursor.hash;
  const order = compareKeys(entry.key, cursor.key);
  return cursor.offset > 0 ? order >= 0 : order > 0;
}

function pageOf(page: PageWriter, cursor: PageCursor | undefined): FilledPage {
  const next = cursor === undefined ? undefined : encodeCursor(cursor);
  return { objects: page.bytes(), next, objectCount: page.count, sizeBytes: page.sizeBytes };
}
