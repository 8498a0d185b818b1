/**
 * `gyre export BUCKET`: every key of a bucket with its value, one JSON document a line, in the order of the listing. Siblings
 * are exported as such, and what is written meanwhile may or may not be in it: an export is no snapshot. Must never hold more
 * than a page of values, and never end well when something could not be read.
 */
import { type ClientFailure, failureOf, type GyreClient, keyPath, parseObject } from "../client/client.ts";
import type { NodeAnswer } from "../client/http-node.ts";
import { type Command, type CommandLine, NODE_FLAGS, UsageError } from "./command.ts";
import { type CliIo, EXIT } from "./io.ts";
import { clientOf } from "./nodes.ts";

const PAGE_KEYS = 200;
const DEFAULT_CONCURRENCY = 16;
const MAX_CONCURRENCY = 64;
const KEYS_PER_WORD = 10_000;

/** What is asked for each page and key. */
interface Source {
  readonly client: GyreClient;
  readonly bucket: string;
  readonly prefix: string | undefined;
  readonly concurrency: number;
}

interface Page {
  readonly kind: "page";
  readonly keys: readonly string[];
  /** undefined: this was the last */
  readonly cursor: string | undefined;
}

async function pageOf({ client, bucket, prefix }: Source, cursor: string | undefined): Promise<Page | ClientFailure> {
  const query = new URLSearchParams({ limit: String(PAGE_KEYS) });
  if (prefix !== undefined) query.set("prefix", prefix);
  if (cursor !== undefined) query.set("cursor", cursor);
  const answer = await client.ask(`/v1/kv/${encodeURIComponent(bucket)}?${query.toString()}`);
  if (answer.kind !== "answered" || answer.status !== 200) return failureOf(answer, 1);
  const { keys, cursor: next, complete } = parseObject(answer.bytes);
  const isList = Array.isArray(keys) && keys.every((key) => typeof key === "string");
  if (isList && complete === true) return { kind: "page", keys, cursor: undefined };
  if (isList && complete === false && typeof next === "string") return { kind: "page", keys, cursor: next };
  // The end of such a page would be taken for the end of the bucket.
  return { ...failureOf(answer, 1), detail: `${answer.node} answered a page that does not say whether it is the last` };
}

/** No URL can name these keys: libraries take them for steps in the path (WHATWG URL), however they are escaped. */
const STEPS: ReadonlySet<string> = new Set([".", ".."]);
const BATCH_HEAD = '{"results":[';
const BATCH_TAIL = "]}";

/** The answer to a batch of this one read, as if the key had been asked for alone. */
async function askByBatch({ client, bucket }: Source, key: string): Promise<NodeAnswer> {
  const answer = await client.askWith(`/v1/kv/${encodeURIComponent(bucket)}:batch`, { ops: [{ op: "get", key }] });
  if (answer.kind !== "answered" || answer.status !== 200) return answer;
  // Cut out and not parsed: see below.
  const bytes = answer.bytes.subarray(BATCH_HEAD.length, -BATCH_TAIL.length);
  return { ...answer, status: Number(parseObject(bytes)["status"]), bytes };
}

/** Absent, by the word of a node; what else answers 404 knows nothing of keys. */
function isGone(answer: NodeAnswer): boolean {
  if (answer.kind !== "answered" || answer.status !== 404) return false;
  const { code } = parseObject(answer.bytes);
  return code === "not_found" || code === "deleted";
}

/** The document of a key without the bucket's name; undefined when it is not there any more. */
async function lineOf(source: Source, key: string): Promise<string | ClientFailure | undefined> {
  const { client, bucket } = source;
  const answer = await (STEPS.has(key) ? askByBatch(source, key) : client.ask(keyPath(bucket, key)));
  if (isGone(answer)) return undefined;
  if (answer.kind !== "answered" || answer.status !== 200) return failureOf(answer, 1);
  // As it was sent, but for its first member: numbers of more digits than JavaScript's stay what they are.
  const text = Buffer.from(answer.bytes)
    .toString("utf8")
    .replace(/^\{"status":200,/, "{");
  const head = `{"bucket":${JSON.stringify(bucket)},`;
  return text.startsWith(head) ? `{${text.slice(head.length)}` : text;
}

interface Lines {
  readonly kind: "lines";
  readonly lines: readonly string[];
}

/** Reads a page's keys, so many at a time; answers the lines in the keys' order, or the first failure. */
async function linesOf(source: Source, keys: readonly string[]): Promise<Lines | ClientFailure> {
  const lines: (string | undefined)[] = [];
  let failure: ClientFailure | undefined;
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < keys.length && failure === undefined) {
      const at = next;
      next += 1;
      const line = await lineOf(source, keys[at] ?? "");
      if (typeof line === "object") failure = line;
      else lines[at] = line;
    }
  };
  await Promise.all(Array.from({ length: Math.min(source.concurrency, keys.length) }, work));
  return failure ?? { kind: "lines", lines: lines.filter((line) => line !== undefined) };
}

async function run(line: CommandLine, io: CliIo): Promise<number> {
  const concurrency = line.number("concurrency", DEFAULT_CONCURRENCY, 1);
  if (concurrency > MAX_CONCURRENCY) throw new UsageError(`--concurrency is at most ${MAX_CONCURRENCY}`);
  const source = { client: clientOf(line, io), bucket: line.words[0] ?? "", prefix: line.text("prefix"), concurrency };
  let cursor: string | undefined;
  let count = 0;
  for (;;) {
    const page = await pageOf(source, cursor);
    if (page.kind === "failed") return tellFailure(io, page, count);
    const read = await linesOf(source, page.keys);
    if (read.kind === "failed") return tellFailure(io, read, count);
    const { lines } = read;
    if (lines.length > 0) io.out(`${lines.join("\n")}\n`);
    if (Math.floor((count + lines.length) / KEYS_PER_WORD) > Math.floor(count / KEYS_PER_WORD)) {
      io.err(`${count + lines.length} keys\n`);
    }
    count += lines.length;
    cursor = page.cursor;
    if (cursor === undefined) break;
  }
  io.err(`${count} keys of ${source.bucket}\n`);
  return EXIT.ok;
}

function tellFailure(io: CliIo, { code, detail }: ClientFailure, count: number): number {
  io.err(`gyre: ${code}: ${detail}\nnot complete: ${count} keys were written before that\n`);
  return EXIT.failed;
}

/** The command. */
export const EXPORT_COMMAND: Command = {
  name: "export",
  usage: "BUCKET",
  summary: "Prints every key of a bucket with its value, a JSON document a line.",
  wordCount: [1, 1],
  flags: {
    ...NODE_FLAGS,
    prefix: { type: "string", value: "TEXT", meaning: "only keys that begin with it" },
    concurrency: {
      type: "string",
      value: "N",
      meaning: `keys that are read at a time (default ${DEFAULT_CONCURRENCY}, at most ${MAX_CONCURRENCY})`,
    },
  },
  run,
};
