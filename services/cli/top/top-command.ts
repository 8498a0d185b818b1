/**
 * `gyre top`: each node in a line, from /v1/cluster and two scrapes of /metrics an interval apart. Of the past only the last scrape
 * is kept. Must never show a total since the start as if it were of now.
 */
import { performance } from "node:perf_hooks";
import { askNode, type Fetch } from "../../client/http-node.ts";
import { lookAt } from "../cluster-look.ts";
import { mergedSummary } from "../cluster-summary.ts";
import { type Command, type CommandLine, NODE_FLAGS, UsageError } from "../command.ts";
import { fetchOf } from "../credentials.ts";
import { type CliIo, EXIT } from "../io.ts";
import { nodesOf } from "../nodes.ts";
import { parseScrape } from "./metrics-text.ts";
import { linesOf, type NodeLine, type NodeLook, pictureText } from "./top-picture.ts";

const SCRAPE_TIMEOUT_MS = 2_000;
const DEFAULT_INTERVAL = "2s";
const MIN_INTERVAL_MS = 200;
const MAX_INTERVAL_MS = 3_600_000;
/** So soon Ctrl-C is followed. */
const LOOK_MS = 100;
/** Cursor to the top, and everything below it away. */
const CLEAR = "\u001b[H\u001b[J";

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000 };

function intervalMsOf(text: string): number {
  const [, amount = "", unit = ""] = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m)?$/.exec(text) ?? [];
  const ms = amount === "" ? Number.NaN : Number(amount) * (UNIT_MS[unit || "s"] ?? Number.NaN);
  if (ms >= MIN_INTERVAL_MS && ms <= MAX_INTERVAL_MS) return ms;
  throw new UsageError(`--interval=${text}: is no time from ${MIN_INTERVAL_MS}ms to 60m, such as 2s`);
}

async function lookAtNode(url: string, fetchIt: Fetch): Promise<NodeLook> {
  const request = { method: "GET", path: "/metrics", timeoutMs: SCRAPE_TIMEOUT_MS } as const;
  const answer = await askNode(fetchIt, url, request);
  const atMs = performance.now();
  if (answer.kind !== "answered") return { url, atMs, scrape: undefined, flaw: `not reached: ${answer.reason}` };
  if (answer.status === 200) {
    return { url, atMs, scrape: parseScrape(Buffer.from(answer.bytes).toString("utf8")), flaw: "" };
  }
  const isBarred = answer.status === 401 || answer.status === 403;
  const flaw = isBarred ? `${answer.status}: needs a token with the right metrics` : `answered ${answer.status}`;
  return { url, atMs, scrape: undefined, flaw };
}

function show(line: CommandLine, io: CliIo, lines: readonly NodeLine[]): void {
  const atMs = Date.now();
  if (line.isSet("json")) {
    io.out(`${JSON.stringify({ at: new Date(atMs).toISOString(), nodes: lines })}\n`);
    return;
  }
  const isLive = io.isTerminal && !line.isSet("once");
  io.out(`${isLive ? CLEAR : ""}${pictureText(lines, atMs)}${isLive ? "" : "\n"}`);
}

async function run(line: CommandLine, io: CliIo): Promise<number> {
  const intervalMs = intervalMsOf(line.text("interval") ?? DEFAULT_INTERVAL);
  const [nodes, fetchIt] = [nodesOf(line, io), fetchOf(line, io)];
  let isInterrupted = false;
  const release = io.onInterrupt(() => {
    isInterrupted = true;
  });
  const lookAll = (): Promise<readonly NodeLook[]> => Promise.all(nodes.map((url) => lookAtNode(url, fetchIt)));
  try {
    let before = await lookAll();
    for (;;) {
      const endsMs = performance.now() + intervalMs;
      while (!isInterrupted && performance.now() < endsMs) {
        await io.pause(Math.max(1, Math.min(LOOK_MS, endsMs - performance.now())));
      }
      if (isInterrupted) return EXIT.ok;
      const [now, told] = await Promise.all([lookAll(), lookAt(nodes, fetchIt)]);
      const pairs = now.flatMap((look, at) => (before[at] === undefined ? [] : [{ before: before[at], now: look }]));
      show(line, io, linesOf(pairs, mergedSummary(told)));
      before = now;
      const isSome = now.some(({ scrape }) => scrape !== undefined);
      if (line.isSet("once")) return isSome ? EXIT.ok : EXIT.failed;
    }
  } finally {
    release();
  }
}

/** The command `gyre top`. */
export const TOP_COMMAND: Command = {
  name: "top",
  usage: "",
  summary: "Each node in a line, again and again: load, times, hints, moves, disk. Until Ctrl-C.",
  wordCount: [0, 0],
  flags: {
    ...NODE_FLAGS,
    once: {
      type: "boolean",
      meaning: "one picture, an interval after the command began. Exit code 1: no node answered",
    },
    interval: {
      type: "string",
      value: "TIME",
      meaning: `what a picture covers, such as 500ms (default ${DEFAULT_INTERVAL})`,
    },
  },
  run,
};
