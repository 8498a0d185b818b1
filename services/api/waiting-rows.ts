/** Requests that wait, in rows by connection, and rows in lists by age: what changes them changes nothing else. */
import type { Line } from "./unread-lines.ts";

/** The classes of work that wait. */
export type KeyWork = "read" | "write";

/** A request that waits; `R` is what the queue's owner knows it by. */
export interface Waiting<R> {
  readonly what: R;
  readonly work: KeyWork;
  readonly target: string | undefined;
  readonly connection: Line;
  readonly sinceMs: number;
  /** that it holds while it waits */
  readonly bytes: number;
  /** that it brings where it is let in */
  readonly bringsBytes: number;
}

/** What one connection has sent, oldest first; empty: it is over, and its place in a list means nothing any more. */
export interface Row<R> {
  readonly requests: Waiting<R>[];
  /** of the first one, which places the row */
  sinceMs: number;
}

/** Puts a row where its age says: nearly always at the end, for what comes is the youngest. */
export function insert<R>(rows: Row<R>[], row: Row<R>): void {
  let at = rows.length;
  while (at > 0 && (rows[at - 1]?.sinceMs ?? 0) > row.sinceMs) at -= 1;
  if (at === rows.length) rows.push(row);
  else rows.splice(at, 0, row);
}

/** How many of them wait since before then: those at the beginning. */
export function countBefore<R>(rows: readonly Row<R>[], beforeMs: number): number {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((rows[middle]?.sinceMs ?? 0) < beforeMs) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Takes the row out that has waited longest of those that are not over; the lists are by age. */
export function takeOldest<R>(lists: readonly Row<R>[][]): Row<R> | undefined {
  for (const rows of lists) while (rows[0]?.requests.length === 0) rows.shift();
  const ageOf = (rows: readonly Row<R>[]): number => rows[0]?.sinceMs ?? Number.POSITIVE_INFINITY;
  return lists.toSorted((one, other) => ageOf(one) - ageOf(other))[0]?.shift();
}
