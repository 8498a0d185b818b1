/** `gyre get`, `put` and `delete`: one key, through the API that everybody uses. Results on stdout, everything else on stderr. */
import { readFileSync } from "node:fs";
import type { ClientFailure, ReadResult, RequestOptions, WriteResult } from "../client/client.ts";
import { type Command, type CommandLine, type Flag, NODE_FLAGS, UsageError } from "./command.ts";
import { type CliIo, EXIT } from "./io.ts";
import { clientOf } from "./nodes.ts";

const CONTEXT: Flag = { type: "string", value: "TOKEN", meaning: "the causal context of an earlier answer" };
const TIMEOUT: Flag = { type: "string", value: "MS", meaning: "bound of the request, milliseconds" };
const STRICT: Flag = { type: "boolean", meaning: "the key's owners only: no other node stands in for one" };
const READ_KNOBS: Readonly<Record<string, Flag>> = {
  r: { type: "string", value: "N", meaning: "replicas to wait for: a number, one, quorum or all" },
  pr: { type: "string", value: "N", meaning: "owners among them" },
  strict: STRICT,
  timeout: TIMEOUT,
};
const WRITE_KNOBS: Readonly<Record<string, Flag>> = {
  w: { type: "string", value: "N", meaning: "replicas to wait for: a number, one, quorum or all" },
  pw: { type: "string", value: "N", meaning: "owners among them" },
  strict: STRICT,
  timeout: TIMEOUT,
};

function requestOptions(line: CommandLine, knobs: readonly string[]): RequestOptions {
  const query: Record<string, string> = {};
  for (const knob of knobs) {
    const text = line.text(knob);
    if (text !== undefined) query[knob] = text;
  }
  if (line.isSet("strict")) query["sloppy"] = "false";
  return { query, context: line.text("context") };
}

/** Says who took part that owns no slot of the key: what it said may be all that it was told. */
function tellStandIns(io: CliIo, fallbacks: readonly string[] | undefined): void {
  if (fallbacks !== undefined) io.err(`gyre: ${fallbacks.join(", ")} answered in the place of owners out of reach\n`);
}

function keptCount(answer: WriteResult): number {
  if (answer.kind === "failed") return 0;
  const { acks } = answer.answer;
  return typeof acks === "object" && acks !== null && "fallbacks" in acks ? Number(acks.fallbacks) : 0;
}

function tellFailure(line: CommandLine, io: CliIo, failure: ClientFailure): number {
  if (line.isSet("json")) io.out(`${JSON.stringify(failure.problem ?? failure)}\n`);
  const outcome = failure.outcome === "unknown" ? "it is unknown whether it took effect" : "nothing was changed";
  io.err(`gyre: ${failure.code}: ${failure.detail} (${outcome}; attempts: ${failure.attemptCount})\n`);
  return EXIT.failed;
}

function tellWrite(line: CommandLine, io: CliIo, result: WriteResult): number {
  if (result.kind === "failed") return tellFailure(line, io, result);
  if (line.isSet("json")) io.out(`${JSON.stringify(result.answer)}\n`);
  else io.err(`applied through ${result.node}\n`);
  const count = keptCount(result);
  if (count > 0) io.err(`${count} of its copies are kept by other nodes, for owners out of reach\n`);
  if (result.siblingCount > 1) {
    io.err(`the key has ${result.siblingCount} concurrent versions now: read it, merge, and put with its context\n`);
  }
  return EXIT.ok;
}

function valueOf(line: CommandLine, io: CliIo): Promise<Uint8Array> | Uint8Array {
  const word = line.words[2];
  const file = line.text("file");
  if ((word === undefined) === (file === undefined))
    throw new UsageError("give the value, - for stdin, or --file PATH");
  if (file !== undefined) return readFileSync(file);
  return word === "-" ? io.readInput() : Buffer.from(word ?? "");
}

function typeOf(bytes: Uint8Array): string {
  try {
    JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return "application/json";
  } catch (error) {
    if (error instanceof SyntaxError) return "text/plain; charset=utf-8";
    if (error instanceof TypeError) return "application/octet-stream";
    throw error;
  }
}

