/** Requests that wait, in rows by connection, and rows in lists by age: what changes them changes nothing else. */
import { QUEUE_USEFUL_MS } from "../base/load-limits.ts";
import type { Whose } from "./front-gate.ts";
import type { Line } from "./unread-lines.ts";

/** The classes of work that wait. */
export type KeyWork = "read" | "write";

/** A request that waits; `R` is what the queue's owner knows it by. */
export interface Waiting<R> {
  readonly what: R;
  readonly work: KeyWork;
  readonly whose: Whose;
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

/** Puts rows where their ages say; both lists are by age. */
export function insertAll<R>(rows: Row<R>[], some: readonly Row<R>[]): void {
  const [last, first] = [rows.at(-1), some[0]];
  rows.push(...some);
  if (last !== undefined && first !== undefined && last.sinceMs > first.sinceMs) {
    rows.sort((one, other) => one.sinceMs - other.sinceMs);
  }
}

/** Takes the row out that has waited longest of those that are not over; the lists are by age. */
export function takeOldest<R>(lists: readonly Row<R>[][]): Row<R> | undefined {
  const ageOf = (rows: readonly Row<R>[] | undefined): number => rows?.[0]?.sinceMs ?? Number.POSITIVE_INFINITY;
  let oldest: Row<R>[] | undefined;
  for (const rows of lists) {
    while (rows[0]?.requests.length === 0) rows.shift();
    if (ageOf(rows) < ageOf(oldest)) oldest = rows;
  }
  return oldest?.shift();
}

/** It is not over. */
export function isThere<R>({ requests }: Row<R>): boolean {
  return requests.length > 0;
}

/** Its first request has not waited for too long. */
export function isOfUse<R>({ requests }: Row<R>, nowMs: number): boolean {
  const first = requests[0];
  return first !== undefined && nowMs - first.sinceMs <= QUEUE_USEFUL_MS;
}
