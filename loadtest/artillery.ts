/**
 * Artillery as a process: started on a scenario of ours, its output kept for the day that it fails. Must never send its telemetry.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { ARTILLERY } from "./install.ts";
import { type RunFiles, type RunPlan, sliceCount } from "./plan.ts";

/** What a run of Artillery's needs. */
export interface ArtilleryTools {
  readonly plan: RunPlan;
  readonly files: RunFiles;
  readonly stop: AbortSignal;
}

/** The open loop under way. */
export interface OpenLoopRun {
  /** when the measured time begins, wall-clock milliseconds; undefined when it never does */
  readonly begun: Promise<number | undefined>;
  /** why it failed, in words; undefined: it did not */
  readonly ended: Promise<string | undefined>;
}

const POLL_MS = 20;
const GENERATOR_PRIORITY = -10;
/** From the start of Artillery to the first request, on a machine that does much else. */
const START_MS = 90_000;
const KEPT_OUTPUT = 4_000;
const JOURNEY = { seconds: 2, visitorCount: 6 };

/** Lets the generator go before the servers where they share a machine; only root may, others run without. */
function preferGenerator(pid: number | undefined): void {
  try {
    if (pid !== undefined) os.setPriority(pid, GENERATOR_PRIORITY);
  } catch (error) {
    if (!(error instanceof Error && "code" in error)) throw error;
  }
}

interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<string | undefined>;
}

function start(
  scenario: string,
  { plan, files, stop }: ArtilleryTools,
  env: Readonly<Record<string, string>>,
): Started {
  let output = "";
  rmSync(files.artillery, { force: true });
  const args = ["run", "--quiet", "--output", files.artillery, `scenarios/${scenario}`];
  const child = spawn(process.execPath, [ARTILLERY, ...args], {
    cwd: import.meta.dirname,
    signal: stop,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      ARTILLERY_DISABLE_TELEMETRY: "true",
      GYRE_TOKEN: process.env["GYRE_TOKEN"] ?? "",
      GYRE_LOADTEST_DIR: files.directory,
      GYRE_LOADTEST_BUCKET: plan.bucket,
      ...env,
    },
  });
  preferGenerator(child.pid);
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (bytes) => {
      output = `${output}${String(bytes)}`.slice(-KEPT_OUTPUT);
    });
  }
  const ended = new Promise<string | undefined>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code) => resolve(code === 0 ? undefined : `exit code ${code}\n${output}`));
  });
  return { child, ended };
}

/** Starts the open loop of a plan. */
export function startOpenLoop(tools: ArtilleryTools): OpenLoopRun {
  const { plan, files } = tools;
  const { child, ended } = start("open-loop.yml", tools, {
    GYRE_LOADTEST_TARGET: plan.targets[0] ?? "",
    GYRE_LOADTEST_SECONDS: String(plan.warmUpSeconds + plan.seconds),
    GYRE_LOADTEST_SLICES: String(sliceCount(plan)),
  });
  let isOver = false;
  const over = ended.finally(() => {
    isOver = true;
  });
  const begin = async (): Promise<number | undefined> => {
    const giveUpAtMs = performance.now() + START_MS;
    while (!isOver && !existsSync(files.started)) {
      if (performance.now() > giveUpAtMs) child.kill("SIGKILL");
      await pause(POLL_MS);
    }
    if (!existsSync(files.started)) return undefined;
    const { measuredAtMs } = JSON.parse(readFileSync(files.started, "utf8")) as { readonly measuredAtMs: number };
    return measuredAtMs;
  };
  return { begun: begin(), ended: over };
}

/** Takes a few visitors through the journey at one node; answers how many steps, or visitors, did not go as they should. */
export async function runJourney(tools: ArtilleryTools): Promise<number> {
  const targets = await Promise.all(
    tools.plan.targets.map(async (target) =>
      (await fetch(`${target}/livez`).catch(() => undefined))?.ok === true ? target : "",
    ),
  );
  const { ended } = start("journey.yml", tools, {
    GYRE_LOADTEST_TARGET: targets.find((target) => target !== "") ?? "",
    GYRE_LOADTEST_SECONDS: String(JOURNEY.seconds),
    GYRE_LOADTEST_VISITORS: String(JOURNEY.visitorCount),
  });
  const failure = await ended;
  tools.stop.throwIfAborted();
  const counters = countersOf(tools.files.artillery);
  if (counters === undefined) throw new Error(`Artillery did not finish the journey: ${failure ?? "no report"}`);
  if (failure !== undefined) writeFileSync(`${tools.files.directory}/journey.log`, failure);
  const missing = JOURNEY.visitorCount - (counters["vusers.completed"] ?? 0);
  return missing + (counters["plugins.expect.failed"] ?? 0);
}

/** What Artillery counted; undefined when it came to no end. It ends with an exit code when an expectation failed, and counts all the same. */
function countersOf(path: string): Readonly<Record<string, number>> | undefined {
  if (!existsSync(path)) return undefined;
  const report = JSON.parse(readFileSync(path, "utf8")) as {
    readonly aggregate?: { readonly counters?: Readonly<Record<string, number>> };
  };
  return report.aggregate?.counters;
}
