/**
 * The one writer of the log. While a group is being written the next one gathers; each group is one write, durable
 * when it returns. Only then is it published and answered. Source: DESIGN §5; reliability notes §3.4.
 * Must never write two groups at a time, publish what is not durable, or go on after a failed write.
 */
import { type ActiveSegment, activeSegmentOf, noteRecord } from "./active-segment.ts";
import { DiskFullError, StoreBusyError, WriteExpiredError } from "./errors.ts";
import { RECORD_HEADER_BYTES } from "./format/record.ts";
import { GroupEncoder } from "./group-encoder.ts";
import { IdleMark } from "./idle-mark.ts";
import type { LogPlace } from "./keyspace.ts";
import type { LogSettings } from "./log-options.ts";
import type { PendingWrite } from "./pending-write.ts";
import { isOutOfHandles } from "./ports.ts";
import type { SegmentPreparer } from "./segment-preparer.ts";
import type { SegmentSealer } from "./segment-sealer.ts";
import type { StoreHealth } from "./store-health.ts";
import { isDiskFull, writeFully } from "./whole-file.ts";
import type { WriteQueue } from "./write-queue.ts";

/** What the writer works with. */
export interface WriterParts {
  readonly settings: LogSettings;
  readonly health: StoreHealth;
  readonly queue: WriteQueue;
  readonly preparer: SegmentPreparer;
  readonly sealer: SegmentSealer;
  /** makes a durable record visible; a promise only in the rare case that keys must be compared on disk */
  readonly publish: (write: PendingWrite, segment: number) => void | Promise<void>;
  /** called when writes are refused for lack of space */
  readonly onDiskFull: () => void;
}

/**
 * How full a segment is when the next one is begun: early, for it is made slowly so that commits do not wait for it; not
 * at once, so that a store that holds little takes one segment.
 */
const PREPARE_FROM = 1 / 8;

/** The writer loop. */
export class LogWriter {
  readonly #parts: WriterParts;
  readonly #encoder: GroupEncoder;
  readonly #idleMark: IdleMark;
  #active: ActiveSegment | undefined;
  #nextSeq: number;
  #durableUpTo: number;
  #isScheduled = false;
  #isStopped = false;
  #whenIdle: (() => void)[] = [];
  readonly #endsAsked: { readonly segment: number; readonly resolve: () => void }[] = [];
  #wantsMark = false;
  #commitCount = 0;
  #lastPlace: LogPlace = { segment: 0, offset: 0 };
  #lastSeq = 0;
  /** not `#nextSeq` − 1: a group that finds no space gives its seqs back */
  #writtenThrough: number;

