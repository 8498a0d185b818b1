/**
 * Re-reads and proves every record of all sealed segments, again and again, so that rot is found while other replicas
 * still hold what it took. A pass covers what was sealed when it began, and begins by sealing what has been written to for
 * long; its place survives restarts. What is bad leaves the tree and makes its partition suspect, as a read that meets it
 * would, and its segment is compacted.
 * Must never hurry because it is late, nor take more of the disk than background's share, but for the next segment, once a day.
 * Source: reliability notes §3.2 (latent corruption), §3.6.
 */
import type { ScrubReport, ScrubState } from "./engine.ts";
import { StoreClosedError } from "./errors.ts";
import { nextTurn } from "./index-loader.ts";
import type { KeyLookup } from "./key-lookup.ts";
import type { Keyspace } from "./keyspace.ts";
import type { LogSettings } from "./log-options.ts";
import type { Manifest } from "./manifest.ts";
import type { RecordReader } from "./record-reader.ts";
import { addedCounts, noScrubCounts, type ScrubCounts } from "./scrub-counts.ts";
import { giveUpRange } from "./scrub-giving-up.ts";
import { emptyScrubPlace, keptScrubPlace, type ScrubPlace, scrubPlaceBytes } from "./scrub-place.ts";
import { type SegmentFindings, scrubSegment } from "./scrub-segment.ts";
import type { SealRule } from "./seal-active.ts";
import type { Segment, SegmentSet } from "./segment-set.ts";
import type { StoreHealth } from "./store-health.ts";
import { isOutOfRoom } from "./whole-file.ts";

/** What a scrubber works with. */
export interface ScrubberParts {
  readonly settings: LogSettings;
  readonly manifest: Manifest;
  readonly segments: SegmentSet;
  readonly keyspace: Keyspace;
  readonly reader: RecordReader;
  readonly lookup: KeyLookup;
  readonly health: StoreHealth;
  readonly documents: {
    read(name: string): Uint8Array | undefined;
    write(name: string, bytes: Uint8Array): Promise<void>;
  };
  /** seals what is being written; resolves to the segments that could not be */
  readonly sealActive: (rule: SealRule) => Promise<readonly number[]>;
  /** 0 … 1: how much of its full pace background work may take now */
  readonly share: () => number;
  /** called when a segment is worth compacting */
  readonly onRotten: () => void;
}

const DOCUMENT = "storage-scrub";
/** with a share of nothing it looks again after this long */
const STANDSTILL_MS = 1_000;
/** how often a pass looks at a segment that it could not look at before, after a rest each time; in a hurry after this one */
const SKIPPED_TRIES = 5;
const HURRIED_REST_MS = 1_000;

/** What became of one segment; one that has gone is done. */
type Looked = "done" | "skipped" | "given-up";

/** The scrubber of one store. */
export class Scrubber {
  readonly #parts: ScrubberParts;
  #place: ScrubPlace = emptyScrubPlace();
  #totals: ScrubCounts = noScrubCounts();
  #work: Promise<unknown> = Promise.resolve();
  #loop: Promise<void> = Promise.resolve();
  #isStopped = false;
  #hurriedCount = 0;
  /** what ends each pause under way, and whether a hurry does */
  readonly #pauses = new Map<() => void, boolean>();

  constructor(parts: ScrubberParts) {
    this.#parts = parts;
  }

