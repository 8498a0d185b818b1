/**
 * The oracle for sibling registers: judges what clients saw against what clients did, never against the store's own
 * clocks, so that a clock that lies ("seen" without having seen) is caught. Source: reliability notes §2.6, after the
 * dominance rules of dotted version vectors. Must never look at a version vector.
 */

export type WriteOutcome = "applied" | "not_applied" | "unknown";

/** One write by a client. A delete is a write without a visible value. */
export interface WriteRecord {
  /** unique over the whole history; the value carries it */
  readonly id: number;
  readonly key: string;
  readonly kind: "put" | "delete";
  /**
   * ids that the writer had in its context (what the read it builds on returned, and its own write if it reuses the
   * answer's context); undefined: a blind overwrite, which may replace anything that its coordinator held
   */
  readonly saw: readonly number[] | undefined;
  readonly invokedAt: number;
  returnedAt: number;
  outcome: WriteOutcome;
  /** stand-ins were counted among those who took it: reads that ask owners need not meet it before it has been delivered */
  isSloppy?: boolean;
}

/** One read by a client. */
export interface ReadRecord {
  readonly key: string;
  readonly invokedAt: number;
  readonly returnedAt: number;
  /** ids of the values returned */
  readonly saw: readonly number[];
  /** the read met strict quorums: it must see every write acknowledged before it began by strict ones */
  readonly isStrict: boolean;
  /** ids of the values in the version that the reader demanded, or newer */
  readonly demanded?: readonly number[];
}

/** A broken promise, in words. */
export interface Violation {
  readonly rule: string;
  readonly key: string;
  readonly detail: string;
}

/** Keeps the history of a run and judges it. Cost: O(writes²) per key at worst. */
export class Oracle {
  readonly #writes = new Map<number, WriteRecord>();
  readonly #byKey = new Map<string, WriteRecord[]>();
  readonly #superseded = new Map<number, ReadonlySet<number>>();
  readonly violations: Violation[] = [];
  #hasLostDisk = false;

  /** From now on a write that was seen, but never acknowledged, may be gone: its only copy was perhaps on that disk. */
  onDiskLost(): void {
    this.#hasLostDisk = true;
  }

  /** A write begins. Its outcome is filled in by the caller when it returns. */
  begin(write: WriteRecord): void {
    this.#writes.set(write.id, write);
    const ofKey = this.#byKey.get(write.key);
    if (ofKey === undefined) this.#byKey.set(write.key, [write]);
    else ofKey.push(write);
  }

  /** Judges one answered read. */
  onRead(read: ReadRecord): void {
    for (const id of read.saw) this.#judgeValueRead(read, id);
    this.#judgeAntichain(read);
    if (read.isStrict) this.#judgeFreshness(read);
    for (const id of read.demanded ?? []) this.#judgeDemanded(read, id);
  }

