/**
 * Decides when to compact, keeps the pace, and deals with what goes wrong. One compaction at a time; it yields in
 * small slices, and rests in between: by the share of background work, by how many bytes are dead and how scarce space is.
 * Must never run against a store that has failed.
 */

import {
  type CompactionParts,
  type CompactionResult,
  CompactionStopped,
  CorruptInputError,
  compactSegments,
} from "./compaction.ts";
import { compactionInputsOf, garbageRatioOf, type SegmentFill } from "./compaction-core.ts";
import { compactionRestMs } from "./compaction-pace-core.ts";
import { DiskFullError } from "./errors.ts";
import { nextTurn } from "./index-loader.ts";
import { quarantine } from "./quarantine.ts";
import { sweepReaped } from "./reap-sweep.ts";
import type { Segment } from "./segment-set.ts";
import type { SpaceWatch } from "./space-watch.ts";
import type { StoreHealth } from "./store-health.ts";
import type { Suspicion } from "./suspicion.ts";
import { isOutOfRoom } from "./whole-file.ts";

/** What the compactor works with. */
export interface CompactorParts extends Omit<CompactionParts, "pace"> {
  readonly health: StoreHealth;
  readonly suspicion: Suspicion;
  /** 0 … 1: the share of its full pace that background work has now */
  readonly share: () => number;
  /** how scarce space is, and whether puts are refused for that */
  readonly space: () => Pick<SpaceWatch, "scarcity" | "isPutRefused">;
}

interface BadPlace {
  readonly partition: number;
  readonly hash: bigint;
  readonly offset: number;
}

/** share of dead bytes that is worth compacting while writers find no space */
const SHORT_OF_SPACE_RATIO = 0.02;
/** judging reap marks copies nothing, and compaction waits for it */
const LONGEST_SWEEP_REST_MS = 50;
/** bytes copied between two looks at the clock */
const PACE_BYTES = 1024 * 1024;

/** Runs compactions. */
export class Compactor {
  readonly #parts: CompactorParts;
  /** segments with live records that cannot be read: left alone while anything points at those */
  readonly #spoiled = new Map<number, BadPlace>();
  #work: Promise<void> | undefined;
  #isStopped = false;
  /** a write has found no space since the round under way began, or before it */
  #isShortOfSpace = false;
  #isRoundShort = false;
  #isHurried = false;
  /** something has changed since the run under way last looked */
  #isWoken = false;
  #compactedBytes = 0;
  #resume: (() => void) | undefined;
  /** what the store looked like when reap marks were last judged */
  #sweptState = "";
  #sweptAtMs = Number.NEGATIVE_INFINITY;
  #roundCount = 0;
  #roundStartMs = 0;
  #pacedBytes = 0;

  constructor(parts: CompactorParts) {
    this.#parts = parts;
  }

  /** Bytes copied so far. */
  get compactedBytes(): number {
    return this.#compactedBytes;
  }

