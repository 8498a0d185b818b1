/** `gyre load FILE.ndjson`: every record of a file into a bucket, through all nodes, with progress, resumption and proof. */
import { statSync } from "node:fs";
import { parseBucketName } from "../base/ids.ts";
import { type Command, type CommandLine, NODE_FLAGS, UsageError } from "./command.ts";
import { fetchOf } from "./credentials.ts";
import { type CliIo, EXIT } from "./io.ts";
import { type LoadEnd, Loader } from "./load/loader.ts";
import { type LoadIdentity, type Progress, readProgress, removeProgress } from "./load/progress-file.ts";
import type { KeyRule } from "./load/record-key.ts";
import { type LoadCounts, newCounts, RecordStore, type StorePlan } from "./load/store-record.ts";
import { durationText, startTicker } from "./load/ticker.ts";
import { Verifier, type VerifyResult } from "./load/verify.ts";
import { nodesOf } from "./nodes.ts";

const DEFAULT_CONCURRENCY = 64;
const DEFAULT_PATIENCE_S = 120;
const ATTEMPT_TIMEOUT_MS = 5_000;
const SHOWN_REJECTS = 10;
const SHOWN_MISMATCHES = 10;

interface Task {
  readonly path: string;
  readonly identity: LoadIdentity;
  readonly rule: KeyRule;
  readonly progressPath: string;
  readonly concurrency: number;
  readonly plan: StorePlan;
}

function taskOf(line: CommandLine, io: CliIo, isStopping: () => boolean): Task {
  const path = line.words[0] ?? "";
  const bucket = line.text("bucket");
  const key = line.text("key") ?? line.text("key-field");
  if (bucket === undefined || parseBucketName(bucket) === undefined)
    throw new UsageError("--bucket NAME is needed: [a-z0-9][a-z0-9._-]*");
  if (key === undefined) throw new UsageError("--key FIELD,FIELD is needed: which members of a record make its key");
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats?.isFile() !== true) throw new UsageError(`${path}: is not a file`);
  const separator = line.text("separator") ?? "/";
  return {
    path,
    identity: {
      file: path,
      sizeBytes: stats.size,
      modifiedMs: Math.floor(stats.mtimeMs),
      bucket,
      key: `${key} ${separator}`,
    },
    rule: { fields: key.split(","), separator },
    progressPath: line.text("state") ?? `${path}.progress`,
    concurrency: line.number("concurrency", DEFAULT_CONCURRENCY, 1),
    plan: {
      nodes: nodesOf(line, io),
      bucket,
      contentType: "application/json",
      patienceMs: line.number("patience", DEFAULT_PATIENCE_S, 1) * 1_000,
      timeoutMs: ATTEMPT_TIMEOUT_MS,
      fetch: fetchOf(line, io),
      pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      random: Math.random,
      nowMs: Date.now,
      isStopping,
    },
  };
}

type Begin =
  | { readonly kind: "from"; readonly from: Omit<Progress, "identity"> }
  | { readonly kind: "refused"; readonly words: string };

function beginningOf(task: Task, isRestart: boolean): Begin {
  const anew = { kind: "from", from: { doneOffset: 0, doneLines: 0, begunOffset: 0, unsettled: [] } } as const;
  if (isRestart) {
    removeProgress(task.progressPath);
    return anew;
  }
  const kept = readProgress(task.progressPath, task.identity);
  if (kept.kind === "none") return anew;
  if (kept.kind === "progress") return { kind: "from", from: kept.progress };
  return {
    kind: "refused",
    words: `${task.progressPath} is the progress of another load: ${kept.reason}; --restart begins anew`,
  };
}

interface Loaded {
  readonly end: LoadEnd;
  readonly counts: LoadCounts;
  readonly seconds: number;
  readonly lines: number;
}

async function load(task: Task, io: CliIo, from: Extract<Begin, { kind: "from" }>["from"]): Promise<Loaded> {
  const counts = newCounts();
  const store = new RecordStore(task.plan, counts);
  const onReject = (line: number, reason: string): void => {
    if (counts.rejected <= SHOWN_REJECTS) io.err(`\nline ${line} was rejected: ${reason}\n`);
  };
  const job = { ...task, from, isStopping: task.plan.isStopping, onReject };
  const loader = new Loader(job, store, counts);
  if (from.doneOffset > 0) io.err(`going on after line ${from.doneLines} (${task.progressPath})\n`);
  const ticker = startTicker(io, () => ({
    label: "loaded",
    records: loader.doneLines,
    doneBytes: loader.doneOffset,
    totalBytes: task.identity.sizeBytes,
    more: counts.retries === 0 ? "" : `, ${counts.retries} retries`,
  }));
  const startedMs = Date.now();
  const end = await loader.run().finally(() => ticker.stop());
  return { end, counts, seconds: (Date.now() - startedMs) / 1_000, lines: loader.doneLines };
}

