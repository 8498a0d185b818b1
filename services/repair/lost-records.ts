/**
 * Records that cannot be read here and that no other holder has: counted as lost once several whole rounds of comparing
 * with all of them have brought nothing, told of once, and their partition is whole without them. Nothing is taken out:
 * a read of such a key stays an error here until somebody writes it, or brings it after all.
 * Source: reliability notes §3.6: suspicion ends with a completed exchange, and never silently.
 */
import { ANTI_ENTROPY_UNREADABLE_ROUNDS, MAX_LOST_HASHES_TOLD } from "../base/limits.ts";
import type { Log } from "../base/ports.ts";

/** What follows for a partition that was compared to the end with all other holders. */
export type LossVerdict =
  /** every record can be read */
  | "whole"
  /** whole but for records that are lost, told of now or before */
  | "lost"
  /** some cannot be read: once more */
  | "again";

interface Doubt {
  readonly hashes: ReadonlySet<bigint>;
  readonly roundCount: number;
}

/** What one node has lost for good, as far as anybody knows. */
export class LostRecords {
  readonly #log: Log;
  readonly #unreadableIn: (partition: number) => readonly bigint[];
  readonly #doubts = new Map<number, Doubt>();
  /** by partition: the hashes that were told of */
  readonly #lost = new Map<number, ReadonlySet<bigint>>();

  constructor(log: Log, unreadableIn: (partition: number) => readonly bigint[]) {
    this.#log = log;
    this.#unreadableIn = unreadableIn;
  }

  /** Records that are lost, as of the last look at their partitions. */
  get count(): number {
    let count = 0;
    for (const hashes of this.#lost.values()) count += hashes.size;
    return count;
  }

  /** Records that cannot be read and may still be brought. */
  get doubtfulCount(): number {
    let count = 0;
    for (const { hashes } of this.#doubts.values()) count += hashes.size;
    return count;
  }

  /** A whole round over the partition has ended, from a beginning after anything in it came into doubt. O(keys of it). */
  judge(partition: number): LossVerdict {
    const unreadable = this.#unreadableIn(partition);
    const known = this.#keepLost(partition, unreadable);
    const hashes = new Set(unreadable.filter((hash) => !known.has(hash)));
    const before = this.#doubts.get(partition);
    if (hashes.size === 0) {
      this.#doubts.delete(partition);
      return known.size === 0 ? "whole" : "lost";
    }
    // one that was found while it was compared has not had a round of its own
    const isSame = before !== undefined && [...hashes].every((hash) => before.hashes.has(hash));
    const roundCount = isSame ? before.roundCount + 1 : 1;
    if (roundCount < ANTI_ENTROPY_UNREADABLE_ROUNDS) {
      this.#doubts.set(partition, { hashes, roundCount });
      return "again";
    }
    this.#doubts.delete(partition);
    this.#lost.set(partition, new Set([...known, ...hashes]));
    this.#log.error({
      event: "anti-entropy.records-lost",
      partition,
      count: hashes.size,
      hashes: [...hashes].slice(0, MAX_LOST_HASHES_TOLD).map((hash) => hash.toString(16).padStart(16, "0")),
    });
    return "lost";
  }

  /** Its records are somebody else's affair now, or it is suspect of nothing any more. */
  settle(partition: number): void {
    this.#doubts.delete(partition);
  }

  /** What was brought or written since is lost no more. O(keys of partitions that have lost some). */
  review(): void {
    for (const partition of this.#lost.keys()) this.#keepLost(partition, this.#unreadableIn(partition));
  }

  #keepLost(partition: number, unreadable: readonly bigint[]): ReadonlySet<bigint> {
    const before = this.#lost.get(partition);
    if (before === undefined) return new Set();
    const left = new Set(unreadable.filter((hash) => before.has(hash)));
    if (left.size === 0) this.#lost.delete(partition);
    else this.#lost.set(partition, left);
    return left;
  }
}
