/**
 * What one run of the load test is: its plan as the generator reads it, and what it hands back. Plain data: it travels as JSON
 * between the process that keeps order and Artillery's worker. Must never hold a secret: the token travels by environment.
 */

/** The kinds of operation that a workload mixes. */
export type OperationKind = "read" | "update" | "insert" | "modify" | "append";

/** How keys are drawn: `zipfian` and `latest` as YCSB has them, `uniform`, or `hot`: one key gets nine of ten. */
export type KeyDraw = "zipfian" | "latest" | "uniform" | "hot";

/** A workload: what is done to which keys. */
export interface Workload {
  readonly name: string;
  readonly meaning: string;
  /** shares of the operations, which add up to 1 */
  readonly mix: Readonly<Partial<Record<OperationKind, number>>>;
  readonly draw: KeyDraw;
  readonly recordCount: number;
  readonly valueBytes: number;
  /** operations a second, unless told otherwise */
  readonly rate: number;
  readonly seconds: number;
  /** nodes of a cluster of its own */
  readonly nodeCount: number;
  /** what goes wrong, in shares of the measured time; only with a cluster of its own */
  readonly faults: readonly PlannedFault[];
  /** some visitors go through the API step by step before (scenarios/journey.yml) */
  readonly hasJourney: boolean;
}

/** A fault of a workload, or of the command line. */
export interface PlannedFault {
  readonly kind: "kill" | "freeze" | "split";
  /** number of the node, from 1 */
  readonly node: number;
  /** shares of the measured time */
  readonly from: number;
  readonly to: number;
}

/** Something that happened to the cluster during a run. */
export interface FaultMark {
  readonly text: string;
  /** seconds since the measured time began */
  readonly atSeconds: number;
}

/** What the generator is to do. */
export interface RunPlan {
  readonly runId: string;
  readonly bucket: string;
  readonly targets: readonly string[];
  readonly mix: Workload["mix"];
  readonly draw: KeyDraw;
  readonly recordCount: number;
  readonly valueBytes: number;
  /** operations a second */
  readonly rate: number;
  /** before the measured time: counted by the ledger, not by the histograms */
  readonly warmUpSeconds: number;
  readonly seconds: number;
  readonly seed: number;
  readonly timeoutMs: number;
}

/** Where a run keeps its files. */
export interface RunFiles {
  readonly directory: string;
  readonly plan: string;
  readonly started: string;
  readonly result: string;
  readonly ledger: string;
  readonly artillery: string;
  readonly summary: string;
  readonly report: string;
}

/** The files of a run, by its directory. */
export function runFiles(directory: string): RunFiles {
  return {
    directory,
    plan: `${directory}/plan.json`,
    started: `${directory}/started.json`,
    result: `${directory}/result.json`,
    ledger: `${directory}/ledger.ndjson`,
    artillery: `${directory}/artillery.json`,
    summary: `${directory}/summary.json`,
    report: `${directory}/report.html`,
  };
}

/** One virtual user of Artillery's sends the operations of so many milliseconds. */
export const SLICE_MS: number = 100;

/** How many slices a plan has. */
export function sliceCount(plan: Pick<RunPlan, "warmUpSeconds" | "seconds">): number {
  return Math.ceil(((plan.warmUpSeconds + plan.seconds) * 1_000) / SLICE_MS);
}

/** How many operations a plan has. */
export function operationCount(plan: Pick<RunPlan, "warmUpSeconds" | "seconds" | "rate">): number {
  return Math.floor((plan.warmUpSeconds + plan.seconds) * plan.rate);
}

/** A histogram as it travels: bucket numbers and their counts, in turn. */
export type SparseHistogram = readonly number[];

/** One second of a run. */
export interface SecondRow {
  /** since the measured time began; negative in the warm-up */
  readonly second: number;
  readonly doneCount: number;
  readonly failedCount: number;
  /** from the planned start, milliseconds */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** How the generator itself fared. */
export interface GeneratorHealth {
  /** operations sent later than planned, milliseconds */
  readonly latenessP50Ms: number;
  readonly latenessP99Ms: number;
  readonly latenessMaxMs: number;
  readonly loopDelayP99Ms: number;
  /** share of the time that its event loop was busy, 0 to 1 */
  readonly loopBusyShare: number;
  readonly cpuMicrosPerOperation: number;
  /** of all processors of the machine that the generator ran on, 0 to 1 */
  readonly machineBusyShare: number;
  readonly plannedCount: number;
  readonly sentCount: number;
  readonly mostInFlight: number;
}

/** Both latencies of one kind of operation. */
export interface OperationLatencies {
  /** from the planned start: what a client that is never held up would have felt */
  readonly planned: SparseHistogram;
  /** from the moment of sending: what the servers took */
  readonly service: SparseHistogram;
}

/** What the generator hands back. */
export interface RunResult {
  readonly operations: Readonly<Record<string, OperationLatencies>>;
  readonly series: readonly SecondRow[];
  /** failures of the measured time, by name */
  readonly errors: Readonly<Record<string, number>>;
  readonly counts: RunCounts;
  readonly generator: GeneratorHealth;
}

/** What the generator counted in the measured time. */
export interface RunCounts {
  readonly doneCount: number;
  readonly failedCount: number;
  /** answers that had to be asked for at another node first */
  readonly retryCount: number;
  readonly readCount: number;
  /** reads that did not show the newest write acknowledged before they began */
  readonly staleReadCount: number;
  readonly siblingReadCount: number;
  readonly mostSiblings: number;
  /** writes that a stand-in took for an owner */
  readonly standInWriteCount: number;
  readonly damagedValueCount: number;
}
