/**
 * Writes that are accepted and not yet answered, in the order of their calls: those that wait, and those that are
 * being written. Bounded in bytes. Answers fast whether any of them may have a given hash.
 * Must never reorder.
 */
import type { PendingWrite } from "./pending-write.ts";
import { lowWord, splitU64, words } from "./words.ts";

const FILTER_SLOTS = 65_536;
/** slots of taken writes that are not worth moving the others for */
const SMALL_GAP = 1024;

/** The queue. */
export class WriteQueue {
  readonly #maxBytes: number;
  /** slots before `#head` are empty: what was taken must not be kept alive by those behind it */
  #waiting: (PendingWrite | undefined)[] = [];
  #head = 0;
  /** taken, not settled; few and short-lived */
  readonly #underWay = new Set<readonly PendingWrite[]>();
  #bytes = 0;
  /** how many unsettled writes have a hash with these low 16 bits */
  readonly #filter = new Uint32Array(FILTER_SLOTS);

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
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
    return this.#bytes === 0 || this.#bytes + sizeBytes <= this.#maxBytes;
  }

  /** The write that waits longest. */
  peek(): PendingWrite | undefined {
    return this.#waiting[this.#head];
  }

  /** Adds a write at the end. */
  add(write: PendingWrite): void {
    this.#waiting.push(write);
    this.#bytes += write.totalBytes;
    this.#countHash(write.request.address.hash, 1);
  }

  /** Takes judged writes from the front within the bounds; at least one when the first is judged and fits `roomBytes`. */
  take(bounds: { readonly records: number; readonly bytes: number; readonly roomBytes: number }): PendingWrite[] {
    const group: PendingWrite[] = [];
    let bytes = 0;
    while (group.length < bounds.records) {
      const next = this.#waiting[this.#head];
      if (next === undefined || next.sharesHash === undefined) break;
      const total = bytes + next.totalBytes;
      if (total > bounds.roomBytes || (total > bounds.bytes && group.length > 0)) break;
      bytes = total;
      group.push(next);
      this.#waiting[this.#head] = undefined;
      this.#head += 1;
    }
    this.#closeGap();
    if (group.length > 0) this.#underWay.add(group);
    return group;
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
      this.#countHash(write.request.address.hash, -1);
    }
  }

  /** Unsettled writes of this hash, in order. Cost: constant when there is none, else linear in the queue. */
  withHash(partition: number, hash: bigint): PendingWrite[] {
    splitU64(hash);
    if (this.#filter[(words[lowWord] ?? 0) % FILTER_SLOTS] === 0) return [];
    const found: PendingWrite[] = [];
    const look = (write: PendingWrite): void => {
      const { address } = write.request;
      if (address.hash === hash && address.partition === partition) found.push(write);
    };
    for (const group of this.#underWay) group.forEach(look);
    for (let at = this.#head; at < this.#waiting.length; at += 1) {
      const write = this.#waiting[at];
      if (write !== undefined) look(write);
    }
    return found;
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

  #countHash(hash: bigint, change: 1 | -1): void {
    splitU64(hash);
    const slot = (words[lowWord] ?? 0) % FILTER_SLOTS;
    this.#filter[slot] = (this.#filter[slot] ?? 0) + change;
  }
}
