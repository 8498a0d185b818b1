/**
 * One simulated file as two images: what is durable, and what the page cache shows above it. Pages are 4 KiB and never
 * changed in place once stored, so a crash image shares them. Must never make anything durable but by `endSync`.
 *
 * Source: reliability notes §2.4; fsync failure after "Can Applications Recover from fsync Failures?" (ATC 2020).
 */

/** The unit of the page cache, bytes. */
export const PAGE_BYTES = 4096;
/** What a disk writes whole or not at all, bytes. */
export const SECTOR_BYTES = 512;
const EMPTY_BYTES: Uint8Array = new Uint8Array(PAGE_BYTES);

/** What becomes of one page that was written and not yet durable. */
export type PageFate = "applied" | "dropped" | "torn" | "garbage";

/** Draws for a crash: `u32` for choices, `bytes` for garbage. */
export interface CrashChance {
  u32(): number;
  bytes(count: number): Uint8Array;
}

/** How a crash treats the un-synced part of a file. */
export interface FileCrash {
  /** decides page by page, in page order */
  readonly fateOf: (page: number) => PageFate;
  /** the size that survives when the cached size was not durable: kept, lost, or any size between the two */
  readonly size: "applied" | "dropped" | "random";
  readonly chance: CrashChance;
}

/** `version` grows with each write to the file, so that a sync that ends late never undoes a newer one. */
interface Page {
  readonly bytes: Uint8Array;
  readonly version: number;
}
type Pages = Map<number, Page>;
const NO_PAGE: Page = { bytes: EMPTY_BYTES, version: 0 };

/** What a sync that has begun will make durable when it ends: the state at its beginning, as the port promises no more. */
export interface SyncUnderWay {
  readonly pages: readonly (readonly [number, Page])[];
  readonly size: number;
  readonly sizeVersion: number;
}

export class SimFile {
  #durable: Pages = new Map();
  #durableSize = 0;
  /** written, not durable: the next sync takes them */
  #dirty: Pages = new Map();
  /** written, but a failed sync marked them clean: readable until the crash, never durable */
  #lost: Pages = new Map();
  #size = 0;
  #version = 0;
  #sizeVersion = 0;
  #durableSizeVersion = 0;

  get size(): number {
    return this.#size;
  }

