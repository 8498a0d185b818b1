/**
 * Ends a segment: cut to its records, index file written, sealed in the manifest, in this order, so that a sealed
 * segment is always whole. Runs behind the writer. Must never seal a segment whose records are not durable.
 */
import { DiskFullError } from "./errors.ts";
import type { LogSettings } from "./log-options.ts";
import type { Manifest } from "./manifest.ts";
import type { WritableSegment } from "./segment-preparer.ts";
import type { SegmentSet } from "./segment-set.ts";
import type { StoreHealth } from "./store-health.ts";
import { indexPath, SEGMENTS_DIRECTORY, segmentPath } from "./store-paths.ts";
import { isDiskFull, unlinkIfThere } from "./whole-file.ts";

/** What the sealer works with. */
export interface SealerParts {
  readonly settings: LogSettings;
  readonly manifest: Manifest;
  readonly segments: SegmentSet;
  readonly health: StoreHealth;
  /** called after each segment that was sealed */
  readonly onSealed: () => void;
}

/** Seals segments one after the other. */
export class SegmentSealer {
  readonly #parts: SealerParts;
  #work: Promise<void> = Promise.resolve();
  #pendingCount = 0;

  constructor(parts: SealerParts) {
    this.#parts = parts;
  }

  /** Segments not sealed yet. */
  get pendingCount(): number {
    return this.#pendingCount;
  }

  /** Queues a segment whose records end at `endBytes`; `whenDone` hears whether it was sealed. Never rejects. */
  seal(target: WritableSegment, endBytes: number): Promise<void> {
    this.#pendingCount += 1;
    this.#work = this.#work.then(async () => {
      try {
        await this.#sealNow(target, endBytes);
      } catch (error) {
        this.#report(error, target.segment.id);
      } finally {
        this.#pendingCount -= 1;
      }
    });
    return this.#work;
  }

  /** Resolves when everything queued so far is done. */
  idle(): Promise<void> {
    return this.#work;
  }

  /** Removes a segment that holds nothing. */
  async discard(target: WritableSegment): Promise<void> {
    const { manifest, segments, settings } = this.#parts;
    const { id } = target.segment;
    await target.file.close();
    await manifest.append([{ kind: "removed", segment: id }]);
    await segments.remove(target.segment);
    await unlinkIfThere(settings.disk, segmentPath(id));
    await settings.disk.fsyncDirectory(SEGMENTS_DIRECTORY);
  }

  async #sealNow(target: WritableSegment, endBytes: number): Promise<void> {
    const { settings, manifest } = this.#parts;
    const { segment, file, builder } = target;
    if (builder.count === 0) {
      await this.discard(target);
      return;
    }
    await file.truncate(endBytes);
    await file.fdatasync();
    await file.close();
    await this.#writeIndex(target, endBytes);
    const { minSeq, maxSeq } = builder;
    const facts = { segment: segment.id, sizeBytes: endBytes, minSeq, maxSeq };
    await manifest.append([{ ...facts, kind: "sealed" }]);
    segment.sizeBytes = endBytes;
    segment.minSeq = minSeq;
    segment.maxSeq = maxSeq;
    segment.isSealed = true;
    settings.log.info({ event: "storage.segment-sealed", segment: segment.id, sizeBytes: endBytes });
    this.#parts.onSealed();
  }

  /** The index file only saves time: a full disk does not keep a segment from being sealed. */
  async #writeIndex(target: WritableSegment, endBytes: number): Promise<void> {
    const { settings } = this.#parts;
    try {
      await target.builder.write(settings.disk, endBytes);
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      await unlinkIfThere(settings.disk, indexPath(target.segment.id));
    }
  }

  /** Without space the segment stays unsealed: the next start seals it. Anything else is final. */
  #report(error: unknown, segment: number): void {
    const { health, settings } = this.#parts;
    if (error instanceof DiskFullError || isDiskFull(error)) {
      settings.log.warn({ event: "storage.segment-not-sealed", segment });
    } else {
      health.fail(error);
    }
  }
}