  /** Judges the values of a key that a replica holds once all faults are over and everything was repaired. */
  onFinal(key: string, held: readonly number[], holder: string): void {
    const present = new Set(held);
    for (const write of this.#byKey.get(key) ?? []) {
      if (write.kind === "delete") continue;
      const isOwed = write.outcome === "applied" && (write.returnedAt !== Infinity || !this.#hasLostDisk);
      if (isOwed && !this.#survives(write, present)) {
        this.#fail("acknowledged-write-lost", key, `${describe(write)} is not at ${holder}: it holds [${held.join()}]`);
      }
      if (present.has(write.id)) this.#judgeHeld(write, holder);
    }
    for (const id of held) {
      if (this.#writes.get(id)?.key !== key) this.#fail("phantom-value", key, `write ${id} was never made`);
    }
  }

  /**
   * Judges what the holders of a key's slots have before anything is repaired: what was acknowledged is, as it was or
   * superseded, in `quorum` of the slots, wherever those have moved since. Not after a disk forgot.
   */
  onSlots(key: string, states: readonly (readonly number[])[], quorum: number): void {
    const held = states.map((ids) => new Set(ids));
    for (const write of this.#byKey.get(key) ?? []) {
      // One that was only seen was never acknowledged: it may be in one slot.
      if (write.kind === "delete" || write.outcome !== "applied" || write.returnedAt === Infinity) continue;
      const count = held.filter((present) => this.#survives(write, present)).length;
      if (count < quorum) this.#fail("too-few-copies", key, `${describe(write)} is in ${count} slots only`);
    }
  }

  /** Judges that all owners ended alike. */
  onConvergence(key: string, states: readonly string[]): void {
    if (new Set(states).size > 1) this.#fail("divergence", key, `replicas differ: ${states.join(" | ")}`);
  }

  /** What a write replaced, directly or through what it had seen. */
  supersededBy(id: number): ReadonlySet<number> {
    const known = this.#superseded.get(id);
    if (known !== undefined) return known;
    const all = new Set<number>();
    this.#superseded.set(id, all);
    for (const seen of this.#writes.get(id)?.saw ?? []) {
      all.add(seen);
      for (const older of this.supersededBy(seen)) all.add(older);
    }
    return all;
  }

  #judgeValueRead(read: ReadRecord, id: number): void {
    const write = this.#writes.get(id);
    if (write === undefined || write.key !== read.key) {
      this.#fail("phantom-value", read.key, `a read returned write ${id}, which was never made`);
      return;
    }
    if (write.outcome === "not_applied") {
      this.#fail("dishonest-not-applied", read.key, `a read returned ${describe(write)}`);
    }
    if (write.outcome === "unknown") write.outcome = "applied";
  }

  #judgeAntichain(read: ReadRecord): void {
    for (const newer of read.saw) {
      const older = this.supersededBy(newer);
      const both = read.saw.find((id) => older.has(id));
      if (both !== undefined) this.#fail("not-an-antichain", read.key, `write ${newer} had seen its sibling ${both}`);
    }
  }

  #judgeFreshness(read: ReadRecord): void {
    const present = new Set(read.saw);
    for (const write of this.#byKey.get(read.key) ?? []) {
      if (write.outcome !== "applied" || write.kind === "delete" || write.returnedAt >= read.invokedAt) continue;
      if (write.isSloppy === true) continue;
      if (!this.#survives(write, present, read.returnedAt)) {
        this.#fail(
          "stale-read",
          read.key,
          `${describe(write)} ended before a strict read that returned [${read.saw.join()}]`,
        );
      }
    }
    for (const id of read.saw) {
      const remover = this.#acknowledgedRemover(id, read.invokedAt);
      if (remover !== undefined && remover.isSloppy !== true) {
        this.#fail("resurrected", read.key, `write ${id} was superseded by ${describe(remover)} before the read began`);
      }
    }
  }

  #judgeDemanded(read: ReadRecord, id: number): void {
    const write = this.#writes.get(id);
    if (write === undefined || this.#survives(write, new Set(read.saw), read.returnedAt)) return;
    const saw = `a read that demanded ${describe(write)} returned [${read.saw.join()}]`;
    this.#fail("older-than-demanded", read.key, saw);
  }

  #judgeHeld(write: WriteRecord, holder: string): void {
    if (write.outcome === "not_applied") {
      this.#fail("dishonest-not-applied", write.key, `${describe(write)} is at ${holder}`);
    }
    const remover = this.#acknowledgedRemover(write.id, Number.POSITIVE_INFINITY);
    if (remover !== undefined) {
      this.#fail("resurrected", write.key, `${describe(write)} is at ${holder}, superseded by ${describe(remover)}`);
    }
  }

  /**
   * A write survives when it is there, or something that had seen it is there, or a delete that had seen it may have taken
   * place, or a blind overwrite that did not end before the write began may have replaced it.
   */
  #survives(write: WriteRecord, present: ReadonlySet<number>, before = Number.POSITIVE_INFINITY): boolean {
    if (present.has(write.id)) return true;
    for (const id of present) if (this.supersededBy(id).has(write.id)) return true;
    for (const other of this.#byKey.get(write.key) ?? []) {
      if (other.id === write.id || other.outcome === "not_applied" || other.invokedAt >= before) continue;
      const hasEnded = other.outcome === "applied" && other.returnedAt < write.invokedAt;
      if (other.saw === undefined && !hasEnded && this.#survivesChain(other, present, before)) return true;
      if (other.kind === "delete" && this.supersededBy(other.id).has(write.id)) return true;
      // In mid-run a superseding write that is still on its way may have reached the replicas that answered.
      if (before !== Number.POSITIVE_INFINITY && this.supersededBy(other.id).has(write.id)) return true;
    }
    return false;
  }

  /** A blind overwrite excuses an absence only if it, or something that may have replaced it in turn, is there. */
  #survivesChain(overwrite: WriteRecord, present: ReadonlySet<number>, before: number): boolean {
    if (overwrite.kind === "delete" || present.has(overwrite.id)) return true;
    for (const id of present) {
      const survivor = this.#writes.get(id);
      if (survivor === undefined) continue;
      if (this.supersededBy(id).has(overwrite.id)) return true;
      const isLater = survivor.outcome !== "applied" || survivor.returnedAt >= overwrite.invokedAt;
      if (survivor.saw === undefined && isLater) return true;
    }
    return (this.#byKey.get(overwrite.key) ?? []).some(
      (other) => other.kind === "delete" && other.outcome !== "not_applied" && other.invokedAt < before,
    );
  }

  #acknowledgedRemover(id: number, before: number): WriteRecord | undefined {
    const key = this.#writes.get(id)?.key ?? "";
    return (this.#byKey.get(key) ?? []).find(
      (other) => other.outcome === "applied" && other.returnedAt < before && this.supersededBy(other.id).has(id),
    );
  }

  #fail(rule: string, key: string, detail: string): void {
    this.violations.push({ rule, key, detail });
  }
}

function describe(write: WriteRecord): string {
  const saw = write.saw === undefined ? "blind overwrite" : `having seen [${write.saw.join()}]`;
  return `${write.kind} ${write.id} (${write.outcome}, ${saw}, ${write.invokedAt}–${write.returnedAt})`;
}
