/**
 * Ends a segment: cut to its records, index file written, sealed in the manifest, in this order, so that a sealed
 * segment is always whole. Runs behind the writer. Must never seal a segment whose records are not durable, nor one
 * before an older one: seqs are dense, so recovery takes what a later segment begins with for the proof of how far an
 * unsealed one reached, and compaction may have taken those in between away (tail-recovery.ts).
 */
import { DiskFullError } from "./errors.ts";
import type { LogSettings } from "./log-options.ts";
import type { Manifest } from "./manifest.ts";
import type { WritableSegment } from "./segment-preparer.ts";
import { endRemoval } from "./segment-removal.ts";
import type { SegmentSet } from "./segment-set.ts";
import type { StoreHealth } from "./store-health.ts";
import { indexPath, segmentPath } from "./store-paths.ts";
import { isOutOfRoom, unlinkIfThere } from "./whole-file.ts";

/** What the sealer works with. */
export interface SealerParts {
  readonly settings: LogSettings;
  readonly manifest: Manifest;
  readonly segments: SegmentSet;
  readonly health: StoreHealth;
  /** called after each segment that was sealed */
  readonly onSealed: () => void;
}

/** A segment that takes no more records and is not sealed yet. */
interface Ended {
  readonly target: WritableSegment;
  readonly endBytes: number;
  isFileClosed: boolean;
}

/** Seals segments one after the other, the oldest first. */
export class SegmentSealer {
  readonly #parts: SealerParts;
  /** oldest first; more than one only while the disk is full */
  readonly #ended: Ended[] = [];
  #work: Promise<unknown> = Promise.resolve();

  constructor(parts: SealerParts) {
    this.#parts = parts;
  }

  /**
   * Queues a segment whose records end at `endBytes`; resolves when it is sealed, or cannot be for want of space: then it is
   * tried again with the next one, and by the next scrub. Never rejects.
   */
  async seal(target: WritableSegment, endBytes: number): Promise<void> {
    this.#ended.push({ target, endBytes, isFileClosed: false });
    await this.retry();
  }

  /** Seals what was queued so far, and what waits for space; resolves to the segments that still do. Never rejects. */
  retry(): Promise<readonly number[]> {
    const left = this.#work.then(() => this.#sealAll());
    this.#work = left;
    return left;
  }

  /** Resolves when everything queued so far is done. */
  async idle(): Promise<void> {
    await this.#work;
  }

  /** Removes a segment that holds nothing. */
  async discard(target: WritableSegment): Promise<void> {
    await target.file.close();
    await this.#remove(target);
  }

  async #remove(target: WritableSegment): Promise<void> {
    const { manifest, segments, settings } = this.#parts;
    const { id } = target.segment;
    await manifest.append([{ kind: "removed", segment: id }]);
    await segments.remove(target.segment);
    await unlinkIfThere(settings.disk, segmentPath(id));
    await endRemoval(settings);
  }

  async #sealAll(): Promise<readonly number[]> {
    for (let oldest = this.#ended[0]; oldest !== undefined; oldest = this.#ended[0]) {
      try {
        await this.#sealNow(oldest);
      } catch (error) {
        await this.#onError(error, oldest);
        break;
      }
      this.#ended.shift();
    }
    return this.#ended.map(({ target }) => target.segment.id);
  }

  async #sealNow(ended: Ended): Promise<void> {
    const { settings, manifest } = this.#parts;
    const { target, endBytes } = ended;
    const { segment, file, builder } = target;
    if (builder.count === 0) {
      if (!ended.isFileClosed) await this.#close(ended);
      await this.#remove(target);
      return;
    }
    if (!ended.isFileClosed) {
      await file.truncate(endBytes);
      await file.fdatasync();
      await this.#close(ended);
    }
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

  /** The index file only saves time: a full disk, or one file too many, does not keep a segment from being sealed. */
  async #writeIndex({ builder, segment }: WritableSegment, endBytes: number): Promise<void> {
    const { disk } = this.#parts.settings;
    if (!(await builder.writeIfRoom(disk, endBytes))) await unlinkIfThere(disk, indexPath(segment.id));
  }

  async #close(ended: Ended): Promise<void> {
    ended.isFileClosed = true;
    await ended.target.file.close();
  }

  /** Without space the segment waits for the next one to be sealed or the next scrub, or the next start seals it. Anything else is final. */
  async #onError(cause: unknown, ended: Ended): Promise<void> {
    const { health, settings } = this.#parts;
    if (cause instanceof DiskFullError || isOutOfRoom(cause)) {
      settings.log.warn({ event: "storage.segment-not-sealed", segment: ended.target.segment.id });
      return;
    }
    health.fail(cause);
    const open = this.#ended.splice(0).filter((one) => !one.isFileClosed);
    // best effort: the process ends
    await Promise.allSettled(open.map((one) => this.#close(one)));
  }
}
