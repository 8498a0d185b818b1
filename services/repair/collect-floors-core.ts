/**
 * How far the tombstones of each partition are collected at this holder. Three marks a partition, all counters (hybrid
 * microseconds) that only grow while its slot is held:
 *
 * - `noted`: this holder had, up to here, the same as all other holders, in a look that its leader made. Noted by all of
 *   them before any goes on.
 * - `reaped`: all have noted that floor. Tombstones up to here may leave.
 * - `heard`: the highest such floor that is known of, here or from a peer. What is at or below and not held here was deleted
 *   (the *line*, `services/replica/stale-versions.ts`).
 *
 * Who has noted less than the line took no part: an older copy of the disk, or a slot that came without its marks. It is
 * *behind*: what it has beyond a peer that did, up to the line, is not to be believed. So is who is *in doubt*: records were
 * lost here since, or the marks themselves, or the slot got keys to hold that the looks left out (`collect-rules-core.ts`).
 * Must never lower a mark, but by forgetting the partition with its slot, or where it cannot be read any more. Pure; what is durable is `encodeMarks` of it (`collect-marks-codec.ts`).
 */

/** Up to where, and which values with an end may go with the tombstones. */
export interface CollectMark {
  /** counter; every dot of what leaves is at or below */
  readonly floor: number;
  /** wall-clock milliseconds; values that ended by then leave too */
  readonly expiryMs: number;
}

/** The marks of a partition; zeros: none. */
export interface PartitionMarks {
  readonly noted: CollectMark;
  readonly reaped: CollectMark;
  readonly heard: CollectMark;
}

/** What a peer's word of its own marks means here. */
export type HeardMark =
  /** nothing that is not known here */
  | "even"
  /** a proof is complete in which this holder took part: reap */
  | "reap"
  /** this holder did not take part in that proof */
  | "behind";

/** Why marks do not say what they used to: of some keys (`rules`), or of all (`records`). */
export type Doubt = "rules" | "records";

/** No mark at all. */
export const NO_MARK: CollectMark = { floor: 0, expiryMs: 0 };

const DOUBTS: readonly (Doubt | undefined)[] = [undefined, "rules", "records"];

/** The marks of one node, and the lines that follow from them. */
export class CollectFloors {
  readonly #noted: CollectMark[];
  readonly #reaped: CollectMark[];
  readonly #heard: CollectMark[];
  /** the counters of `heard`, for every version that comes in */
  readonly #line: Float64Array;
  /** places in `DOUBTS` */
  readonly #doubts: Uint8Array;

  constructor(partitionCount: number) {
    this.#noted = Array.from({ length: partitionCount }, () => NO_MARK);
    this.#reaped = Array.from({ length: partitionCount }, () => NO_MARK);
    this.#heard = Array.from({ length: partitionCount }, () => NO_MARK);
    this.#line = new Float64Array(partitionCount);
    this.#doubts = new Uint8Array(partitionCount);
  }

  /** Q. */
  get partitionCount(): number {
    return this.#line.length;
  }

  marksOf(partition: number): PartitionMarks {
    return {
      noted: this.#noted[partition] ?? NO_MARK,
      reaped: this.#reaped[partition] ?? NO_MARK,
      heard: this.#heard[partition] ?? NO_MARK,
    };
  }

  /** 0 = none. O(1), no allocation. */
  lineOf(partition: number): number {
    return this.#line[partition] ?? 0;
  }

