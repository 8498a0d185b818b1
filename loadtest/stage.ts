/**
 * One run from its first record to its report: a cluster, the records, Artillery beside the faults, the check of the data, the
 * summary. Must never leave a process behind, also when it is interrupted.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { runJourney, startOpenLoop } from "./artillery.ts";
import { FaultSchedule } from "./cluster/fault-schedule.ts";
import { isReady, OwnCluster } from "./cluster/own-cluster.ts";
import { checkData, loadRecords } from "./data-check.ts";
import type { WriteRecord } from "./driver/ledger.ts";
import { NodeClient } from "./driver/node-client.ts";
import { OUT_DIRECTORY, type RunOptions, UnreachableError } from "./options.ts";
import { type RunFiles, type RunPlan, type RunResult, runFiles } from "./plan.ts";
import { type Summary, summarize } from "./report/summary.ts";

const WHOLE_AGAIN_MS = 60_000;
const CHECK_TIMEOUT_MS = 10_000;
/** Data that a run leaves in a cluster elsewhere ends by itself. */
const REMOTE_TTL_SECONDS = 86_400;

/** How a run is told of, a line at a time. */
export type Tell = (text: string) => void;

/** A run that is over. */
export interface FinishedRun {
  readonly summary: Summary;
  readonly files: RunFiles;
}

interface Stage {
  readonly options: RunOptions;
  readonly plan: RunPlan;
  readonly files: RunFiles;
  readonly faults: FaultSchedule;
  readonly cluster: OwnCluster | undefined;
  /** nodes of a cluster elsewhere that were ready at the beginning */
  readonly there: readonly string[] | undefined;
  readonly tell: Tell;
  readonly stop: AbortSignal;
}

function runIdOf(workload: string): string {
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "-");
  return `${workload}-${stamp}-${process.pid}`;
}

/** The targets that are ready now. Throws `UnreachableError` when none is. */
async function reachable(targets: readonly string[], tell: Tell): Promise<readonly string[]> {
  const answers = await Promise.all(targets.map(isReady));
  const away = targets.filter((_, i) => answers[i] !== true);
  if (away.length < targets.length) {
    if (away.length > 0) tell(`not ready, and not waited for at the end: ${away.join(", ")}`);
    return targets.filter((target) => !away.includes(target));
  }
  throw new UnreachableError(
    `no node answers ready at ${away.join(", ")}: is the cluster running (npm start), and the address right? ` +
      `Try curl ${away[0]}/readyz?verbose. Without --target the load test starts a cluster of its own.`,
  );
}