function tellFound(line: CommandLine, io: CliIo, found: Extract<ReadResult, { kind: "found" }>): void {
  const { bytes, contentType, context, expires } = found;
  if (!line.isSet("json")) {
    io.out(bytes);
    if (io.isTerminal) io.out("\n");
    return;
  }
  const isJson = contentType.includes("json");
  const text = Buffer.from(bytes).toString(isJson ? "utf8" : "base64");
  const value = isJson ? `"value":${text}` : `"base64":"${text}"`;
  const end = expires === undefined ? "" : `,"expires":${JSON.stringify(expires)}`;
  io.out(`{${value},"contentType":${JSON.stringify(contentType)}${end},"context":"${context}"}\n`);
}

async function runGet(line: CommandLine, io: CliIo): Promise<number> {
  const [bucket = "", key = ""] = line.words;
  const result = await clientOf(line, io).get(bucket, key, requestOptions(line, ["r", "pr", "timeout"]));
  if (result.kind === "found" || result.kind === "siblings") tellStandIns(io, result.fallbacks);
  switch (result.kind) {
    case "found":
      tellFound(line, io, result);
      return EXIT.ok;
    case "siblings":
      io.out(
        `${JSON.stringify({ siblings: result.siblings, context: result.context }, null, line.isSet("json") ? 0 : 2)}\n`,
      );
      io.err(`gyre: ${result.siblings.length} concurrent versions: merge them, and put with --context\n`);
      return EXIT.siblings;
    case "absent":
      if (line.isSet("json"))
        io.out(
          `${JSON.stringify({ code: result.context === undefined ? "not_found" : "deleted", context: result.context })}\n`,
        );
      io.err(`gyre: ${result.context === undefined ? "not found" : "deleted"}\n`);
      return EXIT.absent;
    case "failed":
      return tellFailure(line, io, result);
  }
}

async function runPut(line: CommandLine, io: CliIo): Promise<number> {
  const [bucket = "", key = ""] = line.words;
  const bytes = await valueOf(line, io);
  const contentType = line.text("type") ?? typeOf(bytes);
  const options = { ...requestOptions(line, ["w", "pw", "timeout", "blind"]), ttl: line.text("ttl") };
  return tellWrite(line, io, await clientOf(line, io).put({ bucket, key }, { bytes, contentType }, options));
}

async function runDelete(line: CommandLine, io: CliIo): Promise<number> {
  const [bucket = "", key = ""] = line.words;
  const options = requestOptions(line, ["w", "pw", "timeout"]);
  return tellWrite(line, io, await clientOf(line, io).delete(bucket, key, options));
}

/** The commands for one key. */
export const KV_COMMANDS: readonly Command[] = [
  {
    name: "get",
    usage: "BUCKET KEY",
    summary: "Prints the value of a key. Exit code 3: concurrent versions, 4: not there.",
    wordCount: [2, 2],
    flags: { ...NODE_FLAGS, ...READ_KNOBS, context: CONTEXT },
    run: runGet,
  },
  {
    name: "put",
    usage: "BUCKET KEY VALUE|-",
    summary: "Writes a value: JSON when it is JSON, else text or bytes.",
    wordCount: [2, 3],
    flags: {
      ...NODE_FLAGS,
      ...WRITE_KNOBS,
      context: CONTEXT,
      blind: { type: "string", value: "RULE", meaning: "without a context: overwrite, sibling or reject" },
      type: { type: "string", value: "TYPE", meaning: "media type of the value" },
      file: { type: "string", value: "PATH", meaning: "take the value from a file" },
      ttl: {
        type: "string",
        value: "SECONDS",
        meaning: "the value is gone after so long; 0: never, whatever the bucket says",
      },
    },
    run: runPut,
  },
  {
    name: "delete",
    usage: "BUCKET KEY",
    summary: "Deletes a key: with a context, exactly what its reader saw.",
    wordCount: [2, 2],
    flags: { ...NODE_FLAGS, ...WRITE_KNOBS, context: CONTEXT },
    run: runDelete,
  },
];
