/**
 * The judge of keys where the last write wins: of all that was acknowledged the write with the greatest dot is shown, or one that
 * is greater still, and it alone. Which of two writes is "later" is the minting nodes' clocks to say, so only this is promised; and
 * that a write which had seen another one is later than that. Must never look at a version vector.
 */
import { compareByAge, isSameDot } from "../../services/versioning/dot.ts";
import type { Dot } from "../../services/versioning/types.ts";

/** One write by a client. */
export interface LwwWrite {
  readonly id: number;
  readonly key: string;
  readonly kind: "put" | "delete";
  /** the write that its context is of; undefined: it was blind */
  readonly saw: number | undefined;
  readonly invokedAt: number;
  /** as it was answered, with its dot where it was applied; nobody has answered yet, or ever: unknown */
  end: LwwEnd;
}

/** How a write ended. */
export type LwwEnd =
  | { readonly outcome: "applied"; readonly dot: Dot; readonly returnedAt: number }
  | { readonly outcome: "not_applied" | "unknown" };

/** A value of a key, as it was read. */
export interface LwwValue {
  readonly id: number;
  readonly dot: Dot;
}

/** What was read of a key, where, and when the read began: `Infinity` after everything has ended. */
export interface LwwLook {
  readonly key: string;
  readonly values: readonly LwwValue[];
  readonly where: string;
  readonly beganAt: number;
}

type Applied = LwwWrite & { readonly end: Extract<LwwEnd, { readonly outcome: "applied" }> };

/** Keeps the writes of a run and judges what is read. */
export class LwwJudge {
  readonly #writes = new Map<number, LwwWrite>();
  /** broken promises, in words */
  readonly violations: string[] = [];

  /** A write begins. */
  begin(key: string, kind: LwwWrite["kind"], given: Pick<LwwWrite, "saw" | "invokedAt">): LwwWrite {
    const write: LwwWrite = { id: this.#writes.size + 1, key, kind, ...given, end: { outcome: "unknown" } };
    this.#writes.set(write.id, write);
    return write;
  }

  /** Writes that were acknowledged. */
  get appliedCount(): number {
    return [...this.#writes.values()].filter(isApplied).length;
  }

  /** Judges what was read of one key. */
  onLook(look: LwwLook): void {
    const [value, ...others] = look.values;
    if (others.length > 0) this.#fail(look, `${others.length + 1} values are shown`);
    const before = this.#appliedBefore(look);
    const greatest = before.toSorted((a, b) => compareByAge(b.end.dot, a.end.dot))[0];
    if (value === undefined) this.#judgeAbsence(look, greatest);
    else this.#judgeValue(look, value, { before, greatest });
  }

  #judgeValue(
    look: LwwLook,
    { id, dot }: LwwValue,
    { before, greatest }: { readonly before: readonly Applied[]; readonly greatest: Applied | undefined },
  ): void {
    const write = this.#writes.get(id);
    if (write === undefined || write.key !== look.key || write.kind === "delete") {
      return this.#fail(look, `write ${id} was never made`);
    }
    if (write.end.outcome === "not_applied") this.#fail(look, `write ${id} was said to be not applied`);
    if (isApplied(write) && !isSameDot(write.end.dot, dot)) this.#fail(look, `write ${id} was answered another dot`);
    if (greatest !== undefined && compareByAge(dot, greatest.end.dot) < 0) {
      this.#fail(look, `write ${id} is shown, and write ${greatest.id} was later`);
    }
    const follower = before.find(({ saw }) => saw === id);
    if (follower !== undefined) this.#fail(look, `write ${id} is shown, and write ${follower.id} had seen it`);
  }

  /** Nothing is shown: the last write is a delete, or nobody has written, or a delete may be later than what was acknowledged. */
  #judgeAbsence(look: LwwLook, greatest: Applied | undefined): void {
    if (greatest === undefined || greatest.kind === "delete") return;
    const mayBeLater = ({ end }: LwwWrite): boolean =>
      end.outcome === "unknown" || (end.outcome === "applied" && end.returnedAt >= look.beganAt);
    const deletes = [...this.#writes.values()].filter(({ key, kind }) => key === look.key && kind === "delete");
    if (!deletes.some(mayBeLater)) this.#fail(look, `nothing is shown of write ${greatest.id}`);
  }

  #appliedBefore({ key, beganAt }: LwwLook): readonly Applied[] {
    const all = [...this.#writes.values()].filter(isApplied);
    return all.filter((write) => write.key === key && write.end.returnedAt < beganAt);
  }

  #fail({ key, where }: LwwLook, detail: string): void {
    this.violations.push(`${key} at ${where}: ${detail}`);
  }
}

function isApplied(write: LwwWrite): write is Applied {
  return write.end.outcome === "applied";
}