  /** Looks whether there is something to compact; `isShortOfSpace` makes even little worth it. */
  wake(isShortOfSpace = false): void {
    this.#isShortOfSpace ||= isShortOfSpace;
    if (isShortOfSpace) this.#resume?.();
    this.#isWoken = true;
    if (this.#work !== undefined || this.#isStopped || !this.#parts.settings.isCompactionAutomatic) return;
    this.#work = this.#run();
  }

  /** Compacts now whatever the rule with this bound on the share of dead bytes picks, until it picks nothing. */
  async compactNow(garbageRatio: number): Promise<void> {
    this.#isHurried = true;
    this.#resume?.();
    try {
      while (this.#work !== undefined) await this.#work;
      // another one that was asked for has ended meanwhile
      this.#isHurried = true;
      this.#work = this.#run(garbageRatio);
      await this.#work;
    } finally {
      this.#isHurried = false;
      if (this.#isWoken) this.wake();
    }
  }

  /** Gives up a compaction under way; resolves when it has left. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#resume?.();
    await this.#work;
  }

  /** Never rejects: nobody waits for one that started by itself. */
  async #run(garbageRatio?: number): Promise<void> {
    // not in the same turn as the event that woke it
    await nextTurn(this.#parts.settings.clock);
    try {
      do {
        // who asks for a share of dead bytes looks at no more than that
        if (garbageRatio === undefined) this.#isWoken = false;
        while ((await this.#round(garbageRatio)) || (await this.#sweep()));
      } while (
        garbageRatio === undefined &&
        this.#isWoken &&
        !this.#isStopped &&
        this.#parts.health.failure === undefined
      );
    } finally {
      this.#isRoundShort = false;
      this.#work = undefined;
    }
  }

  /** Puts are refused for want of space, or one has found none. */
  get #isShort(): boolean {
    return this.#isShortOfSpace || this.#isRoundShort || this.#parts.space().isPutRefused;
  }

  /** One compaction; false when there is nothing (more) to do. */
  async #round(garbageRatio?: number): Promise<boolean> {
    const { health, settings } = this.#parts;
    if (this.#isStopped || health.failure !== undefined) return false;
    // who asks for a share of dead bytes is heard apart
    if (garbageRatio === undefined) {
      this.#isRoundShort = this.#isShortOfSpace;
      this.#isShortOfSpace = false;
    }
    try {
      const inputs = await this.#pick(garbageRatio ?? (this.#isShort ? SHORT_OF_SPACE_RATIO : settings.garbageRatio));
      if (inputs.length === 0) return false;
      this.#roundStartMs = settings.clock.monotonicMs();
      this.#pacedBytes = 0;
      const pace = (copiedBytes: number): Promise<void> => this.#pace(copiedBytes);
      const result = await compactSegments({ ...this.#parts, pace }, inputs);
      this.#tell(result, inputs.length);
      this.#roundCount += 1;
      return true;
    } catch (error) {
      return this.#onError(error);
    }
  }

  /** Forgets reap marks that nothing needs, when something has changed since they were last judged; true when any was. */
  async #sweep(): Promise<boolean> {
    const { health, settings, keyspace, segments } = this.#parts;
    const isStopped = (): boolean => this.#isStopped || health.failure !== undefined;
    if (isStopped() || keyspace.reapedCount === 0) return false;
    const state = `${this.#roundCount} ${segments.size} ${keyspace.reapedCount}`;
    const nowMs = settings.clock.monotonicMs();
    const isDue = this.#isHurried || nowMs - this.#sweptAtMs >= settings.reapSweepMs;
    if (!isDue || state === this.#sweptState) return false;
    this.#sweptState = state;
    this.#sweptAtMs = nowMs;
    try {
      const pace = async (): Promise<boolean> => {
        await this.#restAfterWork(LONGEST_SWEEP_REST_MS);
        return !isStopped();
      };
      this.#roundStartMs = nowMs;
      const forgottenCount = await sweepReaped({ ...this.#parts, pace });
      this.#sweptAtMs = settings.clock.monotonicMs();
      settings.log.info({ event: "storage.reaped-swept", forgottenCount, leftCount: keyspace.reapedCount });
      return forgottenCount > 0;
    } catch (error) {
      // judged again, whatever changes, once it is due
      this.#sweptState = "";
      return this.#onError(error);
    }
  }

  async #pick(garbageRatio: number): Promise<readonly Segment[]> {
    const { segments, settings } = this.#parts;
    const { segmentBytes, garbageSegments, compactionInputs: maxInputs } = settings;
    const garbageBytes = this.#isHurried || this.#isShort ? 0 : garbageSegments * segmentBytes;
    const rule = { segmentBytes, garbageRatio, garbageBytes, maxInputs };
    const inputs = compactionInputsOf(this.#fills(), rule).flatMap((id) => segments.get(id) ?? []);
    const { freeBytes } = await settings.disk.freeBytes();
    const affordable: Segment[] = [];
    let neededBytes = 0;
    for (const segment of inputs) {
      // what is copied, its index file, and a margin (reliability notes §3.5)
      neededBytes += Math.ceil(segment.liveBytes * 1.05) + 64 * segment.liveCount;
      if (neededBytes <= freeBytes) affordable.push(segment);
    }
    return affordable.filter((segment) => segments.get(segment.id) === segment);
  }

  #fills(): readonly SegmentFill[] {
    const fills: SegmentFill[] = [];
    for (const segment of this.#parts.segments.all()) {
      if (segment.isSealed && !this.#isSpoiled(segment)) fills.push(segment);
    }
    return fills;
  }

  #isSpoiled(segment: Segment): boolean {
    const bad = this.#spoiled.get(segment.id);
    if (bad === undefined) return false;
    const place = { segment: segment.id, offset: bad.offset };
    if (this.#parts.keyspace.slotAt(bad.partition, bad.hash, place) >= 0) return true;
    this.#spoiled.delete(segment.id);
    return false;
  }

  /** Yields, and rests now and then. */
  async #pace(copiedBytes: number): Promise<void> {
    await nextTurn(this.#parts.settings.clock);
    this.#throwIfOver();
    if (copiedBytes - this.#pacedBytes < PACE_BYTES) return;
    this.#pacedBytes = copiedBytes;
    await this.#restAfterWork(Number.POSITIVE_INFINITY);
    this.#throwIfOver();
  }

  #throwIfOver(): void {
    if (this.#isStopped || this.#parts.health.failure !== undefined) throw new CompactionStopped();
  }

  /** Rests, but not when someone waits for what it does. */
  async #restAfterWork(longestMs: number): Promise<void> {
    const { share, space, settings } = this.#parts;
    const { clock, garbageRatio: bound } = settings;
    if (!this.#isShort && !this.#isHurried && !this.#isStopped) {
      const workedMs = clock.monotonicMs() - this.#roundStartMs;
      const deadRatio = garbageRatioOf(this.#fills());
      const restMs = compactionRestMs({ workedMs, share: share(), deadRatio, bound, scarcity: space().scarcity });
      if (restMs > 0) await this.#rest(Math.min(longestMs, restMs));
    }
    this.#roundStartMs = clock.monotonicMs();
  }

  #rest(durationMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#parts.settings.clock.setTimer(durationMs, resolve);
      this.#resume = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  #tell(result: CompactionResult, inputCount: number): void {
    this.#compactedBytes += result.copiedBytes;
    this.#parts.settings.log.info({ event: "storage.compacted", inputCount, ...result });
  }

  /** Whether another compaction may be tried after this error. */
  async #onError(error: unknown): Promise<boolean> {
    const { settings, health } = this.#parts;
    if (error instanceof CompactionStopped || health.failure !== undefined) return false;
    if (error instanceof CorruptInputError) {
      await this.#onCorruptInput(error);
      return true;
    }
    if (error instanceof DiskFullError || isOutOfRoom(error)) {
      settings.log.warn({ event: "storage.compaction-without-space" });
      return false;
    }
    health.fail(error);
    return false;
  }

  async #onCorruptInput(error: CorruptInputError): Promise<void> {
    const { settings, keyspace, suspicion, reader, segments } = this.#parts;
    const { segment, partition, hash, offset, length } = error;
    settings.log.error({ event: "storage.record-corrupt", segment: segment.id, offset, partition });
    this.#spoiled.set(segment.id, { partition, hash, offset });
    keyspace.disown(partition, hash, { segment: segment.id, offset });
    try {
      await suspicion.add(partition);
      if (segments.get(segment.id) === segment) {
        await quarantine(settings, { segment: segment.id, offset }, await reader.range(segment, offset, length));
      }
    } catch (failure) {
      settings.log.warn({ event: "storage.quarantine-skipped", segment: segment.id, offset, cause: String(failure) });
    }
  }
}
