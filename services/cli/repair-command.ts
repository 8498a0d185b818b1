/**
 * `gyre repair`: repairs now, waits, and tells what is left. `--wait hints`: until what stand-ins keep for nodes that were
 * away has been delivered.
 */
import { type ClientFailure, GyreClient } from "../client/client.ts";
import { type Command, type CommandLine, NODE_FLAGS, UsageError } from "./command.ts";
import { type CliIo, EXIT } from "./io.ts";
import { nodesOf } from "./nodes.ts";

const DEFAULT_WAIT_SECONDS = 60;
/** beyond what the node waits: for the answer itself */
const ANSWER_MS = 15_000;

async function run(line: CommandLine, io: CliIo): Promise<number> {
  const mode = line.text("wait");
  if (mode !== "hints") throw new UsageError("--wait is hints");
  const timeoutMs = line.number("timeout", DEFAULT_WAIT_SECONDS, 1) * 1_000;
  const client = new GyreClient({ nodes: nodesOf(line, io), timeoutMs: timeoutMs + ANSWER_MS });
  const done = await client.post(`/v1/repair?wait=hints&timeout=${timeoutMs}`, {});
  if (done.kind === "failed") return tellFailure(line, io, done);
  if (line.isSet("json")) {
    io.out(`${JSON.stringify(done.answer)}\n`);
    return EXIT.ok;
  }
  io.out(`all hints are delivered (${String(done.answer["durationMs"])} ms)\n`);
  tellUnreachable(io, done.answer["unreachable"]);
  return EXIT.ok;
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
  usage: "--wait hints",
  summary: "Repairs now and waits: until writes kept for nodes that were away are delivered.",
  wordCount: [0, 0],
  flags: {
    ...NODE_FLAGS,
    wait: { type: "string", value: "hints", meaning: "what to wait for" },
    timeout: { type: "string", value: "SECONDS", meaning: `how long, at most (default ${DEFAULT_WAIT_SECONDS})` },
  },
  run,
};
