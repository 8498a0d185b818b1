/**
 * The bytes of a page of objects, and of the place where the next page goes on. Pure. A page holds whole objects, or one
 * part of an object that is larger than a page: so no page outgrows its bound, whatever clients and merges have made.
 * Must never believe a length before it is checked.
 *
 * Page, big-endian: per entry key length u16, object bytes u32, offset u32, part bytes u32, key, part.
 * Cursor: hash u64, offset u32, digest u64, key. Offset 0 = behind this key; else within the object of this digest.
 */
import { MAX_TRANSFER_OBJECT_BYTES, TRANSFER_PAGE_BYTES, TRANSFER_PAGE_OBJECTS } from "../base/limits.ts";

const ENTRY_BYTES = 14;
const CURSOR_BYTES = 20;
/** the store's own bound: keys that it holds are never longer */
const MAX_KEY_BYTES = 2_048;

/** An object or a part of one. */
export interface PageEntry {
  readonly key: Uint8Array;
  /** bytes of the whole object */
  readonly totalBytes: number;
  /** where `part` begins in it */
  readonly offset: number;
  readonly part: Uint8Array;
}

/** Where a page ended. */
export interface PageCursor {
  readonly hash: bigint;
  readonly key: Uint8Array;
  /** 0: the object of this key has been sent; else so many bytes of the version with `digest` */
  readonly offset: number;
  readonly digest: bigint;
}

/** The bytes of a cursor. */
export function encodeCursor(cursor: PageCursor): Uint8Array {
  const bytes = Buffer.allocUnsafe(CURSOR_BYTES + cursor.key.length);
  bytes.writeBigUInt64BE(cursor.hash, 0);
  bytes.writeUInt32BE(cursor.offset, 8);
  bytes.writeBigUInt64BE(cursor.digest, 12);
  bytes.set(cursor.key, CURSOR_BYTES);
  return bytes;
}

/** The cursor in `bytes`, or undefined. Never throws. */
export function parseCursor(bytes: Uint8Array): PageCursor | undefined {
  const keyBytes = bytes.length - CURSOR_BYTES;
  if (keyBytes < 1 || keyBytes > MAX_KEY_BYTES) return undefined;
  const buffer = bufferOver(bytes);
  const offset = buffer.readUInt32BE(8);
  if (offset >= MAX_TRANSFER_OBJECT_BYTES) return undefined;
  return {
    hash: buffer.readBigUInt64BE(0),
    offset,
    digest: buffer.readBigUInt64BE(12),
    key: bytes.subarray(CURSOR_BYTES),
  };
}

/** The entries of a page, or why it is none. Parts are views. Never throws. */
export function parseEntries(bytes: Uint8Array): readonly PageEntry[] | undefined {
  const buffer = bufferOver(bytes);
  const entries: PageEntry[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (at + ENTRY_BYTES > bytes.length || entries.length >= TRANSFER_PAGE_OBJECTS) return undefined;
    const keyBytes = buffer.readUInt16BE(at);
    const totalBytes = buffer.readUInt32BE(at + 2);
    const offset = buffer.readUInt32BE(at + 6);
    const partBytes = buffer.readUInt32BE(at + 10);
    const keyAt = at + ENTRY_BYTES;
    const end = keyAt + keyBytes + partBytes;
    if (keyBytes < 1 || keyBytes > MAX_KEY_BYTES || end > bytes.length) return undefined;
    if (totalBytes > MAX_TRANSFER_OBJECT_BYTES || partBytes < 1 || offset + partBytes > totalBytes) return undefined;
    const key = bytes.subarray(keyAt, keyAt + keyBytes);
    entries.push({ key, totalBytes, offset, part: bytes.subarray(keyAt + keyBytes, end) });
    at = end;
  }
  return entries;
}

/** A page while it is filled. */
export class PageWriter {
  readonly #pieces: Uint8Array[] = [];
  #sizeBytes = 0;
  #count = 0;

  /** Bytes so far. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Objects so far. */
  get count(): number {
    return this.#count;
  }

  /**
   * Adds what fits of an object, from `offset` on: the offset behind what was added, `offset` itself when the page must
   * go first. Only an empty page takes a part; an object that fits in an empty page is never cut.
   */
  add(key: Uint8Array, object: Uint8Array, offset: number): number {
    const roomBytes = TRANSFER_PAGE_BYTES - this.#sizeBytes - ENTRY_BYTES - key.length;
    const leftBytes = object.length - offset;
    if (this.#count > 0 && (leftBytes > roomBytes || this.#count >= TRANSFER_PAGE_OBJECTS)) return offset;
    const end = offset + Math.min(leftBytes, roomBytes);
    const head = Buffer.allocUnsafe(ENTRY_BYTES);
    head.writeUInt16BE(key.length, 0);
    head.writeUInt32BE(object.length, 2);
    head.writeUInt32BE(offset, 6);
    head.writeUInt32BE(end - offset, 10);
    this.#pieces.push(head, key, object.subarray(offset, end));
    this.#sizeBytes += ENTRY_BYTES + key.length + end - offset;
    this.#count += 1;
    return end;
  }

  /** The bytes of the page. */
  bytes(): Uint8Array {
    return Buffer.concat(this.#pieces, this.#sizeBytes);
  }
}

/** Puts the parts of one large object together. */
export class PartJoiner {
  #key: Uint8Array | undefined;
  #object: Uint8Array = new Uint8Array(0);
  #filledBytes = 0;

  /** The whole object when the entry completes it, `more` when parts are missing, undefined when it does not follow. */
  join(entry: PageEntry): Uint8Array | "more" | undefined {
    const { key, totalBytes, offset, part } = entry;
    if (part.length === totalBytes) return part;
    if (offset === 0) {
      this.#key = key.slice();
      this.#object = Buffer.alloc(totalBytes);
      this.#filledBytes = 0;
    }
    const isNext = this.#key !== undefined && isSame(this.#key, key) && offset === this.#filledBytes;
    if (!isNext || totalBytes !== this.#object.length) return undefined;
    this.#object.set(part, offset);
    this.#filledBytes += part.length;
    if (this.#filledBytes < totalBytes) return "more";
    const object = this.#object;
    this.#key = undefined;
    this.#object = new Uint8Array(0);
    return object;
  }
}

/** True when a page that ended at `next` has gone on from `from`; not when it has begun another version of an object anew. */
export function isFurther(next: PageCursor, from: PageCursor): boolean {
  if (next.hash !== from.hash) return next.hash > from.hash;
  const order = compareKeys(next.key, from.key);
  if (order !== 0) return order > 0;
  return from.offset > 0 && (next.offset === 0 || next.offset > from.offset);
}

/** Orders keys of one hash. */
export function compareKeys(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function bufferOver(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
