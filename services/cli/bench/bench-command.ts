/**
 * `gyre bench`: how much a running cluster serves, and how fast, through all nodes that are given. Its keys are its own, in a
 * bucket of its own, removed at the end. Must never name a number without saying how it was measured.
 */
import { randomBytes } from "node:crypto";
import { performance } from "node:perf_hooks";
import { parseBucketName } from "../../base/ids.ts";
import { MAX_VALUE_BYTES } from "../../base/limits.ts";
import { bytesText, columns } from "../columns.ts";
import { type Command, type CommandLine, NODE_FLAGS, UsageError } from "../command.ts";
import { fetchOf } from "../credentials.ts";
import { type CliIo, EXIT } from "../io.ts";
import { nodesOf } from "../nodes.ts";
import { type BenchTarget, makeKeys, removeKeys } from "./bench-keys.ts";
import { type BenchLoad, type BenchResult, runBench } from "./bench-run.ts";
import { Latencies, type LatencySummary } from "./latencies.ts";

const DEFAULT_SECONDS = 10;
const MAX_SECONDS = 600;
const MAX_RATE = 100_000;
const DEFAULT_CONNECTIONS = 32;
const MAX_CONNECTIONS = 1_024;
const DEFAULT_KEYS = 1_000;
const MAX_KEYS = 100_000;
const DEFAULT_VALUE = "1KiB";
const DEFAULT_WRITE_SHARE = "0.5";
const DEFAULT_TIMEOUT_MS = 5_000;
/** Making the keys, and removing them, take no longer each. */
const KEYS_BOUND_MS = 30_000;
/** Keys outlive the bench by so much, should nobody remove them. */
const LEFT_SECONDS = 600;
/** From here on the generator is likely to be what limits. */
const BUSY_SHARE = 0.85;

const UNIT_BYTES: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1_000,
  kib: 1_024,
  mb: 1_000_000,
  mib: 1_048_576,
};

function bytesOf(text: string): number {
  const [, amount = "", unit = ""] = /^(\d{1,9}(?:\.\d{1,3})?)\s*([a-z]*)$/i.exec(text) ?? [];
  const bytes = Math.round(Number(amount) * (UNIT_BYTES[unit.toLowerCase() || "b"] ?? Number.NaN));
  if (amount !== "" && bytes >= 1 && bytes <= MAX_VALUE_BYTES) return bytes;
  throw new UsageError(
    `--value-size=${text}: is no size from 1 to ${bytesText(MAX_VALUE_BYTES)}, such as 512, 1KiB, 64kB`,
  );
}

function shareOf(text: string): number {
  const share = /^\d(?:\.\d{1,6})?$/.test(text) ? Number(text) : Number.NaN;
  if (share >= 0 && share <= 1) return share;
  throw new UsageError(`--write-share=${text}: is no number from 0 (reads only) to 1 (writes only)`);
}

function bounded(line: CommandLine, flag: string, { fallback, max }: { fallback: number; max: number }): number {
  const value = line.number(flag, fallback, 1);
  if (value > max) throw new UsageError(`--${flag}=${value}: at most ${max}`);
  return value;
}

interface Bench {
  readonly target: BenchTarget;
  readonly load: BenchLoad;
}