async function verify(task: Task, io: CliIo): Promise<VerifyResult> {
  const concurrency = Math.max(1, Math.floor(task.concurrency / task.plan.nodes.length));
  const verifier = new Verifier({ path: task.path, rule: task.rule, plan: task.plan, concurrency });
  const ticker = startTicker(io, () => ({
    label: `compared through ${task.plan.nodes.length} nodes`,
    records: verifier.records,
    doneBytes: verifier.offset,
    totalBytes: task.identity.sizeBytes,
    more: "",
  }));
  return verifier.run().finally(() => ticker.stop());
}

function tellLoaded(io: CliIo, loaded: Loaded): void {
  const { counts, seconds, lines, end } = loaded;
  io.out(
    `${lines} lines done, ${counts.applied} records written now in ${durationText(seconds)} (${Math.round(counts.applied / Math.max(seconds, 0.001))}/s)\n`,
  );
  io.out(
    `  retries ${counts.retries}: not applied ${counts.notApplied}, unreachable ${counts.unreachable}, unknown ${counts.unknown}, conflicts ${counts.conflicts}\n`,
  );
  io.out(`  rejected ${counts.rejected}\n`);
  if (end.kind === "stuck")
    io.err(`gyre: line ${end.line} could not be stored in time: ${end.reason}\nthe same command goes on from here\n`);
  if (end.kind === "interrupted") io.err("interrupted; the same command goes on from here\n");
}

function tellVerified(io: CliIo, result: VerifyResult, nodeCount: number): void {
  const { records, reads, mismatches } = result;
  io.out(`${records} records read back through ${nodeCount} node${nodeCount === 1 ? "" : "s"} (${reads} reads): `);
  io.out(
    mismatches.length === 0
      ? "all byte-identical\n"
      : `${mismatches.length}${result.isCutShort ? " or more" : ""} differ\n`,
  );
  for (const one of mismatches.slice(0, SHOWN_MISMATCHES)) io.out(`  ${one.key} at ${one.node}: ${one.reason}\n`);
}

async function run(line: CommandLine, io: CliIo): Promise<number> {
  let isStopping = false;
  const release = io.onInterrupt(() => {
    isStopping = true;
  });
  try {
    const task = taskOf(line, io, () => isStopping);
    const begin = beginningOf(task, line.isSet("restart"));
    if (begin.kind === "refused") throw new UsageError(begin.words);
    const loaded = await load(task, io, begin.from);
    const isComplete = loaded.end.kind === "complete";
    const verified = isComplete && line.isSet("verify") ? await verify(task, io) : undefined;
    if (line.isSet("json")) io.out(`${JSON.stringify({ ...loaded, end: loaded.end, verified })}\n`);
    else {
      tellLoaded(io, loaded);
      if (verified !== undefined) tellVerified(io, verified, task.plan.nodes.length);
    }
    if (isStopping) return EXIT.interrupted;
    const isFine = isComplete && loaded.counts.rejected === 0 && (verified?.mismatches.length ?? 0) === 0;
    return isFine ? EXIT.ok : EXIT.failed;
  } finally {
    release();
  }
}

/** The command `gyre load`. */
export const LOAD_COMMAND: Command = {
  name: "load",
  usage: "FILE.ndjson --bucket NAME --key FIELD,FIELD",
  summary: "Loads a file of JSON objects, one per line; goes on where it was interrupted.",
  wordCount: [1, 1],
  flags: {
    ...NODE_FLAGS,
    bucket: { type: "string", value: "NAME", meaning: "where the records go" },
    key: { type: "string", value: "FIELD,FIELD", meaning: "members of a record that make its key" },
    "key-field": { type: "string", value: "FIELD", meaning: "the same, for one member" },
    separator: { type: "string", value: "TEXT", meaning: "between the members of a key; default /" },
    concurrency: {
      type: "string",
      value: "COUNT",
      meaning: `records under way at a time; default ${DEFAULT_CONCURRENCY}`,
    },
    patience: {
      type: "string",
      value: "S",
      meaning: `seconds that one record is tried; default ${DEFAULT_PATIENCE_S}`,
    },
    state: { type: "string", value: "PATH", meaning: "the progress file; default FILE.ndjson.progress" },
    restart: { type: "boolean", meaning: "forget the progress and begin anew" },
    verify: { type: "boolean", meaning: "then read every record back through every node and compare" },
  },
  run,
};
