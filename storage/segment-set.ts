/**
 * The live segments of a store: what is in them, which of their files are open, who is reading them. A segment that
 * compaction has replaced is unlinked only when no reader holds it.
 * Must never hand out a file of a segment that is gone, nor keep more sealed files open than the limit.
 */
import { PageWarmth } from "./page-warmth.ts";
import type { Disk, DiskFile } from "./ports.ts";
import { segmentPath } from "./store-paths.ts";

/** One live segment. Mutable: the set and the writer own it. */
export interface Segment {
  readonly id: number;
  /** checksum seed of its records */
  readonly seed: number;
  readonly warmth: PageWarmth;
  /** bytes of the file: capacity while it is written, exact once sealed */
  sizeBytes: number;
  isSealed: boolean;
  /** a scrub has found bytes in it that are not what was written: worth compacting, however full */
  isRotten: boolean;
  /** bytes and number of the records that the index points at */
  liveBytes: number;
  liveCount: number;
  minSeq: number;
  maxSeq: number;
  /** open for reading, or undefined */
  file: DiskFile | undefined;
  opening: Promise<DiskFile> | undefined;
  /** readers that hold the segment */
  pinCount: number;
  lastUse: number;
  /** called when the last reader lets go of a segment that was taken out of the set */
  whenFree: (() => void) | undefined;
}

/** The set. */
export class SegmentSet {
  readonly #disk: Disk;
  readonly #maxOpenFiles: number;
  readonly #segments = new Map<number, Segment>();
  #openCount = 0;
  #uses = 0;

  constructor(disk: Disk, maxOpenFiles: number) {
    this.#disk = disk;
    this.#maxOpenFiles = maxOpenFiles;
  }

  /** Number of live segments. */
  get size(): number {
    return this.#segments.size;
  }

  /** The live segment with this id. */
  get(id: number): Segment | undefined {
    return this.#segments.get(id);
  }

  /** All live segments, in the order they came. */
  all(): IterableIterator<Segment> {
    return this.#segments.values();
  }

  /** Adds a segment and returns it. */
  add(facts: { readonly id: number; readonly seed: number; readonly sizeBytes: number }): Segment {
    const segment: Segment = {
      ...facts,
      warmth: new PageWarmth(facts.sizeBytes),
      isSealed: false,
      isRotten: false,
      liveBytes: 0,
      liveCount: 0,
      minSeq: 0,
      maxSeq: 0,
      file: undefined,
      opening: undefined,
      pinCount: 0,
      lastUse: 0,
      whenFree: undefined,
    };
    this.#segments.set(facts.id, segment);
    return segment;
  }

  /** Takes a segment out; resolves when no reader holds it any more and its file is closed, so that it may be unlinked. */
  async remove(segment: Segment): Promise<void> {
    this.#segments.delete(segment.id);
    await this.#closeWhenFree(segment);
  }

  /** Keeps a segment's bytes readable until `unpin`. */
  pin(segment: Segment): void {
    segment.pinCount += 1;
  }

  /** Lets go of what `pin` held. */
  unpin(segment: Segment): void {
    segment.pinCount -= 1;
    if (segment.pinCount === 0) segment.whenFree?.();
  }

  /** The open file of a segment, or undefined when it must be opened first. */
  openFileOf(segment: Segment): DiskFile | undefined {
    this.#uses += 1;
    segment.lastUse = this.#uses;
    return segment.file;
  }

  /** Opens a segment's file for reading; the caller has pinned the segment. */
  async open(segment: Segment): Promise<DiskFile> {
    if (segment.file !== undefined) return segment.file;
    segment.opening ??= this.#open(segment);
    return segment.opening;
  }

  /** Closes every file once nobody reads it. Nobody may pin a segment any more. */
  async closeAll(): Promise<void> {
    for (const segment of this.#segments.values()) await this.#closeWhenFree(segment);
  }

  async #closeWhenFree(segment: Segment): Promise<void> {
    if (segment.pinCount > 0) {
      await new Promise<void>((resolve) => {
        segment.whenFree = resolve;
      });
    }
    if (segment.opening !== undefined) await segment.opening.catch(() => undefined);
    await this.#close(segment);
  }

  async #open(segment: Segment): Promise<DiskFile> {
    try {
      const file = await this.#disk.open(segmentPath(segment.id), "read");
      segment.file = file;
      this.#openCount += 1;
      this.openFileOf(segment);
      await this.#closeBeyondLimit(segment);
      return file;
    } finally {
      segment.opening = undefined;
    }
  }

  async #closeBeyondLimit(newest: Segment): Promise<void> {
    while (this.#openCount > this.#maxOpenFiles) {
      let oldest: Segment | undefined;
      for (const segment of this.#segments.values()) {
        if (segment.file === undefined || segment.pinCount > 0 || segment === newest) continue;
        if (oldest === undefined || segment.lastUse < oldest.lastUse) oldest = segment;
      }
      // all others are being read: above the limit for a moment, bounded by the reads under way
      if (oldest === undefined) return;
      await this.#close(oldest);
    }
  }

  async #close(segment: Segment): Promise<void> {
    const { file } = segment;
    if (file === undefined) return;
    segment.file = undefined;
    this.#openCount -= 1;
    await file.close();
  }
}