  constructor(parts: WriterParts, start: { readonly nextSeq: number; readonly durableUpTo: number }) {
    const { clock, idleMarkMs, groupBytes } = parts.settings;
    this.#parts = parts;
    this.#encoder = new GroupEncoder(groupBytes);
    this.#idleMark = new IdleMark(clock, idleMarkMs, () => {
      this.#wantsMark = true;
      this.wake();
    });
    this.#nextSeq = start.nextSeq;
    this.#writtenThrough = start.nextSeq - 1;
    this.#durableUpTo = start.durableUpTo;
  }

  /** Groups made durable so far. */
  get commitCount(): number {
    return this.#commitCount;
  }

  /** The last seq written since the start, and where its record stands; zeros when there is none. */
  get last(): LogPlace & { readonly seq: number } {
    return { seq: this.#lastSeq, ...this.#lastPlace };
  }

  /** Every record that is visible has a seq up to this one, and every record yet to be written one above it. */
  get writtenThrough(): number {
    return this.#writtenThrough;
  }

  /** The segment that is being written. */
  get active(): Pick<ActiveSegment, "segment" | "sinceMs"> | undefined {
    return this.#active;
  }

  /** Ends this segment between two groups, if it is still the one being written: the next must be ready. Resolves then. */
  end(segment: number): Promise<void> {
    return new Promise((resolve) => {
      this.#endsAsked.push({ segment, resolve });
      this.wake();
    });
  }

  /** Says that the queue has something to write: puts of one turn of the event loop share a group. */
  wake(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#parts.settings.clock.defer(() => {
      this.#run().then(
        () => this.#rest(),
        (error: unknown) => {
          this.#rejectAll(this.#parts.health.fail(error));
          this.#rest();
        },
      );
    });
  }

  /** Resolves when everything accepted is answered, then seals the active segment. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#idleMark.stop();
    while (this.#isScheduled || this.#parts.queue.waitingCount > 0) {
      this.wake();
      await new Promise<void>((resolve) => {
        this.#whenIdle.push(resolve);
      });
    }
    const active = this.#active;
    this.#active = undefined;
    if (active === undefined) return;
    if (this.#parts.health.failure === undefined) await this.#parts.sealer.seal(active, active.offset);
    else await active.file.close();
  }

  #rest(): void {
    this.#isScheduled = false;
    for (const resume of this.#whenIdle.splice(0)) resume();
    // what was asked for in the last round was not looked at: `wake` did nothing, for this run still went on
    if (this.#parts.queue.waitingCount > 0 || this.#endsAsked.length > 0 || this.#isMarkDue()) this.wake();
  }

  /** Writes until nothing waits. */
  async #run(): Promise<void> {
    const { queue, health } = this.#parts;
    let durable: readonly PendingWrite[] = [];
    for (;;) {
      if (health.failure !== undefined) this.#rejectAll(health.failure);
      const group = this.#takeGroup();
      const isMark = group.length === 0 && queue.waitingCount === 0 && this.#takeMark();
      const writing = group.length > 0 || isMark ? this.#write(group) : undefined;
      // published while the next group is on its way to the disk
      await this.#publish(durable);
      durable = [];
      if (writing !== undefined) {
        if (await writing) durable = group;
      } else if (!(await this.#clearTheWay())) {
        return;
      }
    }
  }

  /** What keeps the first waiting write from being written: an end, its judgement, or room. False when nothing waits. */
  async #clearTheWay(): Promise<boolean> {
    if (this.#endsAsked.length > 0) return this.#endAsked();
    const head = this.#parts.queue.peek();
    if (head === undefined) return false;
    const active = this.#active;
    if (head.sharesHash === undefined) await head.judged;
    else if (active === undefined || active.offset + head.totalBytes > active.capacityBytes) {
      await this.#roll(head.totalBytes);
    }
    return true;
  }

  async #endAsked(): Promise<true> {
    for (const { segment, resolve } of this.#endsAsked.splice(0)) {
      if (this.#active?.segment.id === segment && this.#parts.health.failure === undefined) await this.#roll(0);
      resolve();
    }
    return true;
  }

  #takeGroup(): PendingWrite[] {
    const active = this.#active;
    // not while a segment is to be ended: under load there would always be one more
    if (active === undefined || this.#endsAsked.length > 0 || this.#parts.health.failure !== undefined) return [];
    const { groupRecords, groupBytes, clock } = this.#parts.settings;
    const roomBytes = active.capacityBytes - active.offset;
    const bounds = { records: groupRecords, bytes: groupBytes, roomBytes, nowMs: clock.monotonicMs() };
    const { group, refused } = this.#parts.queue.take(bounds);
    this.#parts.queue.settle(refused);
    for (const write of refused) write.reject(write.refusal ?? new WriteExpiredError());
    return group;
  }

  #isMarkDue(): boolean {
    const active = this.#active;
    if (!this.#wantsMark || this.#isStopped || active === undefined) return false;
    if (this.#parts.health.failure !== undefined) return false;
    return this.#idleMark.isUnproved && active.capacityBytes - active.offset >= RECORD_HEADER_BYTES;
  }

  #takeMark(): boolean {
    const isDue = this.#isMarkDue();
    this.#wantsMark = false;
    return isDue;
  }

  /** Writes one group (none: the idle mark). True when it is durable; false when it left no trace and was answered so. */
  async #write(group: readonly PendingWrite[]): Promise<boolean> {
    const active = this.#active;
    if (active === undefined) return false;
    const firstSeq = this.#nextSeq;
    const start = active.offset;
    const place = { segmentSeed: active.segment.seed, offset: start, firstSeq, durableUpTo: this.#durableUpTo };
    const isMark = group.length === 0;
    const bytes = isMark ? this.#encoder.encodeMark(place) : this.#encoder.encode(group, place);
    this.#nextSeq += Math.max(1, group.length);
    try {
      await writeFully(active.file, bytes, start);
    } catch (error) {
      this.#nextSeq = firstSeq;
      await this.#undo(active, group, error);
      return false;
    }
    active.offset += bytes.length;
    this.#lastSeq = this.#nextSeq - 1;
    this.#writtenThrough = this.#lastSeq;
    this.#lastPlace = { segment: active.segment.id, offset: group.at(-1)?.offset ?? start };
    if (this.#parts.settings.durability === "fsync") this.#durableUpTo = this.#nextSeq - 1;
    this.#commitCount += 1;
    active.segment.warmth.warm(start, bytes.length);
    // in the other mode nothing on disk is known to be durable, and a mark would prove nothing
    if (this.#parts.settings.durability === "fsync" && !this.#isStopped) this.#idleMark.committed(isMark);
    if (active.offset > active.capacityBytes * PREPARE_FROM) this.#parts.preparer.prepare();
    return true;
  }

  /** No space: cut back to the last whole group, durably, and only then say that nothing was kept. */
  async #undo(active: ActiveSegment, group: readonly PendingWrite[], cause: unknown): Promise<void> {
    const { health, settings } = this.#parts;
    if (!isDiskFull(cause)) {
      this.#reject(group, health.fail(cause));
      return;
    }
    try {
      await active.file.truncate(active.offset);
      await active.file.fdatasync();
    } catch (error) {
      this.#reject(group, health.fail(error));
      return;
    }
    settings.log.warn({ event: "storage.disk-full", segment: active.segment.id });
    this.#parts.onDiskFull();
    this.#reject(group, new DiskFullError({ cause }));
  }

  /** Goes on in the next segment; without space, or a handle, those who wait are refused, and the next put tries again. */
  async #roll(neededBytes: number): Promise<void> {
    const { preparer, sealer, settings, health } = this.#parts;
    try {
      const next = await preparer.take(neededBytes);
      const old = this.#active;
      this.#active = activeSegmentOf(next);
      if (old !== undefined) void sealer.seal(old, old.offset);
    } catch (error) {
      if (isOutOfHandles(error)) this.#rejectAll(new StoreBusyError({ cause: error }));
      else if (error instanceof DiskFullError || isDiskFull(error)) {
        settings.log.warn({ event: "storage.disk-full" });
        this.#parts.onDiskFull();
        this.#rejectAll(new DiskFullError({ cause: error }));
      } else this.#rejectAll(health.fail(error));
    }
  }

  async #publish(group: readonly PendingWrite[]): Promise<void> {
    const active = this.#active;
    if (group.length === 0 || active === undefined) return;
    try {
      for (const write of group) {
        noteRecord(active, write, this.#parts.settings.clock);
        const slow = this.#parts.publish(write, active.segment.id);
        if (slow !== undefined) await slow;
      }
    } catch (error) {
      // durable, but not visible: only a new start can tell what holds
      this.#reject(group, this.#parts.health.fail(error));
      return;
    }
    this.#parts.queue.settle(group);
    for (const write of group) write.resolve();
  }

  #reject(group: readonly PendingWrite[], error: Error): void {
    this.#parts.queue.settle(group);
    for (const write of group) write.reject(error);
  }

  #rejectAll(error: Error): void {
    this.#reject(this.#parts.queue.takeAll(), error);
  }
}