  /** What was done since the start, and how far the pass under way is. */
  get state(): ScrubState {
    const { passCount, passEndedAtMs } = this.#place;
    const isAutomatic = this.#parts.settings.scrubPassMs > 0;
    return { ...this.#totals, passCount, passEndedAtMs, bytesPerSecond: isAutomatic ? this.#rate() : 0 };
  }

  /** Goes on where the last start left off; passes follow each other from then on. */
  start(): void {
    const { documents, settings } = this.#parts;
    this.#place = keptScrubPlace(() => documents.read(DOCUMENT), settings.log);
    if (settings.scrubPassMs > 0) this.#loop = this.#runLoop();
  }

  /**
   * One pass over everything that is visible now, as fast as the disk gives it. Rejects when the store fails or is closed,
   * or when there is a segment that could not be sealed or looked at.
   */
  async scrubNow(): Promise<ScrubReport> {
    this.#hurriedCount += 1;
    for (const [end, endsInHurry] of this.#pauses) if (endsInHurry) end();
    try {
      const before = { ...this.#totals };
      const unsealed = await this.#inTurn(() => this.#sealActive(0));
      const ids = this.#sealedIds(0, Number.POSITIVE_INFINITY);
      const { isThrough, skipped } = await this.#lookAt(ids);
      if (!isThrough || this.#isOver()) throw this.#parts.health.failure ?? new StoreClosedError();
      const left = [...unsealed, ...skipped];
      if (left.length > 0) throw new Error(`segments that could not be looked at: ${left.join(", ")}`);
      this.#place = { ...this.#place, passCount: this.#place.passCount + 1, passEndedAtMs: this.#wallMs() };
      await this.#keepPlace();
      return addedCounts(before, this.#totals);
    } finally {
      this.#hurriedCount -= 1;
    }
  }

  /** Gives up; resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const end of this.#pauses.keys()) end();
    await this.#loop;
    await this.#work;
  }

  async #runLoop(): Promise<void> {
    const { settings } = this.#parts;
    await this.#pause(settings.scrubDelayMs);
    while (!this.#isOver()) {
      const startedMs = settings.clock.monotonicMs();
      const isDone = await this.#pass();
      if (!isDone) return;
      // a small store is read in no time: once a day is enough
      const restMs = Math.max(settings.scrubDelayMs, settings.scrubRestMs - (settings.clock.monotonicMs() - startedMs));
      await this.#pause(restMs);
    }
  }

  /** The rest of the pass under way, or a new one; false when it was given up. */
  async #pass(): Promise<boolean> {
    let unsealed: readonly number[] = [];
    if (this.#place.through === 0) {
      unsealed = await this.#inTurn(() => this.#sealActive(this.#parts.settings.scrubSealAfterMs));
      if (this.#isOver()) return false;
      const through = Math.max(0, ...this.#sealedIds(0, Number.POSITIVE_INFINITY));
      this.#place = { ...this.#place, after: 0, through };
    }
    const { after, through } = this.#place;
    const { isThrough, skipped } = await this.#lookAt(this.#sealedIds(after, through), async (id) => {
      this.#place = { ...this.#place, after: id };
      await this.#keepPlace();
    });
    if (!isThrough) return false;
    const left = [...unsealed, ...skipped];
    const isWhole = left.length === 0;
    const { passCount, passEndedAtMs } = this.#place;
    this.#place = isWhole
      ? { passCount: passCount + 1, passEndedAtMs: this.#wallMs(), after: 0, through: 0 }
      : { passCount, passEndedAtMs, after: 0, through: 0 };
    await this.#keepPlace();
    const { log } = this.#parts.settings;
    if (isWhole) log.info({ event: "storage.scrubbed", passCount: passCount + 1, ...this.#totals });
    else log.error({ event: "storage.scrub-incomplete", segments: left });
    return !this.#isOver();
  }

  /** Looks at these, at those that it could not look at again and again; `onDone`: all up to this one are done. */
  async #lookAt(
    ids: readonly number[],
    onDone?: (id: number) => Promise<void>,
  ): Promise<{ readonly isThrough: boolean; readonly skipped: readonly number[] }> {
    let left = ids;
    for (let tries = 1; ; tries += 1) {
      const skipped: number[] = [];
      for (const id of left) {
        const looked = this.#isOver() ? "given-up" : await this.#inTurn(() => this.#scrubOne(id));
        if (looked === "given-up") return { isThrough: false, skipped };
        if (looked === "skipped") skipped.push(id);
        else if (skipped.length === 0 && tries === 1) await onDone?.(id);
      }
      if (skipped.length === 0 || tries === SKIPPED_TRIES) return { isThrough: true, skipped };
      left = skipped;
      // the cause has to pass: in a hurry, too, trying again at once would only count up the tries
      await this.#pause(this.#hurriedCount > 0 ? HURRIED_REST_MS : this.#parts.settings.scrubDelayMs);
    }
  }

  /** A store that closes waits for it, and seals what is left by itself. */
  async #sealActive(minAgeMs: number): Promise<readonly number[]> {
    return this.#isOver() ? [] : this.#parts.sealActive({ minAgeMs, isHurried: this.#hurriedCount > 0 });
  }

  /** One segment at a time, whoever asks. */
  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.#work.then(run);
    this.#work = turn.catch(() => undefined);
    return turn;
  }

  async #scrubOne(id: number): Promise<Looked> {
    const { segments, health, settings } = this.#parts;
    const segment = segments.get(id);
    if (segment === undefined) return "done";
    try {
      const pace = (readBytes: number): Promise<boolean> => this.#pace(readBytes);
      const findings = await scrubSegment({ ...this.#parts, pace }, segment).catch((error: unknown) => {
        // no file handle, say: it is only looked at later
        settings.log.warn({ event: "storage.scrub-skipped", segment: id, cause: String(error) });
      });
      if (findings?.isComplete !== true && this.#isOver()) return "given-up";
      if (findings === undefined) return "skipped";
      if (!findings.isComplete) return "done";
      this.#totals.segmentCount += 1;
      this.#totals.readBytes += segment.sizeBytes;
      await this.#settle(segment, findings);
      return "done";
    } catch (error) {
      if (isOutOfRoom(error)) return "done";
      health.fail(error);
      return "given-up";
    }
  }

  async #settle(segment: Segment, { bad, missingIndex }: SegmentFindings): Promise<void> {
    const { settings, segments, onRotten } = this.#parts;
    for (const range of bad) {
      this.#totals.badCount += 1;
      this.#totals.lostCount += await giveUpRange(this.#parts, segment, range);
    }
    if (segments.get(segment.id) !== segment) return;
    // one that does not name what may have stood there would hide the loss from the next start
    if (missingIndex !== undefined && bad.every((range) => !range.isUnknown)) {
      const isRebuilt = await missingIndex.writeIfRoom(settings.disk, segment.sizeBytes);
      if (isRebuilt) this.#totals.rebuiltIndexCount += 1;
      const event = isRebuilt ? "storage.index-file-rebuilt" : "storage.index-file-missing";
      settings.log.warn({ event, segment: segment.id });
    }
    if (bad.length === 0) return;
    segment.isRotten = true;
    onRotten();
  }

  async #pace(readBytes: number): Promise<boolean> {
    const { settings, share } = this.#parts;
    while (share() <= 0 && this.#hurriedCount === 0 && !this.#isOver()) await this.#rest(STANDSTILL_MS);
    if (this.#hurriedCount > 0) await nextTurn(settings.clock);
    else await this.#rest((readBytes / this.#rate()) * 1_000);
    return !this.#isOver();
  }

  /**
   * Bytes a second: all sealed segments within the time of a pass, but no slower than is worth a timer. A small share makes
   * it slower, never so slow that rot could wait for longer than the bound.
   */
  #rate(): number {
    const { segments, settings } = this.#parts;
    const share = Math.min(1, Math.max(0, this.#parts.share()));
    if (share === 0) return 0;
    let sealedBytes = 0;
    for (const segment of segments.all()) if (segment.isSealed) sealedBytes += segment.sizeBytes;
    const fullRate = Math.max(settings.scrubBytesPerSecond, (sealedBytes / settings.scrubPassMs) * 1_000);
    return Math.max((sealedBytes / settings.scrubBoundMs) * 1_000, fullRate * share);
  }

  /** Within a segment, whose turn others may wait for: in a hurry there is none. */
  #rest(durationMs: number): Promise<void> {
    return this.#hurriedCount > 0 ? Promise.resolve() : this.#pause(durationMs, true);
  }

  #pause(durationMs: number, endsInHurry = false): Promise<void> {
    if (this.#isOver()) return Promise.resolve();
    return new Promise((resolve) => {
      const end = (): void => {
        timer.cancel();
        this.#pauses.delete(end);
        resolve();
      };
      const timer = this.#parts.settings.clock.setTimer(durationMs, end);
      this.#pauses.set(end, endsInHurry);
    });
  }

  #sealedIds(after: number, through: number): readonly number[] {
    const sealed = [...this.#parts.segments.all()].filter(
      ({ isSealed, id }) => isSealed && id > after && id <= through,
    );
    return sealed.map(({ id }) => id).sort((a, b) => a - b);
  }

  /** Without space the next start begins the pass anew. */
  async #keepPlace(): Promise<void> {
    try {
      await this.#parts.documents.write(DOCUMENT, scrubPlaceBytes(this.#place));
    } catch (error) {
      if (this.#parts.health.failure === undefined) {
        this.#parts.settings.log.warn({ event: "storage.scrub-place-not-kept", cause: String(error) });
      }
    }
  }

  #wallMs(): number {
    return Math.floor((this.#parts.settings.clock.wallMicros?.() ?? 0) / 1_000);
  }

  #isOver(): boolean {
    return this.#isStopped || this.#parts.health.failure !== undefined;
  }
}