function readLedger(files: RunFiles): readonly WriteRecord[] {
  const lines = readFileSync(files.ledger, "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as WriteRecord);
}

/** Waits for all nodes to be ready again, for a while. Throws when one of its own has died by itself: that is a finding. */
async function untilWhole(targets: readonly string[], cluster: OwnCluster | undefined): Promise<void> {
  const giveUpAtMs = performance.now() + WHOLE_AGAIN_MS;
  const wanted = cluster?.meantToRun ?? targets;
  while (!(await Promise.all(wanted.map(isReady))).every(Boolean) && performance.now() < giveUpAtMs) {
    const deaths = cluster?.deaths;
    if (deaths !== undefined) throw new Error(deaths);
    await pause(100);
  }
}

/** Steps of the journey that were not answered as documented. */
async function takeJourney({ plan, files, tell, stop }: Stage): Promise<number> {
  tell("a journey through the API, by Artillery's own client");
  const faultCount = await runJourney({ plan, files, stop });
  if (faultCount > 0) tell(`${faultCount} steps went otherwise than documented: ${files.directory}/journey.log`);
  return faultCount;
}

async function loadAndMeasure(stage: Stage, startedAt: Date): Promise<Summary> {
  const { workload } = stage.options;
  const { options, plan, files, faults, cluster, tell, stop } = stage;
  const token = process.env["GYRE_TOKEN"];
  const client = new NodeClient(plan.targets, CHECK_TIMEOUT_MS, token);
  try {
    if (options.targets !== undefined) {
      const body = JSON.stringify({ ttlSeconds: REMOTE_TTL_SECONDS });
      await client.ask({ method: "PUT", path: `/v1/buckets/${plan.bucket}`, body });
    }
    const journeyFaultCount = workload.hasJourney ? await takeJourney(stage) : undefined;
    tell(`loading ${plan.recordCount} records of ${plan.valueBytes} bytes`);
    const loaded = await loadRecords({ client, plan });
    tell(`${plan.rate} operations a second for ${plan.seconds} s, after ${plan.warmUpSeconds} s to warm up`);
    const load = startOpenLoop({ plan, files, stop });
    const measuredAtMs = await load.begun;
    if (measuredAtMs !== undefined) faults.start(measuredAtMs, tell);
    const failure = await load.ended;
    faults.cancel();
    stop.throwIfAborted();
    await faults.end();
    if (failure !== undefined || !existsSync(files.result)) {
      throw new Error(`Artillery did not finish the run: ${failure ?? "no result was written"}`);
    }
    await untilWhole(stage.there ?? [], cluster);
    const writes = [...loaded, ...readLedger(files)];
    tell(`checking ${writes.length} writes`);
    const data = await checkData({ client, plan }, writes);
    const result = JSON.parse(readFileSync(files.result, "utf8")) as RunResult;
    const nodes =
      options.targets === undefined ? `${plan.targets.length} nodes on this machine` : plan.targets.join(", ");
    const happened = { faults: faults.marks, plannedFaultCount: faults.plannedCount };
    return summarize({ workload, journeyFaultCount, plan, startedAt, result, data, ...happened, nodes });
  } finally {
    await client.close();
  }
}

/** Does one run. Throws `UnreachableError`, or an error in words when the run could not be finished. */
export async function runStage(
  options: RunOptions,
  { tell, stop }: { readonly tell: Tell; readonly stop: AbortSignal },
): Promise<FinishedRun> {
  const { workload } = options;
  const runId = runIdOf(workload.name);
  const directory = options.outDirectory === "" ? `${process.cwd()}/${OUT_DIRECTORY}/${runId}` : options.outDirectory;
  mkdirSync(directory, { recursive: true });
  const files = runFiles(directory);
  // A run that fails must not hand out what an older one left in the same folder.
  const { started, result, ledger, summary: numbers, report } = files;
  for (const path of [started, result, ledger, numbers, report]) rmSync(path, { force: true });
  const there = options.targets === undefined ? undefined : await reachable(options.targets, tell);
  const isSplittable = options.faults.some(({ kind }) => kind === "split");
  if (options.targets === undefined) tell(`starting a cluster of ${options.nodeCount} nodes`);
  await using cluster =
    options.targets === undefined
      ? await OwnCluster.start({ nodeCount: options.nodeCount, directory: `${directory}/cluster`, isSplittable })
      : undefined;
  stop.throwIfAborted();
  const { rate, seconds, warmUpSeconds, seed, timeoutMs } = options;
  const { mix, draw, recordCount, valueBytes } = workload;
  const targets = options.targets ?? cluster?.targets ?? [];
  const shape = { mix, draw, recordCount, valueBytes };
  const plan: RunPlan = {
    runId,
    bucket: `loadtest-${runId}`,
    targets,
    rate,
    seconds,
    warmUpSeconds,
    seed,
    timeoutMs,
    ...shape,
  };
  writeFileSync(files.plan, JSON.stringify(plan, undefined, 2));
  const faults =
    cluster === undefined
      ? FaultSchedule.ofCommand(options.faultCommand)
      : FaultSchedule.of(cluster, options.faults, seconds);
  const summary = await loadAndMeasure({ options, plan, files, faults, cluster, there, tell, stop }, new Date());
  writeFileSync(numbers, `${JSON.stringify(summary)}\n`);
  return { summary, files };
}
