/**
 * Writes that are accepted and not yet answered, in the order of their calls: those that wait, and those that are
 * being written. Bounded in bytes and in number. Knows the newest write of each hash, at constant cost.
 * Must never reorder.
 */
import type { PendingWrite } from "./pending-write.ts";
import { highWord, lowWord, splitU64, words } from "./words.ts";

/** slots of taken writes that are not worth moving the others for */
const SMALL_GAP = 1024;

/** Bounds of all unsettled writes. */
export interface QueueBounds {
  readonly bytes: number;
  readonly records: number;
}

/** What one group may hold, and the time (monotonic) at which it is taken. */
export interface TakeBounds {
  readonly records: number;
  readonly bytes: number;
  readonly roomBytes: number;
  readonly nowMs: number;
}

const NONE: PendingWrite[] = [];

/** The queue. */
export class WriteQueue {
  readonly #bounds: QueueBounds;
  /** slots before `#head` are empty: what was taken must not be kept alive by those behind it */
  #waiting: (PendingWrite | undefined)[] = [];
  #head = 0;
  /** taken, not settled; few and short-lived */
  readonly #underWay = new Set<readonly PendingWrite[]>();
  #bytes = 0;
  #count = 0;
  /** by `bucketOf` the hash: the newest write, which counts the unsettled ones */
  readonly #newest = new Map<number, PendingWrite>();
  /** unsettled writes by partition */
  readonly #counts: Uint32Array<ArrayBuffer>;
  readonly #whenNone = new Map<number, (() => void)[]>();

  constructor(bounds: QueueBounds, partitionCount: number) {
    this.#bounds = bounds;
    this.#counts = new Uint32Array(partitionCount);
  }

  /** Bytes of all unsettled writes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Writes that wait. */
  get waitingCount(): number {
    return this.#waiting.length - this.#head;
  }

  /** Whether a write of this size may be added now: an empty queue takes any. */
  hasRoomFor(sizeBytes: number): boolean {
    const { bytes, records } = this.#bounds;
    return this.#count === 0 || (this.#count < records && this.#bytes + sizeBytes <= bytes);
  }

  /** The write that waits longest. */
  peek(): PendingWrite | undefined {
    return this.#waiting[this.#head];
  }

  /** Adds a write at the end. */
  add(write: PendingWrite): void {
    this.#waiting.push(write);
    this.#bytes += write.totalBytes;
    this.#count += 1;
    const { partition } = write.request.address;
    this.#counts[partition] = (this.#counts[partition] ?? 0) + 1;
    const bucket = bucketOf(write.request.address.hash);
    write.crowd = (this.#newest.get(bucket)?.crowd ?? 0) + 1;
    this.#newest.set(bucket, write);
  }

  /**
   * Takes judged writes from the front within the bounds; at least one when the first is judged and fits `roomBytes`. Those that
   * nobody wants any more at `nowMs`, or that are refused, are taken out on the way, and are the caller's to reject and to settle as
   * a group of their own.
   */
  take(bounds: TakeBounds): { readonly group: PendingWrite[]; readonly refused: readonly PendingWrite[] } {
    const group: PendingWrite[] = [];
    let refused = NONE;
    let bytes = 0;
    while (group.length < bounds.records) {
      const next = this.#waiting[this.#head];
      if (next === undefined || next.sharesHash === undefined) break;
      const { byMs } = next.request;
      if (next.refusal !== undefined || (byMs !== undefined && byMs <= bounds.nowMs)) {
        if (refused === NONE) refused = [];
        refused.push(next);
        this.#dropFirst();
        continue;
      }
      const total = bytes + next.totalBytes;
      if (total > bounds.roomBytes || (total > bounds.bytes && group.length > 0)) break;
      bytes = total;
      group.push(next);
      this.#dropFirst();
    }
    this.#closeGap();
    if (group.length > 0) this.#underWay.add(group);
    if (refused.length > 0) this.#underWay.add(refused);
    return { group, refused };
  }

  /** Takes everything that waits, judged or not. */
  takeAll(): PendingWrite[] {
    const group = this.#waiting.slice(this.#head).filter((write) => write !== undefined);
    this.#waiting = [];
    this.#head = 0;
    if (group.length > 0) this.#underWay.add(group);
    return group;
  }

  /** The group has its answer (or is about to get it in this turn): it no longer counts. */
  settle(group: readonly PendingWrite[]): void {
    if (!this.#underWay.delete(group)) return;
    for (const write of group) {
      this.#bytes -= write.totalBytes;
      this.#count -= 1;
      this.#leave(bucketOf(write.request.address.hash));
      this.#leavePartition(write.request.address.partition);
    }
  }

  /** Resolves when no write of the partition is unsettled: those that are visible then are all that were accepted. */
  async whenNone(partition: number): Promise<void> {
    if (this.#counts[partition] === 0) return;
    await new Promise<void>((resolve) => {
      this.#whenNone.set(partition, [...(this.#whenNone.get(partition) ?? []), resolve]);
    });
  }

  /**
   * The newest write of this hash while any of them is unsettled; it may be settled itself. It stands for all: when it
   * was judged not to share its hash, all before it that were unsettled then have its key. Rarely it has another hash,
   * and so another key.
   */
  newestOf(hash: bigint): PendingWrite | undefined {
    return this.#newest.get(bucketOf(hash));
  }

  #dropFirst(): void {
    this.#waiting[this.#head] = undefined;
    this.#head += 1;
  }

  /** Amortized constant: at least as many were taken as are moved. */
  #closeGap(): void {
    if (this.#head === this.#waiting.length) {
      this.#waiting.length = 0;
      this.#head = 0;
    } else if (this.#head > SMALL_GAP && this.#head * 2 > this.#waiting.length) {
      this.#waiting.splice(0, this.#head);
      this.#head = 0;
    }
  }

  #leavePartition(partition: number): void {
    const left = (this.#counts[partition] ?? 0) - 1;
    this.#counts[partition] = left;
    if (left > 0 || this.#whenNone.size === 0) return;
    const waiting = this.#whenNone.get(partition) ?? [];
    this.#whenNone.delete(partition);
    for (const resume of waiting) resume();
  }

  #leave(bucket: number): void {
    const newest = this.#newest.get(bucket);
    if (newest === undefined) return;
    newest.crowd -= 1;
    if (newest.crowd === 0) this.#newest.delete(bucket);
  }
}

/** 53 bits of a hash, all of its bits folded in: a Map of numbers needs no bigint on the heap. */
function bucketOf(hash: bigint): number {
  splitU64(hash);
  const high = words[highWord] ?? 0;
  return ((high ^ (high >>> 21)) & 0x1f_ffff) * 2 ** 32 + (words[lowWord] ?? 0);
}
