/**
 * `gyre token new NAME`: makes an API token and the entry by which a tokens file knows it. `gyre token check FILE`: says whether a
 * node would take the file, and who may do what. Talks to no node. Must never write a token into a file.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import {
  BUCKET_RIGHTS,
  isBucketPattern,
  isBucketRight,
  NODE_RIGHTS,
  parseRight,
  type Right,
} from "../security/rights.ts";
import { TOKEN_RANDOM_BYTES, tokenOf } from "../security/token.ts";
import { readTokensFile } from "../security/tokens-file.ts";
import { columns } from "./columns.ts";
import { type Command, type CommandLine, UsageError } from "./command.ts";
import { type CliIo, EXIT } from "./io.ts";

const DAY_MS = 86_400_000;
const DEFAULT_RIGHTS = "read,write,list";

async function run(line: CommandLine, io: CliIo): Promise<number> {
  const [verb, subject] = line.words;
  if (verb === "new" && subject !== undefined) return makeToken(line, io, subject);
  if (verb === "check" && subject !== undefined) return checkFile(io, subject);
  throw new UsageError("usage: gyre token new NAME, or gyre token check FILE");
}

function makeToken(line: CommandLine, io: CliIo, name: string): number {
  const grants = grantsOf(line);
  const { text, id, sha256 } = tokenOf(randomBytes(TOKEN_RANDOM_BYTES));
  const days = line.text("days") === undefined ? undefined : line.number("days", 0, 1);
  const expires = days === undefined ? {} : { expires: new Date(Date.now() + days * DAY_MS).toISOString() };
  const entry = { name, grants, tokens: [{ id, sha256, ...expires }] };
  const file = { principals: [entry] };
  // The very reader of the nodes: what is printed will be taken.
  const read = readTokensFile(JSON.stringify(file));
  if (read.kind === "problems") throw new UsageError(read.problems.join("; "));
  if (line.isSet("json")) {
    io.out(`${JSON.stringify({ token: text, file })}\n`);
    return EXIT.ok;
  }
  io.err("The token. It is shown this once, and nowhere kept; whoever has it has these rights:\n");
  io.out(`${text}\n`);
  io.err("What GYRE_TOKENS_FILE holds for it. More principals, and more tokens of one, go into the lists:\n");
  io.out(`${JSON.stringify(file, null, 2)}\n`);
  return EXIT.ok;
}

function grantsOf(
  line: CommandLine,
): readonly { readonly rights: readonly Right[]; readonly buckets?: readonly string[] }[] {
  const rights = (line.text("rights") ?? DEFAULT_RIGHTS).split(",").map((word) => {
    const right = parseRight(word.trim());
    if (right !== undefined) return right;
    throw new UsageError(`--rights: "${word}" is none of ${[...BUCKET_RIGHTS, ...NODE_RIGHTS].join(", ")}`);
  });
  const buckets = (line.text("buckets") ?? "*").split(",").map((pattern) => {
    if (isBucketPattern(pattern.trim())) return pattern.trim();
    throw new UsageError(`--buckets: "${pattern}" is no bucket name, nor the beginning of one and *`);
  });
  const overBuckets = rights.filter(isBucketRight);
  const overCluster = rights.filter((right) => !isBucketRight(right));
  return [
    ...(overBuckets.length === 0 ? [] : [{ rights: overBuckets, buckets }]),
    ...(overCluster.length === 0 ? [] : [{ rights: overCluster }]),
  ];
}

function checkFile(io: CliIo, path: string): number {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (!(error instanceof Error && "code" in error)) throw error;
    io.err(`gyre: ${path}: cannot be read: ${error.message}\n`);
    return EXIT.failed;
  }
  const read = readTokensFile(text);
  if (read.kind === "problems") {
    io.err(`gyre: a node would not take ${path}:\n${read.problems.map((problem) => `  - ${problem}\n`).join("")}`);
    return EXIT.badConfig;
  }
  const rows = read.entries.map(({ id, expiresAtMs, caller }) => {
    const isEndless = expiresAtMs === Number.POSITIVE_INFINITY;
    const until = isEndless ? "never" : new Date(expiresAtMs).toISOString();
    return [caller.name, id, isEndless || expiresAtMs > Date.now() ? until : `${until} (over)`];
  });
  io.out(`${columns([["principal", "token id", "expires"], ...rows])}\n`);
  return EXIT.ok;
}

/** The command about API tokens. */
export const TOKEN_COMMAND: Command = {
  name: "token",
  usage: "new NAME | check FILE",
  summary: "Makes an API token and its entry for GYRE_TOKENS_FILE; or checks such a file.",
  wordCount: [2, 2],
  flags: {
    rights: {
      type: "string",
      value: "LIST",
      meaning: `of ${[...BUCKET_RIGHTS, ...NODE_RIGHTS].join(", ")}; else ${DEFAULT_RIGHTS}`,
    },
    buckets: {
      type: "string",
      value: "LIST",
      meaning: "buckets that they hold on: names, or beginnings with *; else all",
    },
    days: { type: "string", value: "N", meaning: "days until the token expires; else never" },
    json: { type: "boolean", meaning: "print JSON, for scripts" },
  },
  run,
};