function benchOf(line: CommandLine, io: CliIo, isStopping: () => boolean): Bench {
  const runId = randomBytes(4).toString("hex");
  const bucket = line.text("bucket") ?? `gyre-bench-${runId}`;
  if (parseBucketName(bucket) === undefined) throw new UsageError(`--bucket=${bucket}: is no name of a bucket`);
  const seconds = bounded(line, "seconds", { fallback: DEFAULT_SECONDS, max: MAX_SECONDS });
  const rate = line.text("rate") === undefined ? undefined : bounded(line, "rate", { fallback: 1, max: MAX_RATE });
  return {
    target: {
      nodes: nodesOf(line, io),
      bucket,
      runId,
      keyCount: bounded(line, "keys", { fallback: DEFAULT_KEYS, max: MAX_KEYS }),
      value: randomBytes(bytesOf(line.text("value-size") ?? DEFAULT_VALUE)),
      ttlSeconds: seconds + LEFT_SECONDS,
      timeoutMs: line.number("timeout", DEFAULT_TIMEOUT_MS, 1),
      connectionCount: bounded(line, "connections", { fallback: DEFAULT_CONNECTIONS, max: MAX_CONNECTIONS }),
      fetch: fetchOf(line, io),
      nowMs: () => performance.now(),
      isStopping,
    },
    load: {
      durationMs: seconds * 1_000,
      rate,
      writeShare: shareOf(line.text("write-share") ?? DEFAULT_WRITE_SHARE),
      pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      random: Math.random,
    },
  };
}

interface Report {
  readonly mode: "closed loop" | "open loop";
  readonly all: LatencySummary;
  readonly reads: LatencySummary;
  readonly writes: LatencySummary;
  readonly failed: number;
  readonly failures: Readonly<Record<string, number>>;
  readonly unsent: number;
  readonly lateP99Ms: number;
  readonly generatorBusy: number;
  readonly seconds: number;
}

function reportOf({ load }: Bench, result: BenchResult, generatorBusy: number): Report {
  const { reads, writes, failures, unsent, seconds } = result;
  const all = new Latencies();
  for (const one of [reads, writes, unsent]) all.add(one);
  const count = reads.count + writes.count;
  return {
    mode: load.rate === undefined ? "closed loop" : "open loop",
    all: { ...all.summary(seconds), count, perSecond: count / Math.max(seconds, 1e-3) },
    reads: reads.summary(seconds),
    writes: writes.summary(seconds),
    failed: failures.total,
    failures: failures.byCode,
    unsent: unsent.count,
    lateP99Ms: result.lateness.quantileMs(0.99),
    generatorBusy,
    seconds,
  };
}

const MODE_WORDS: Readonly<Record<Report["mode"], string>> = {
  "closed loop":
    "closed loop: a connection sends when it has its answer, so times leave out what a stall kept from being sent",
  "open loop": "open loop: times count from the planned start of each request, waiting for a connection included",
};

function reportText({ target, load }: Bench, report: Report): string {
  const { seconds, mode, failures, unsent, generatorBusy } = report;
  const rate = load.rate === undefined ? "" : `${load.rate}/s planned, `;
  const head =
    `${seconds.toFixed(1)} s, ${rate}${target.connectionCount} connections to ${target.nodes.length} nodes, ` +
    `${Math.round(load.writeShare * 100)} % writes of ${bytesText(target.value.length)}, ${target.keyCount} keys`;
  const rows = (["all", "reads", "writes"] as const)
    .filter((name) => name === "all" || report[name].count > 0)
    .map((name) => [name, ...cellsOf(report[name])]);
  const table = columns([["", "served", "per s", "p50 ms", "p95 ms", "p99 ms", "max ms"], ...rows], "  ");
  const failed = Object.entries(failures).map(([code, count]) => `${count} ${code}`);
  const late = load.rate === undefined ? "" : `, requests left up to ${msText(report.lateP99Ms)} ms late (p99)`;
  const busy = generatorBusy > BUSY_SHARE ? ": it may be what limits, not the cluster" : "";
  return [
    head,
    MODE_WORDS[mode],
    table,
    `failed     ${failed.length === 0 ? "none" : failed.join(", ")}`,
    ...(unsent === 0
      ? []
      : [`not sent   ${unsent} that were due: more was planned than was served; "all" has their waits`]),
    `generator  busy ${Math.round(generatorBusy * 100)} % of the time${late}${busy}`,
    "",
  ].join("\n");
}

function cellsOf({ count, perSecond, p50Ms, p95Ms, p99Ms, maxMs }: LatencySummary): readonly string[] {
  return [String(count), perSecond.toFixed(0), ...[p50Ms, p95Ms, p99Ms, maxMs].map(msText)];
}

