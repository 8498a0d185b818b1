/**
 * Where compaction writes: segments of copies, durable piece by piece so that no flush is long. They count for nothing
 * until the manifest names them. Must never change a record's seq, nor write one that was not proved.
 */
import { encodeRecord, FLAG_BATCH_BEGIN, FLAG_BATCH_END, keyOf, valueOf } from "./format/record.ts";
import { SEGMENT_HEADER_BYTES } from "./format/segment-header.ts";
import type { WindowRecord } from "./input-window.ts";
import type { LogPlace } from "./keyspace.ts";
import type { LogSettings } from "./log-options.ts";
import type { SegmentPreparer, WritableSegment } from "./segment-preparer.ts";
import type { SegmentSet } from "./segment-set.ts";
import { indexPath, segmentPath } from "./store-paths.ts";
import { unlinkIfThere, writeFully } from "./whole-file.ts";

/** What outputs are made with. */
export interface OutputParts {
  readonly settings: LogSettings;
  readonly preparer: SegmentPreparer;
  readonly segments: SegmentSet;
}

/** A finished output: durable, with its index file, not yet named by the manifest. */
export interface CompactionOutput {
  readonly target: WritableSegment;
  readonly sizeBytes: number;
  /** where each of its records came from, in its own order */
  readonly origins: readonly LogPlace[];
}

const FLUSH_BYTES = 1024 * 1024;

/** Writes copies to as many segments as they need. */
export class CompactionWriter {
  readonly #parts: OutputParts;
  readonly #finished: CompactionOutput[] = [];
  #target: WritableSegment | undefined;
  /** all that were made, with whether their file is still open */
  readonly #made: { readonly target: WritableSegment; isOpen: boolean }[] = [];
  #origins: LogPlace[] = [];
  #offset = 0;
  #buffer: Buffer = Buffer.allocUnsafe(FLUSH_BYTES);
  #filled = 0;
  #copiedBytes = 0;

  constructor(parts: OutputParts) {
    this.#parts = parts;
  }

  /** Bytes copied so far. */
  get copiedBytes(): number {
    return this.#copiedBytes;
  }

  /** Whether the next record of this size must wait for `makeRoom`. */
  needsRoom(sizeBytes: number): boolean {
    const target = this.#target;
    if (target === undefined) return true;
    const end = this.#offset + this.#filled + sizeBytes;
    return this.#filled + sizeBytes > this.#buffer.length || end > target.capacityBytes;
  }

  /** Flushes, and goes on in another segment when this one is full. Rejects with `DiskError`. */
  async makeRoom(sizeBytes: number): Promise<void> {
    await this.#flush();
    if (this.#target !== undefined && this.#offset + sizeBytes > this.#target.capacityBytes) await this.#finishTarget();
    if (sizeBytes > this.#buffer.length) this.#buffer = Buffer.allocUnsafe(sizeBytes);
    if (this.#target !== undefined) return;
    const capacityBytes = Math.max(this.#parts.settings.segmentBytes, SEGMENT_HEADER_BYTES + sizeBytes);
    // space was looked at for the whole compaction; what it frees is what it was started for
    const { preparer } = this.#parts;
    this.#target = await preparer.create({ role: "copy", capacityBytes, neededBytes: sizeBytes, reserveBytes: 0 });
    this.#made.push({ target: this.#target, isOpen: true });
    this.#offset = SEGMENT_HEADER_BYTES;
    this.#origins = [];
  }

  /** Copies one record; `makeRoom` was asked before if `needsRoom` said so. */
  add(record: WindowRecord, origin: LogPlace): void {
    const target = this.#target;
    if (target === undefined) throw new Error("makeRoom() comes before add()");
    const { identity, bytes, at } = record;
    const offset = this.#offset + this.#filled;
    const flags = identity.flags & ~(FLAG_BATCH_BEGIN | FLAG_BATCH_END);
    const key = keyOf(bytes, at, identity);
    const value = valueOf(bytes, at, identity);
    const copy = { ...identity, flags, durableUpTo: 0, key, value };
    const length = encodeRecord(copy, this.#buffer, this.#filled, { segmentSeed: target.segment.seed, offset });
    this.#filled += length;
    this.#copiedBytes += length;
    this.#origins.push(origin);
    target.builder.add({ ...identity, flags, offset, length });
  }

  /** Makes everything durable and hands over the outputs. Rejects with `DiskError`. */
  async finish(): Promise<readonly CompactionOutput[]> {
    await this.#flush();
    if (this.#target !== undefined) await this.#finishTarget();
    return this.#finished;
  }

  /** Removes all outputs: the compaction was given up. Best effort, for they are orphans to the next start. */
  async discard(): Promise<void> {
    this.#target = undefined;
    for (const made of this.#made) {
      const { segment } = made.target;
      await this.#close(made).catch(() => undefined);
      await this.#parts.segments.remove(segment).catch(() => undefined);
      await unlinkIfThere(this.#parts.settings.disk, segmentPath(segment.id)).catch(() => undefined);
      await unlinkIfThere(this.#parts.settings.disk, indexPath(segment.id)).catch(() => undefined);
    }
  }

  async #flush(): Promise<void> {
    const target = this.#target;
    if (target === undefined || this.#filled === 0) return;
    await writeFully(target.file, this.#buffer.subarray(0, this.#filled), this.#offset);
    await target.file.fdatasync();
    target.segment.warmth.warm(this.#offset, this.#filled);
    this.#offset += this.#filled;
    this.#filled = 0;
  }

  async #finishTarget(): Promise<void> {
    const target = this.#target;
    const made = this.#made.at(-1);
    if (target === undefined || made === undefined) return;
    await this.#close(made);
    // without room for it the next start makes it
    await target.builder.writeIfRoom(this.#parts.settings.disk, this.#offset);
    target.segment.sizeBytes = this.#offset;
    this.#finished.push({ target, sizeBytes: this.#offset, origins: this.#origins });
    this.#target = undefined;
  }

  /** Once: the number of a file that is closed may be another's by now. */
  async #close(made: { readonly target: WritableSegment; isOpen: boolean }): Promise<void> {
    if (!made.isOpen) return;
    made.isOpen = false;
    await made.target.file.close();
  }
}
