/**
 * What clients felt of a load, in numbers: quantiles over everything that was not refused, and the shares of what went wrong.
 * Must never leave out what came too late or never: a percentile of the good answers alone is good whatever happens.
 */
import type { TargetResult } from "./generator.ts";

/** A stretch of the load: ms since its beginning. */
export interface Span {
  readonly fromMs: number;
  readonly untilMs: number;
}

/** The value at `quantile` (0 … 1) of `values`, ms; NaN when there are none: no promise is kept by silence. */
export function quantileMs(values: readonly number[], quantile: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * quantile))] ?? Number.NaN;
}

/** How long every request took that was not refused, ms: a late one as long as it took, a lost one the deadline at least. */
export function acceptedMs(results: readonly TargetResult[], deadlineMs: number): readonly number[] {
  return [
    ...results.flatMap(({ hotMs }) => hotMs),
    ...coldMs(results, deadlineMs),
    ...wrongMs(results, true, deadlineMs),
  ];
}

/** The same without the hot key. */
export function coldMs(results: readonly TargetResult[], deadlineMs: number): readonly number[] {
  return [...results.flatMap(({ goodMs }) => goodMs), ...wrongMs(results, false, deadlineMs)];
}

/** The same without the hot key, of those alone that ended within `span`. */
export function coldWithin(results: readonly TargetResult[], deadlineMs: number, span: Span): readonly number[] {
  const isWithin = (atMs: number): boolean => atMs > span.fromMs && atMs < span.untilMs;
  const parts = results.map((one) => ({
    ...one,
    goodMs: one.goodMs.filter((_, i) => isWithin(one.goodAtMs[i] ?? 0)),
    late: one.late.filter(({ atMs }) => isWithin(atMs)),
    lost: one.lost.filter(({ atMs }) => isWithin(atMs)),
  }));
  return coldMs(parts, deadlineMs);
}

/** Of all requests that were due, those without a good answer: how many of each kind, and which share they are, 0 … 1. */
export interface Failures {
  /** refused, late, lost, or not taken in */
  readonly share: number;
  /** not even sent, since those before were not answered: what the client could not do, and the generator must not hide */
  readonly unsentShare: number;
  readonly text: string;
}

/** What went wrong with the requests to these targets. */
export function failuresOf(results: readonly TargetResult[]): Failures {
  const sum = (pick: (one: TargetResult) => number): number => results.reduce((total, one) => total + pick(one), 0);
  const refused = sum(({ refusedByStatus }) => Object.values(refusedByStatus).reduce((a, b) => a + b, 0));
  const [late, lost, unsent, notTakenIn] = [
    sum((one) => one.late.length),
    sum((one) => one.lost.length),
    sum((one) => one.unsentCount),
    sum((one) => one.unconnectedCount),
  ];
  const due = sum(({ sentCount }) => sentCount) + unsent;
  const shareOf = (count: number): number => (due === 0 ? 1 : count / due);
  const [share, unsentShare] = [shareOf(refused + late + lost + notTakenIn), shareOf(unsent)];
  const percent = (part: number): string => `${(part * 100).toFixed(2)} %`;
  const text = `refused ${refused}, late ${late}, lost ${lost}, not taken in ${notTakenIn} (${percent(share)}), unsent ${unsent} (${percent(unsentShare)}) of ${due}`;
  return { share, unsentShare, text };
}

function wrongMs(results: readonly TargetResult[], isHot: boolean, deadlineMs: number): readonly number[] {
  return results
    .flatMap(({ late, lost }) => [...late, ...lost])
    .filter((one) => one.isHot === isHot)
    .map(({ tookMs }) => Math.max(deadlineMs, tookMs));
}