function msText(ms: number): string {
  return ms < 100 ? ms.toFixed(2) : ms.toFixed(0);
}

/** Makes the keys, loads, removes the keys, tells; resolves with the exit code. */
async function benched(
  bench: Bench,
  line: CommandLine,
  { io, interrupts }: { readonly io: CliIo; readonly interrupts: () => number },
): Promise<number> {
  const { target, load } = bench;
  const isJson = line.isSet("json");
  if (!isJson) io.err(`bucket ${target.bucket}: ${target.keyCount} keys are written first\n`);
  const made = await makeKeys(target, KEYS_BOUND_MS);
  if (made.count === 0 && made.flaw !== undefined) {
    io.err(`gyre: nothing was served: ${made.flaw}\n`);
    return EXIT.failed;
  }
  const loop = performance.eventLoopUtilization();
  const result = await runBench(target, load);
  const report = reportOf(bench, result, performance.eventLoopUtilization(loop).utilization);
  // Asked to stop a second time, it leaves its keys to their time to live.
  const removed = await removeKeys({ ...target, isStopping: () => interrupts() > 1 }, KEYS_BOUND_MS);
  if (isJson)
    io.out(`${JSON.stringify({ ...planOf(bench), keysMade: made.count, keysRemoved: removed.count, ...report })}\n`);
  else io.out(reportText(bench, report));
  const left = target.keyCount - removed.count;
  if (left > 0) io.err(`${left} keys could not be removed; they go by themselves in ${target.ttlSeconds} s\n`);
  if (interrupts() > 0) return EXIT.interrupted;
  if (report.all.count > 0) return EXIT.ok;
  io.err("gyre: nothing was served\n");
  return EXIT.failed;
}

function planOf({ target, load }: Bench): Readonly<Record<string, unknown>> {
  const { nodes, bucket, connectionCount: connections, keyCount: keys, value } = target;
  const { rate, writeShare } = load;
  return { nodes, bucket, connections, rate: rate ?? null, writeShare, valueBytes: value.length, keys };
}

async function run(line: CommandLine, io: CliIo): Promise<number> {
  let interruptCount = 0;
  const release = io.onInterrupt(() => {
    interruptCount += 1;
  });
  try {
    return await benched(
      benchOf(line, io, () => interruptCount > 0),
      line,
      { io, interrupts: () => interruptCount },
    );
  } finally {
    release();
  }
}

/** The command `gyre bench`. */
export const BENCH_COMMAND: Command = {
  name: "bench",
  usage: "",
  summary:
    "Loads a running cluster for a while and tells what it served, how fast, and what failed. Exit code 1: nothing.",
  wordCount: [0, 0],
  flags: {
    ...NODE_FLAGS,
    seconds: { type: "string", value: "S", meaning: `how long (default ${DEFAULT_SECONDS}, at most ${MAX_SECONDS})` },
    rate: {
      type: "string",
      value: "N",
      meaning: "open loop: so many operations a second are planned; else closed loop",
    },
    connections: {
      type: "string",
      value: "C",
      meaning: `requests under way at a time (default ${DEFAULT_CONNECTIONS})`,
    },
    "write-share": {
      type: "string",
      value: "SHARE",
      meaning: `from 0, reads only, to 1, writes only (default ${DEFAULT_WRITE_SHARE})`,
    },
    "value-size": { type: "string", value: "SIZE", meaning: `such as 512, 1KiB, 64kB (default ${DEFAULT_VALUE})` },
    keys: { type: "string", value: "COUNT", meaning: `how many keys there are (default ${DEFAULT_KEYS})` },
    bucket: {
      type: "string",
      value: "NAME",
      meaning: "where its keys lie meanwhile (default gyre-bench-…, a new one)",
    },
    timeout: { type: "string", value: "MS", meaning: `bound of one request (default ${DEFAULT_TIMEOUT_MS})` },
  },
  run,
};
