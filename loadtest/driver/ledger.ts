/**
 * The harness's own memory of every write: what was sent, when, what the answer said became of it, and what it had seen. Must
 * never ask the store what it thinks: `driver/judge.ts` compares the two at the end.
 */

/** What a write does to versions that are there. */
export type WriteMode = "overwrite" | "sibling" | "context";

/** What is known of a write's effect. */
export type WriteOutcome = "applied" | "not_applied" | "unknown";

/** One write. */
export interface WriteRecord {
  readonly id: string;
  readonly key: string;
  readonly mode: WriteMode;
  /** names of the writes that its context had seen */
  readonly covers: readonly string[];
  /** wall-clock milliseconds with a fraction, of one process */
  readonly startMs: number;
  /** when the answer came; none as long as it may still take effect */
  readonly endMs: number | undefined;
  readonly outcome: WriteOutcome;
}

/** A write that was sent and has not been answered. */
export interface OpenWrite {
  readonly id: string;
  readonly key: string;
  readonly mode: WriteMode;
  readonly covers: readonly string[];
  readonly startMs: number;
}

/** Now, in the ledger's time. */
export function ledgerNow(): number {
  return performance.timeOrigin + performance.now();
}

/** All writes of one process. */
export class Ledger {
  readonly #records: WriteRecord[] = [];
  readonly #byId = new Map<string, WriteRecord>();
  readonly #newestApplied = new Map<string, WriteRecord>();
  readonly #prefix: string;
  #nextNumber = 1;

  /** `prefix`: one letter, by which the names of this process's writes begin. */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** All writes so far that were closed. */
  get records(): readonly WriteRecord[] {
    return this.#records;
  }

  /** A write that is about to be sent. */
  begin(key: string, mode: WriteMode, covers: readonly string[]): OpenWrite {
    const id = `${this.#prefix}${this.#nextNumber}`;
    this.#nextNumber += 1;
    return { id, key, mode, covers, startMs: ledgerNow() };
  }

  /** What became of it. */
  end(open: OpenWrite, outcome: WriteOutcome): void {
    const record: WriteRecord = { ...open, outcome, endMs: outcome === "unknown" ? undefined : ledgerNow() };
    this.#records.push(record);
    this.#byId.set(record.id, record);
    if (outcome !== "applied") return;
    const newest = this.#newestApplied.get(open.key);
    if (newest === undefined || newest.startMs < open.startMs) this.#newestApplied.set(open.key, record);
  }

  /** The newest write of the key that was acknowledged by now: what a read that begins now should show, or something newer. */
  newestOf(key: string): WriteRecord | undefined {
    return this.#newestApplied.get(key);
  }

  /** True when what a read saw is surely older than `expected`: none of it is that write, or may have come after it began. */
  isStale(expected: WriteRecord | undefined, seen: readonly string[]): boolean {
    if (expected === undefined) return false;
    return !seen.some((id) => {
      if (id === expected.id) return true;
      if (!id.startsWith(this.#prefix)) return false;
      const endMs = this.#byId.get(id)?.endMs;
      return endMs === undefined || endMs >= expected.startMs;
    });
  }
}