  /** Fills `into` from `position`; returns the bytes before the end of the file. */
  read(into: Uint8Array, position: number): number {
    const end = Math.min(this.#size, position + into.length);
    let at = position;
    while (at < end) {
      const start = at % PAGE_BYTES;
      const count = Math.min(PAGE_BYTES - start, end - at);
      into.set(this.#page(Math.floor(at / PAGE_BYTES)).bytes.subarray(start, start + count), at - position);
      at += count;
    }
    return Math.max(0, end - position);
  }

  /** Into the cache only. */
  write(bytes: Uint8Array, position: number): void {
    let at = position;
    const end = position + bytes.length;
    while (at < end) {
      const index = Math.floor(at / PAGE_BYTES);
      const start = at % PAGE_BYTES;
      const count = Math.min(PAGE_BYTES - start, end - at);
      const page = new Uint8Array(this.#page(index).bytes);
      page.set(bytes.subarray(at - position, at - position + count), start);
      this.#soil(index, page);
      at += count;
    }
    this.#resize(Math.max(this.#size, end));
  }

  /** Into the cache only: a crash may bring the cut-off bytes back. */
  truncate(size: number): void {
    const last = Math.ceil(this.#size / PAGE_BYTES);
    for (let index = Math.floor(size / PAGE_BYTES); index < last; index += 1) {
      const before = this.#page(index).bytes;
      if (before === EMPTY_BYTES) continue;
      this.#soil(index, cutPage(before, size - index * PAGE_BYTES));
    }
    this.#resize(size);
  }

  /** Begins a sync of the whole file, or of the range that an O_DSYNC write has touched. */
  beginSync(range?: { readonly position: number; readonly length: number }): SyncUnderWay {
    const pages: (readonly [number, Page])[] = [];
    if (range === undefined) pages.push(...this.#dirty);
    else {
      const last = Math.floor((range.position + range.length - 1) / PAGE_BYTES);
      for (let index = Math.floor(range.position / PAGE_BYTES); index <= last; index += 1) {
        const page = this.#dirty.get(index);
        if (page !== undefined) pages.push([index, page]);
      }
    }
    return { pages, size: this.#size, sizeVersion: this.#sizeVersion };
  }

  /** The sync has succeeded: what was there when it began is durable, but for pages that an earlier failure lost. */
  endSync(sync: SyncUnderWay): void {
    for (const [index, page] of sync.pages) {
      if (this.#dirty.get(index) === page) this.#dirty.delete(index);
      if (page.version > (this.#durable.get(index)?.version ?? 0)) this.#durable.set(index, page);
    }
    if (sync.sizeVersion <= this.#durableSizeVersion) return;
    this.#durableSizeVersion = sync.sizeVersion;
    if (sync.size < this.#durableSize) this.#cutBeyond(sync.size);
    this.#durableSize = sync.size;
  }

  /** What a failed sync leaves: the pages read as written, count as clean, and are gone at the next crash. */
  failSync(): void {
    for (const [index, page] of this.#dirty) this.#lost.set(index, page);
    this.#dirty.clear();
  }

  /** The file after a power loss: only what the crash lets through, all of it durable. */
  afterCrash(crash: FileCrash): SimFile {
    const file = new SimFile();
    file.#durable = new Map(this.#durable);
    file.#version = this.#version;
    let size = this.#sizeAfter(crash);
    for (const index of [...this.#dirty.keys()].sort((a, b) => a - b)) {
      const page = this.#dirty.get(index) ?? NO_PAGE;
      const fate = crash.fateOf(index);
      if (fate === "dropped") continue;
      const before = (this.#durable.get(index) ?? NO_PAGE).bytes;
      const bytes =
        fate === "applied" ? page.bytes : mixedPage({ before, after: page.bytes, fate, chance: crash.chance });
      file.#durable.set(index, { bytes, version: page.version });
      if (crash.size === "random") size = Math.max(size, Math.min(this.#size, (index + 1) * PAGE_BYTES));
    }
    file.#durableSize = size;
    file.#size = size;
    if (size !== this.#durableSize || size !== this.#size) file.#cutBeyond(size);
    return file;
  }

  /** The file as the system still holds it after the process died: nothing is lost, nothing more is durable. */
  afterKill(): SimFile {
    const file = new SimFile();
    file.#durable = new Map(this.#durable);
    file.#durableSize = this.#durableSize;
    file.#dirty = new Map(this.#dirty);
    file.#lost = new Map(this.#lost);
    file.#size = this.#size;
    file.#version = this.#version;
    file.#sizeVersion = this.#sizeVersion;
    file.#durableSizeVersion = this.#durableSizeVersion;
    return file;
  }

  /** Equal for two files whose durable images hold the same pages; a page written anew counts as another. */
  fingerprint(): string {
    let text = `${this.#durableSize}`;
    for (const index of [...this.#durable.keys()].sort((a, b) => a - b)) {
      text += `,${index}=${pageNumber(this.#durable.get(index)?.bytes ?? EMPTY_BYTES)}`;
    }
    return text;
  }

  /** Changes stored bytes behind everybody's back, durably: rot, misdirected writes, an operator's hand. */
  overwriteDurably(bytes: Uint8Array, position: number): void {
    this.write(bytes, position);
    if (bytes.length > 0) this.endSync(this.beginSync({ position, length: bytes.length }));
  }

  #page(index: number): Page {
    return this.#dirty.get(index) ?? this.#lost.get(index) ?? this.#durable.get(index) ?? NO_PAGE;
  }

  #soil(index: number, bytes: Uint8Array): void {
    this.#version += 1;
    this.#dirty.set(index, { bytes, version: this.#version });
    this.#lost.delete(index);
  }

  #resize(size: number): void {
    if (size === this.#size) return;
    this.#size = size;
    this.#sizeVersion += 1;
  }

  /** Keeps the durable image zero beyond the end. */
  #cutBeyond(size: number): void {
    for (const [index, page] of this.#durable) {
      const kept = size - index * PAGE_BYTES;
      if (kept <= 0) this.#durable.delete(index);
      else if (kept < PAGE_BYTES) {
        this.#durable.set(index, { bytes: cutPage(page.bytes, kept), version: page.version });
      }
    }
  }

  #sizeAfter(crash: FileCrash): number {
    if (crash.size === "applied") return this.#size;
    if (crash.size === "dropped" || this.#size === this.#durableSize) return this.#durableSize;
    const low = Math.min(this.#size, this.#durableSize);
    const span = Math.abs(this.#size - this.#durableSize);
    return low + (crash.chance.u32() % (span + 1));
  }
}

/** A page whose bytes from `kept` on are zero. */
function cutPage(bytes: Uint8Array, kept: number): Uint8Array {
  if (kept <= 0) return EMPTY_BYTES;
  if (Buffer.compare(bytes.subarray(kept), EMPTY_BYTES.subarray(kept)) === 0) return bytes;
  const page = new Uint8Array(PAGE_BYTES);
  page.set(bytes.subarray(0, kept));
  return page;
}

const pageNumbers = new WeakMap<Uint8Array, number>();
let nextPageNumber = 1;

/** One number per page that was ever stored. */
function pageNumber(bytes: Uint8Array): number {
  let known = pageNumbers.get(bytes);
  if (known === undefined) {
    known = nextPageNumber;
    nextPageNumber += 1;
    pageNumbers.set(bytes, known);
  }
  return known;
}

interface PageChange {
  readonly before: Uint8Array;
  readonly after: Uint8Array;
  readonly fate: "torn" | "garbage";
  readonly chance: CrashChance;
}

/**
 * A page that arrived in part. Torn: each changed sector is the old or the new one. Garbage: a changed sector that held
 * nothing before may hold anything; one that held durable bytes is old or new, for a disk overwrites a sector whole or
 * not at all (without that no log could share a page between two groups).
 */
function mixedPage(change: PageChange): Uint8Array {
  const page = new Uint8Array(change.before);
  for (let at = 0; at < PAGE_BYTES; at += SECTOR_BYTES) {
    const before = change.before.subarray(at, at + SECTOR_BYTES);
    const after = change.after.subarray(at, at + SECTOR_BYTES);
    if (Buffer.compare(before, after) === 0) continue;
    const wasEmpty = Buffer.compare(before, EMPTY_BYTES.subarray(0, SECTOR_BYTES)) === 0;
    const draw = change.chance.u32() % 3;
    if (draw === 1) continue;
    if (change.fate === "garbage" && wasEmpty && draw === 2) page.set(change.chance.bytes(SECTOR_BYTES), at);
    else page.set(after, at);
  }
  return page;
}
