/**
 * Re-reads and proves every record of all sealed segments, again and again, so that rot is found while other replicas
 * still hold what it took. A pass covers what was sealed when it began; its place survives restarts. What is bad leaves
 * the tree and makes its partition suspect, as a read that meets it would, and its segment is compacted.
 * Must never hurry because it is late, nor take more than the share of the disk that background work has.
 * Source: reliability notes §3.2 (latent corruption), §3.6.
 */
import type { ScrubReport, ScrubState } from "./engine.ts";
import { KIND_REAPED } from "./format/record.ts";
import { nextTurn } from "./index-loader.ts";
import type { KeyLookup } from "./key-lookup.ts";
import type { Keyspace } from "./keyspace.ts";
import type { LogSettings } from "./log-options.ts";
import type { Manifest } from "./manifest.ts";
import { quarantine } from "./quarantine.ts";
import type { RecordReader } from "./record-reader.ts";
import { emptyScrubPlace, parseScrubPlace, type ScrubPlace, scrubPlaceBytes } from "./scrub-place.ts";
import { type BadRange, type SegmentFindings, scrubSegment } from "./scrub-segment.ts";
import type { Segment, SegmentSet } from "./segment-set.ts";
import type { StoreHealth } from "./store-health.ts";
import { isDiskFull } from "./whole-file.ts";

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
  /** 0 … 1: how much of its full pace background work may take now */
  readonly share: () => number;
  /** called when a segment is worth compacting */
  readonly onRotten: () => void;
}

const DOCUMENT = "storage-scrub";
/** with a share of nothing it looks again after this long */
const STANDSTILL_MS = 1_000;

type Counts = { -readonly [K in keyof ScrubReport]: number };