  /** Why the marks do not say what they used to; undefined: they do. */
  doubtOf(partition: number): Doubt | undefined {
    return DOUBTS[this.#doubts[partition] ?? 0];
  }

  /** True while this holder took no part in a proof that it knows of, or is in doubt. */
  isBehind(partition: number): boolean {
    return this.#doubts[partition] !== 0 || this.isOutside(partition);
  }

  /** True while nothing that is held of the partition can be believed without a look at who took part in the last proof. */
  isHidden(partition: number): boolean {
    return this.#doubts[partition] === 2 || this.isOutside(partition);
  }

  /** This holder took no part in a proof that it knows of. */
  isOutside(partition: number): boolean {
    return this.lineOf(partition) > (this.#noted[partition] ?? NO_MARK).floor;
  }

  /** Notes a floor; false when a higher one, or the same, was noted before: then this look is not the newest. */
  note(partition: number, mark: CollectMark): boolean {
    if (mark.floor <= this.marksOf(partition).noted.floor || this.isBehind(partition)) return false;
    this.#noted[partition] = mark;
    return true;
  }

  /** All have noted this floor; false when this holder has not, and so must not take anything out. */
  reap(partition: number, mark: CollectMark): boolean {
    const { noted, reaped } = this.marksOf(partition);
    if (noted.floor < mark.floor) return false;
    if (mark.floor > reaped.floor) this.#reaped[partition] = mark;
    this.#raise(partition, mark);
    return true;
  }

  /** What a holder of another slot of the partition has reaped. */
  hear(partition: number, mark: CollectMark): HeardMark {
    const { noted, reaped } = this.marksOf(partition);
    if (mark.floor <= reaped.floor) return "even";
    if (noted.floor >= mark.floor) return "reap";
    this.#raise(partition, mark);
    return "behind";
  }

  /** Nobody has that proof any more whom this holder was behind: what its own marks say holds again, if they say anything. */
  unhear(partition: number): void {
    if (this.#doubts[partition] !== 0) return this.forget(partition);
    this.#setHeard(partition, this.marksOf(partition).reaped);
  }

  /**
   * From now on what is held is compared with one that took part before it is believed. False when there are no marks that
   * could be wrong, or when this was known.
   */
  doubt(partition: number, why: Doubt): boolean {
    const place = DOUBTS.indexOf(why);
    if (!this.isMarked(partition) || (this.#doubts[partition] ?? 0) >= place) return false;
    this.#doubts[partition] = place;
    return true;
  }

  /** What the marks said is not known any more: this holder may have been behind, or in doubt, and is so until it was compared. */
  lose(partition: number): void {
    this.forget(partition);
    this.#doubts[partition] = DOUBTS.indexOf("records");
  }

  /**
   * This holder has all that one has that took part in the proof of `mark`, which is at or above the line, and nothing of
   * its own below it any more.
   */
  catchUp(partition: number, mark: CollectMark): void {
    const { noted, reaped } = this.marksOf(partition);
    // What was noted while other keys, or other records, were held says nothing of those of now.
    if (mark.floor > noted.floor || this.#doubts[partition] !== 0) this.#noted[partition] = mark;
    if (mark.floor > reaped.floor) this.#reaped[partition] = mark;
    this.#doubts[partition] = 0;
    this.#raise(partition, mark);
  }

  /** The slot has gone: whatever comes in its place starts without marks. */
  forget(partition: number): void {
    this.#noted[partition] = NO_MARK;
    this.#reaped[partition] = NO_MARK;
    this.#doubts[partition] = 0;
    this.#setHeard(partition, NO_MARK);
  }

  /** Puts in what was durable; the marks must fit together (`areMarksSound`). */
  restore(partition: number, marks: PartitionMarks, doubt: Doubt | undefined): void {
    this.#noted[partition] = marks.noted;
    this.#reaped[partition] = marks.reaped;
    this.#doubts[partition] = doubt === undefined ? 0 : DOUBTS.indexOf(doubt);
    this.#setHeard(partition, marks.heard);
  }

  /** There is something to remember: a mark, or that marks were lost. */
  isMarked(partition: number): boolean {
    if (this.lineOf(partition) > 0 || (this.#noted[partition] ?? NO_MARK).floor > 0) return true;
    return this.#doubts[partition] !== 0;
  }

  /** Partitions with something to remember, ascending. O(Q). */
  marked(): readonly number[] {
    const marked: number[] = [];
    for (let partition = 0; partition < this.#line.length; partition += 1) {
      if (this.isMarked(partition)) marked.push(partition);
    }
    return marked;
  }

  /** The highest floor known of any partition: whatever is minted anywhere from now on is above it. O(Q). */
  highest(): number {
    const noted = this.#noted.reduce((highest, { floor }) => Math.max(highest, floor), 0);
    return this.#line.reduce((highest, line) => Math.max(highest, line), noted);
  }

  #raise(partition: number, mark: CollectMark): void {
    if (mark.floor > this.lineOf(partition)) this.#setHeard(partition, mark);
  }

  #setHeard(partition: number, mark: CollectMark): void {
    this.#heard[partition] = mark;
    this.#line[partition] = mark.floor;
  }
}

/** Whether marks can stand beside each other: what was reaped was noted before, and is known. */
export function areMarksSound({ noted, reaped, heard }: PartitionMarks): boolean {
  const all = [noted, reaped, heard].flatMap(({ floor, expiryMs }) => [floor, expiryMs]);
  return all.every(Number.isSafeInteger) && reaped.floor <= noted.floor && reaped.floor <= heard.floor;
}
