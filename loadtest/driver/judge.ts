/**
 * Which acknowledged writes are gone. Pure. A write is accounted for when the key shows it at the end, or when a write that is
 * accounted for may have replaced it: one whose context had seen it, or a blind overwrite that was not over when it began. What is
 * left is lost. It never excuses a loss by clocks of the store, and never takes a lawful replacement for one.
 */
import type { WriteRecord } from "./ledger.ts";

/** What the writes and the end of one key amount to. */
export interface KeyVerdict {
  /** acknowledged, neither shown nor replaced */
  readonly lost: readonly WriteRecord[];
  /** shown, although the answer was that it had no effect */
  readonly undead: readonly string[];
  /** shown, and nobody's: of no write in the ledger */
  readonly foreign: readonly string[];
}

/** Judges one key: its writes in any order, and the names of the versions that it shows at the end. */
export function judgeKey(writes: readonly WriteRecord[], shown: readonly string[]): KeyVerdict {
  const byId = new Map(writes.map((write) => [write.id, write]));
  const accounted = new Set<string>();
  const waiting = shown.filter((id) => byId.has(id));
  const oldestFirst = writes.toSorted((a, b) => a.startMs - b.startMs);
  let begunCount = 0;
  for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
    const write = byId.get(id);
    if (write === undefined || accounted.has(id)) continue;
    accounted.add(id);
    waiting.push(...write.covers.filter((covered) => byId.has(covered)));
    if (write.mode !== "overwrite") continue;
    const endMs = write.endMs ?? Number.POSITIVE_INFINITY;
    for (
      let next = oldestFirst[begunCount];
      next !== undefined && next.startMs <= endMs;
      next = oldestFirst[begunCount]
    ) {
      begunCount += 1;
      if (next.outcome !== "not_applied") waiting.push(next.id);
    }
  }
  return {
    lost: writes.filter((write) => write.outcome === "applied" && !accounted.has(write.id)),
    undead: shown.filter((id) => byId.get(id)?.outcome === "not_applied"),
    foreign: shown.filter((id) => !byId.has(id)),
  };
}

/** The writes by key. */
export function byKey(writes: readonly WriteRecord[]): ReadonlyMap<string, readonly WriteRecord[]> {
  return Map.groupBy(writes, ({ key }) => key);
}