/** The scrubber of one store. */
export class Scrubber {
  readonly #parts: ScrubberParts;
  #place: ScrubPlace = emptyScrubPlace();
  #totals: Counts = noCounts();
  #work: Promise<unknown> = Promise.resolve();
  #loop: Promise<void> = Promise.resolve();
  #isStopped = false;
  #hurriedCount = 0;
  #resume: (() => void) | undefined;

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
    this.#place = parseScrubPlace(documents.read(DOCUMENT)) ?? emptyScrubPlace();
    if (settings.scrubPassMs > 0) this.#loop = this.#runLoop();
  }

  /** One pass over everything that is sealed now, as fast as the disk gives it. Rejects when the store fails or is closed. */
  async scrubNow(): Promise<ScrubReport> {
    this.#hurriedCount += 1;
    this.#resume?.();
    try {
      const before = { ...this.#totals };
      const ids = this.#sealedIds(0, Number.POSITIVE_INFINITY);
      for (const id of ids) {
        if (this.#isStopped) break;
        await this.#inTurn(() => this.#scrubOne(id));
      }
      this.#place = { ...this.#place, passCount: this.#place.passCount + 1, passEndedAtMs: this.#wallMs() };
      await this.#keepPlace();
      return difference(this.#totals, before);
    } finally {
      this.#hurriedCount -= 1;
    }
  }

  /** Gives up; resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#resume?.();
    await this.#loop;
    await this.#work;
  }

  async #runLoop(): Promise<void> {
    const { settings } = this.#parts;
    await this.#rest(settings.scrubDelayMs);
    while (!this.#isOver()) {
      const startedMs = settings.clock.monotonicMs();
      const isDone = await this.#pass();
      if (!isDone) return;
      // a small store is read in no time: once a day is enough
      const restMs = Math.max(settings.scrubDelayMs, settings.scrubRestMs - (settings.clock.monotonicMs() - startedMs));
      await this.#rest(restMs);
    }
  }

  /** The rest of the pass under way, or a new one; false when it was given up. */
  async #pass(): Promise<boolean> {
    if (this.#place.through === 0) {
      const through = Math.max(0, ...this.#sealedIds(0, Number.POSITIVE_INFINITY));
      this.#place = { ...this.#place, after: 0, through };
    }
    const { after, through } = this.#place;
    for (const id of this.#sealedIds(after, through)) {
      if (this.#isOver() || !(await this.#inTurn(() => this.#scrubOne(id)))) return false;
      this.#place = { ...this.#place, after: id };
      await this.#keepPlace();
    }
    const passCount = this.#place.passCount + 1;
    this.#place = { passCount, passEndedAtMs: this.#wallMs(), after: 0, through: 0 };
    await this.#keepPlace();
    this.#parts.settings.log.info({ event: "storage.scrubbed", passCount, ...this.#totals });
    return !this.#isOver();
  }

  /** One segment at a time, whoever asks. */
  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.#work.then(run);
    this.#work = turn.catch(() => undefined);
    return turn;
  }

  /** False when it was given up; a segment that has gone counts as done. */
  async #scrubOne(id: number): Promise<boolean> {
    const { segments, health, settings } = this.#parts;
    const segment = segments.get(id);
    if (segment === undefined) return true;
    try {
      const pace = (readBytes: number): Promise<boolean> => this.#pace(readBytes);
      const findings = await scrubSegment({ ...this.#parts, pace }, segment).catch((error: unknown) => {
        // no file handle, say: it is only looked at later
        settings.log.warn({ event: "storage.scrub-skipped", segment: id, cause: String(error) });
      });
      if (findings === undefined) return !this.#isOver();
      if (!findings.isComplete) return !this.#isOver();
      this.#totals.segmentCount += 1;
      this.#totals.readBytes += segment.sizeBytes;
      await this.#settle(segment, findings);
      return true;
    } catch (error) {
      if (isDiskFull(error)) return true;
      health.fail(error);
      return false;
    }
  }

  async #settle(segment: Segment, { bad, missingIndex }: SegmentFindings): Promise<void> {
    const { settings, segments, onRotten } = this.#parts;
    for (const range of bad) await this.#giveUp(segment, range);
    if (segments.get(segment.id) !== segment) return;
    // one that does not name what may have stood there would hide the loss from the next start
    if (missingIndex !== undefined && bad.every((range) => !range.isUnknown)) {
      await missingIndex.write(settings.disk, segment.sizeBytes);
      this.#totals.rebuiltIndexCount += 1;
      settings.log.warn({ event: "storage.index-file-rebuilt", segment: segment.id });
    }
    if (bad.length === 0) return;
    segment.isRotten = true;
    onRotten();
  }

  /** The index gives up what it has there, its partition is suspect, its bytes go to quarantine. */
  async #giveUp(segment: Segment, range: BadRange): Promise<void> {
    const { keyspace, lookup, settings, reader } = this.#parts;
    const { from, to } = range;
    this.#totals.badCount += 1;
    settings.log.error({ event: "storage.rot-found", segment: segment.id, offset: from, sizeBytes: to - from });
    const records = range.isUnknown ? await this.#recordsIn(segment, range) : range.records;
    for (const { partition, hash, offset } of records) {
      const slot = keyspace.slotAt(partition, hash, { segment: segment.id, offset });
      const table = keyspace.table(partition);
      // a reap mark still says in the index what is true
      if (table === undefined || slot < 0 || table.kindAt(slot) === KIND_REAPED) continue;
      const isNew = table.digestAt(slot) !== 0n;
      lookup.noteUnreadable({ partition, hash }, { segment, offset, length: table.lengthAt(slot) });
      if (!isNew) continue;
      this.#totals.lostCount += 1;
      const bytes = await reader.range(segment, offset, to - offset).catch(() => undefined);
      if (bytes === undefined) continue;
      await quarantine(settings, { segment: segment.id, offset }, bytes).catch((error: unknown) => {
        settings.log.warn({ event: "storage.quarantine-skipped", segment: segment.id, offset, cause: String(error) });
      });
    }
  }

  /** What the index has in bytes of which nobody knows what stood there. Cost: a look at every entry. */
  async #recordsIn(segment: Segment, { from, to }: BadRange): Promise<BadRange["records"]> {
    const { keyspace, settings } = this.#parts;
    const records: BadRange["records"][number][] = [];
    for (let partition = 0; partition < settings.partitionCount; partition += 1) {
      const table = keyspace.table(partition);
      table?.forEachFrom(0n, (slot) => {
        const offset = table.offsetAt(slot);
        const isThere = table.segmentAt(slot) === segment.id && offset >= from && offset < to;
        if (isThere) records.push({ partition, hash: table.hashAt(slot), offset });
        return true;
      });
      await nextTurn(settings.clock);
    }
    return records;
  }

  async #pace(readBytes: number): Promise<boolean> {
    const { settings, share } = this.#parts;
    while (share() <= 0 && this.#hurriedCount === 0 && !this.#isOver()) await this.#rest(STANDSTILL_MS);
    if (this.#hurriedCount > 0) await nextTurn(settings.clock);
    else await this.#rest((readBytes / this.#rate()) * 1_000);
    return !this.#isOver();
  }

  /** Bytes a second: all sealed segments within the time of a pass, but no slower than is worth a timer. */
  #rate(): number {
    const { segments, settings, share } = this.#parts;
    let sealedBytes = 0;
    for (const segment of segments.all()) if (segment.isSealed) sealedBytes += segment.sizeBytes;
    const fullRate = Math.max(settings.scrubBytesPerSecond, (sealedBytes / settings.scrubPassMs) * 1_000);
    return fullRate * Math.min(1, Math.max(0, share()));
  }

  #rest(durationMs: number): Promise<void> {
    if (this.#isOver() || this.#hurriedCount > 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#parts.settings.clock.setTimer(durationMs, resolve);
      this.#resume = () => {
        timer.cancel();
        resolve();
      };
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

function noCounts(): Counts {
  return { segmentCount: 0, readBytes: 0, badCount: 0, lostCount: 0, rebuiltIndexCount: 0 };
}

function difference(after: ScrubReport, before: ScrubReport): ScrubReport {
  return {
    segmentCount: after.segmentCount - before.segmentCount,
    readBytes: after.readBytes - before.readBytes,
    badCount: after.badCount - before.badCount,
    lostCount: after.lostCount - before.lostCount,
    rebuiltIndexCount: after.rebuiltIndexCount - before.rebuiltIndexCount,
  };
}
