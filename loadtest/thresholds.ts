/**
 * What a run must keep: the one place for all limits. Losing nothing is asked of every run; times are asked where they can be kept on
 * a small machine that the generator shares with the servers. The generator's own limits come first: beyond them a run says
 * nothing about the servers, and fails for that reason.
 */

/** Limits of a run. Times in milliseconds from the planned start, shares from 0 to 1. */
export interface Thresholds {
  /** of all operations of the measured time, without faults */
  readonly maxFailedShare: number;
  /** the same while something is broken on purpose */
  readonly maxFailedShareWithFaults: number;
  /** slowest of the operation kinds, without faults */
  readonly maxP99Ms: number;
  readonly maxP99MsWithFaults: number;
  readonly generator: {
    /** operations sent later than planned, 99th percentile */
    readonly maxLatenessP99Ms: number;
    readonly maxLoopBusyShare: number;
    /** of what was planned */
    readonly minSentShare: number;
  };
}

const BASE: Thresholds = {
  maxFailedShare: 0.001,
  maxFailedShareWithFaults: 0.02,
  maxP99Ms: 250,
  maxP99MsWithFaults: 2_000,
  generator: { maxLatenessP99Ms: 50, maxLoopBusyShare: 0.85, minSentShare: 0.99 },
};

/** Tolerant: it runs in CI, on machines that do much else, and asks whether everything works, not how fast. */
const SMOKE: Thresholds = {
  maxFailedShare: 0.02,
  maxFailedShareWithFaults: 0.1,
  maxP99Ms: 3_000,
  maxP99MsWithFaults: 5_000,
  generator: { maxLatenessP99Ms: 1_000, maxLoopBusyShare: 0.95, minSentShare: 0.95 },
};

const BY_WORKLOAD: Readonly<Record<string, Thresholds>> = {
  smoke: SMOKE,
  "large-values": { ...BASE, maxP99Ms: 1_000 },
  split: { ...BASE, maxFailedShareWithFaults: 0.05 },
  freeze: { ...BASE, maxP99MsWithFaults: 3_000 },
};

/** The limits of a workload. */
export function thresholdsOf(workload: string): Thresholds {
  return BY_WORKLOAD[workload] ?? BASE;
}

/** One limit and what a run made of it. */
export interface Verdict {
  readonly about: "generator" | "data" | "service";
  readonly text: string;
  readonly actual: number;
  readonly limit: number;
  readonly unit: string;
  readonly isMet: boolean;
}

/** What is judged. */
export interface Judged {
  readonly workload: string;
  readonly hasFaults: boolean;
  /** planned steps of faults, their ends among them, that did not happen before the load was over */
  readonly missedFaultCount: number;
  readonly latenessP99Ms: number;
  readonly loopBusyShare: number;
  readonly sentShare: number;
  readonly failedShare: number;
  readonly slowestP99Ms: number;
  readonly lostCount: number;
  readonly undeadCount: number;
  readonly foreignCount: number;
  readonly damagedCount: number;
  readonly unreadKeyCount: number;
  readonly staleReadCount: number;
  /** undefined: nobody went on it */
  readonly journeyFaultCount: number | undefined;
}

function atMost(about: Verdict["about"], text: string, actual: number, limit: number, unit = ""): Verdict {
  return { about, text, actual, limit, unit, isMet: actual <= limit };
}

/** Holds a run against its limits, the generator's first. */
export function judge(run: Judged): readonly Verdict[] {
  const limits = thresholdsOf(run.workload);
  const { maxLatenessP99Ms, maxLoopBusyShare, minSentShare } = limits.generator;
  const failedShare = run.hasFaults ? limits.maxFailedShareWithFaults : limits.maxFailedShare;
  const p99Ms = run.hasFaults ? limits.maxP99MsWithFaults : limits.maxP99Ms;
  return [
    atMost("generator", "operations sent late (p99)", run.latenessP99Ms, maxLatenessP99Ms, "ms"),
    atMost("generator", "event loop busy", run.loopBusyShare, maxLoopBusyShare),
    {
      about: "generator",
      text: "sent of what was planned (at least)",
      actual: run.sentShare,
      limit: minSentShare,
      unit: "",
      isMet: run.sentShare >= minSentShare,
    },
    // A run through no trouble says nothing about trouble.
    atMost("generator", "planned faults that did not happen", run.missedFaultCount, 0),
    atMost("data", "lost updates", run.lostCount, 0),
    atMost("data", "refused writes that took effect", run.undeadCount, 0),
    atMost("data", "values that nobody wrote", run.foreignCount, 0),
    atMost("data", "damaged values", run.damagedCount, 0),
    atMost("data", "keys that could not be read at the end", run.unreadKeyCount, 0),
    // With a node away stand-ins may answer, and a read may then miss the newest write for a while: told, not judged.
    ...(run.hasFaults ? [] : [atMost("data", "stale reads", run.staleReadCount, 0)]),
    ...(run.journeyFaultCount === undefined
      ? []
      : [atMost("service", "steps of the journey answered otherwise", run.journeyFaultCount, 0)]),
    atMost("service", "operations that failed", run.failedShare, failedShare),
    atMost("service", "slowest kind of operation (p99)", run.slowestP99Ms, p99Ms, "ms"),
  ];
}
