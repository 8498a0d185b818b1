/**
 * `gyre repair`: repairs now, waits, and tells what is left. `--wait hints`: until what stand-ins keep for nodes that were
 * away has been delivered. `--all`, `--partition`, `--bucket`: until replicas that were compared hold the same.
 * `--scrub`: until each of the nodes that are named has re-read its store.
 */
import { type ClientFailure, GyreClient } from "../client/client.ts";
import { type Command, type CommandLine, NODE_FLAGS, UsageError } from "./command.ts";
import { fetchOf } from "./credentials.ts";
import { type CliIo, EXIT } from "./io.ts";
import { nodesOf } from "./nodes.ts";

const HINTS = "wait=hints";
const IGNORE = "ignore-unreachable";
const SCRUB = "scrub=true";
const DEFAULT_WAIT_SECONDS = 60;
/** beyond what the node waits: for the answer itself */
const ANSWER_MS = 15_000;

async function run(line: CommandLine, io: CliIo): Promise<number> {
  const what = queryOf(line);
  const timeoutMs = line.number("timeout", DEFAULT_WAIT_SECONDS, 1) * 1_000;
  if (what === SCRUB) return scrub(line, io, timeoutMs);
  const client = new GyreClient({
    nodes: nodesOf(line, io),
    timeoutMs: timeoutMs + ANSWER_MS,
    fetch: fetchOf(line, io),
  });
  const done = await client.post(`/v1/repair?${what}&timeout=${timeoutMs}`, {});
  if (done.kind === "failed") return tellFailure(line, io, done);
  const { answer } = done;
  if (line.isSet("json")) {
    io.out(`${JSON.stringify(answer)}\n`);
    return EXIT.ok;
  }
  const durationMs = String(answer["durationMs"]);
  if (what.startsWith(HINTS)) io.out(`all hints are delivered (${durationMs} ms)\n`);
  else {
    const [comparisons, keys] = [String(answer["comparisons"]), String(answer["repairedKeys"])];
    io.out(`replicas hold the same: ${comparisons} comparisons, ${keys} keys repaired (${durationMs} ms)\n`);
  }
  tellUnreachable(io, answer["unreachable"]);
  return EXIT.ok;
}

/** What is asked for: one of the modes. */
function queryOf(line: CommandLine): string {
  const modes = ["wait", "all", "partition", "bucket", "scrub"].filter(
    (flag) => line.isSet(flag) || line.text(flag) !== undefined,
  );
  const [mode] = modes;
  if (mode === undefined || modes.length > 1) {
    throw new UsageError("one of --all, --partition, --bucket, --scrub or --wait hints");
  }
  if (line.isSet(IGNORE) && mode !== "wait") throw new UsageError(`--${IGNORE} goes with --wait hints`);
  if (mode === "all") return "all=true";
  if (mode === "scrub") return SCRUB;
  const value = line.text(mode) ?? "";
  if (mode === "wait" && value !== "hints") throw new UsageError("--wait is hints");
  if (mode === "wait") return line.isSet(IGNORE) ? `${HINTS}&ignoreUnreachable=true` : HINTS;
  return `${mode}=${encodeURIComponent(value)}`;
}

/** Each node reads its own store: all that are named are asked, one after the other. */
async function scrub(line: CommandLine, io: CliIo, timeoutMs: number): Promise<number> {
  let code: number = EXIT.ok;
  for (const node of nodesOf(line, io)) {
    const client = new GyreClient({ nodes: [node], timeoutMs: timeoutMs + ANSWER_MS, fetch: fetchOf(line, io) });
    const done = await client.post(`/v1/repair?${SCRUB}&timeout=${timeoutMs}`, {});
    if (done.kind === "failed") {
      code = tellFailure(line, io, done);
      continue;
    }
    const { answer } = done;
    if (line.isSet("json")) {
      io.out(`${JSON.stringify(answer)}\n`);
      continue;
    }
    const [name, bytes, rot, lost, ms] = ["scrubbed", "readBytes", "rotCount", "lostCount", "durationMs"].map((field) =>
      String(answer[field]),
    );
    io.out(`${name}: ${bytes} bytes read, ${rot} rotten places, ${lost} records to be repaired (${ms} ms)\n`);
  }
  return code;
}

function tellFailure(line: CommandLine, io: CliIo, failure: ClientFailure): number {
  if (line.isSet("json")) io.out(`${JSON.stringify(failure.problem ?? failure)}\n`);
  io.err(`gyre: ${failure.code}: ${failure.detail}\n`);
  tellUnreachable(io, failure.problem?.["unreachable"]);
  return EXIT.failed;
}

function tellUnreachable(io: CliIo, nodes: unknown): void {
  if (Array.isArray(nodes) && nodes.length > 0) {
    io.err(`could not be asked, and may keep more: ${nodes.map(String).join(", ")}\n`);
  }
}

/** The command. */
export const REPAIR_COMMAND: Command = {
  name: "repair",
  usage: "--all | --partition N | --bucket NAME | --scrub | --wait hints",
  summary: "Repairs now and waits: until replicas hold the same, or hints for nodes that were away are delivered.",
  wordCount: [0, 0],
  flags: {
    ...NODE_FLAGS,
    all: { type: "boolean", meaning: "compare all partitions between all their holders" },
    partition: { type: "string", value: "N", meaning: "compare one partition" },
    bucket: { type: "string", value: "NAME", meaning: "compare what a bucket's keys lie in: all partitions" },
    scrub: {
      type: "boolean",
      meaning: "compare nothing; let each node given re-read its store and prove every record",
    },
    wait: { type: "string", value: "hints", meaning: "compare nothing; wait until hints are delivered" },
    [IGNORE]: {
      type: "boolean",
      meaning: "with --wait hints: do not wait for what nodes may keep that cannot be asked",
    },
    timeout: { type: "string", value: "SECONDS", meaning: `how long, at most (default ${DEFAULT_WAIT_SECONDS})` },
  },
  run,
};
