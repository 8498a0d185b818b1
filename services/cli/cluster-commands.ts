/** `gyre status` and `gyre ring`: what the nodes say about the cluster, in one verdict or one table. */

import { GyreClient, parseObject } from "../client/client.ts";
import { askNode, type Fetch, type NodeAnswer } from "../client/http-node.ts";
import { lookAt } from "./cluster-look.ts";
import { mergedSummary } from "./cluster-summary.ts";
import { columns } from "./columns.ts";
import { type Command, type CommandLine, NODE_FLAGS, UsageError } from "./command.ts";
import { fetchOf } from "./credentials.ts";
import { type CliIo, EXIT } from "./io.ts";
import { clientOf, nodesOf } from "./nodes.ts";
import { ringSummary } from "./ring-summary.ts";

const PROBE_TIMEOUT_MS = 2_000;
const WATCH_MS = 1_000;
/** Cursor to the top, and everything below it away. */
const CLEAR = "\u001b[H\u001b[J";

interface NodeState {
  readonly node: string;
  readonly isReady: boolean;
  readonly words: string;
}

async function stateOf(node: string, fetchIt: Fetch): Promise<NodeState> {
  const answer = await askNode(fetchIt, node, { method: "GET", path: "/readyz?verbose", timeoutMs: PROBE_TIMEOUT_MS });
  if (answer.kind !== "answered") return { node, isReady: false, words: `not reached: ${answer.reason}` };
  if (answer.status === 200) return { node, isReady: true, words: "ready" };
  const { detail } = parseObject(answer.bytes);
  const text = typeof detail === "string" ? detail : Buffer.from(answer.bytes).toString("utf8").trim();
  return { node, isReady: false, words: `not ready: ${text.slice(0, 300)}` };
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function complain(io: CliIo, answer: NodeAnswer): number {
  const words = answer.kind === "answered" ? `answered ${answer.status}` : answer.reason;
  io.err(`gyre: ${answer.node}: ${words}\n`);
  return EXIT.failed;
}

interface Verdict {
  /** as the cluster says: healthy, degraded or unavailable; reachable when it says nothing */
  readonly verdict: string;
  readonly reasons: readonly string[];
}

function verdictOf(worst: readonly NodeAnswer[], states: readonly NodeState[], silent: readonly string[]): Verdict {
  const [health] = worst;
  const missing = states.filter((state) => !state.isReady);
  const told = health?.kind === "answered" ? parseObject(health.bytes) : {};
  if (health?.kind === "answered" && (health.status === 401 || health.status === 403)) {
    return { verdict: "unknown", reasons: [`${health.node}: ${textOf(told["detail"])}`] };
  }
  const reasons = eachOnce(worst.flatMap(reasonsOf));
  const isSome = missing.length < states.length;
  const verdict = typeof told["verdict"] === "string" ? told["verdict"] : isSome ? "reachable" : "unavailable";
  const isWorse = verdict === "healthy" && missing.length + silent.length > 0;
  const own = isWorse && missing.length > 0 ? [`${missing.map(({ node }) => node).join(", ")}: see below`] : [];
  return { verdict: isWorse ? "degraded" : verdict, reasons: [...reasons, ...own, ...silent] };
}

function reasonsOf(health: NodeAnswer): readonly string[] {
  const { reasons } = health.kind === "answered" ? parseObject(health.bytes) : {};
  return Array.isArray(reasons) ? reasons.map(String) : [];
}

/** Without what was said before, but for the time: each node counts its own. */
function eachOnce(reasons: readonly string[]): readonly string[] {
  const first = new Map<string, string>();
  for (const reason of reasons) {
    const bare = reason.replaceAll(/\d+(?:\.\d+)? (?:ms|s|min|h|d)\b/g, "");
    if (!first.has(bare)) first.set(bare, reason);
  }
  return [...first.values()];
}

interface Status {
  readonly isFine: boolean;
  /** for people */
  readonly text: string;
  /** for scripts */
  readonly document: unknown;
}

/** Of ready nodes that gave no verdict, in words: one that is cut off, or has too much to do, may be just the one that sees something. */
function silentOf(healths: readonly NodeAnswer[], states: readonly NodeState[]): readonly string[] {
  const isReady = (node: string): boolean => states.some((state) => state.isReady && state.node === node);
  return healths
    .filter((health) => isReady(health.node))
    .flatMap((health) => {
      if (health.kind !== "answered") return [`${health.node}: ${health.reason}`];
      const { verdict, detail } = parseObject(health.bytes);
      return typeof verdict === "string" ? [] : [`${health.node}: ${textOf(detail) || `answered ${health.status}`}`];
    });
}

const WORST_FIRST: readonly string[] = ["unavailable", "degraded", "healthy"];

/**
 * Those that say the worst of the nodes that are ready: one that is cut off sees what no other does. Of others only where no such node says
 * anything: an empty one that waits to be made a member knows of no cluster.
 */
function worstOf(healths: readonly NodeAnswer[], states: readonly NodeState[]): readonly NodeAnswer[] {
  const rank = (health: NodeAnswer): number => {
    if (health.kind !== "answered") return 3 * WORST_FIRST.length;
    const place = WORST_FIRST.indexOf(textOf(parseObject(health.bytes)["verdict"]));
    if (place < 0) return 2 * WORST_FIRST.length;
    return place + (states.some(({ node, isReady }) => isReady && node === health.node) ? 0 : WORST_FIRST.length);
  };
  const worst = Math.min(...healths.map(rank));
  return healths.filter((health) => rank(health) === worst);
}

/** Asks everybody once: that a cluster cannot serve just now is an answer here, and nothing to wait for. */
async function statusOf(line: CommandLine, io: CliIo): Promise<Status> {
  const nodes = nodesOf(line, io);
  const fetchIt = fetchOf(line, io);
  const client = new GyreClient({ nodes, fetch: fetchIt, maxAttempts: nodes.length });
  const health = { method: "GET", path: "/v1/cluster/health", timeoutMs: PROBE_TIMEOUT_MS } as const;
  const [states, healths, cluster, told] = await Promise.all([
    Promise.all(nodes.map((node) => stateOf(node, fetchIt))),
    Promise.all(nodes.map((node) => askNode(fetchIt, node, health))),
    client.ask("/v1/cluster"),
    lookAt(nodes, fetchIt),
  ]);
  const { verdict, reasons } = verdictOf(worstOf(healths, states), states, silentOf(healths, states));
  const summary = mergedSummary(told);
  const rows = columns(
    states.map((state) => [state.node, state.words]),
    "  ",
  );
  const head = `${verdict}${reasons.map((reason) => `\n  - ${reason}`).join("")}`;
  const ring = summary === undefined ? "" : `\n${ringSummary(summary)}\n`;
  const document = { verdict, reasons, nodes: states, cluster: documentOf(cluster) };
  return { isFine: verdict === "healthy", text: `${head}\n\n${rows}\n${ring}`, document };
}

function documentOf(answer: NodeAnswer): unknown {
  return answer.kind === "answered" && answer.status === 200 ? parseObject(answer.bytes) : undefined;
}

async function runStatus(line: CommandLine, io: CliIo): Promise<number> {
  if (line.isSet("watch")) return watchStatus(line, io);
  const { isFine, text, document } = await statusOf(line, io);
  io.out(line.isSet("json") ? `${JSON.stringify(document)}\n` : text);
  return isFine ? EXIT.ok : EXIT.failed;
}

/** On a terminal the picture stands and changes; elsewhere each change is told once. Until Ctrl-C. */
async function watchStatus(line: CommandLine, io: CliIo): Promise<number> {
  let isInterrupted = false;
  const release = io.onInterrupt(() => {
    isInterrupted = true;
  });
  let shown = "";
  let isFine = false;
  while (!isInterrupted) {
    const status = await statusOf(line, io);
    ({ isFine } = status);
    const text = line.isSet("json") ? `${JSON.stringify(status.document)}\n` : status.text;
    if (text !== shown) io.out(io.isTerminal && !line.isSet("json") ? `${CLEAR}${text}` : text);
    shown = text;
    await io.pause(WATCH_MS);
  }
  release();
  return isFine ? EXIT.ok : EXIT.failed;
}

async function runRing(line: CommandLine, io: CliIo): Promise<number> {
  const [bucket, key] = line.words;
  if (bucket !== undefined && key === undefined) throw new UsageError("give BUCKET and KEY, or neither");
  const isOfKey = bucket !== undefined && key !== undefined;
  const path = isOfKey ? `/v1/ring/${encodeURIComponent(bucket)}/${encodeURIComponent(key)}` : "/v1/ring";
  const answer = await clientOf(line, io).ask(path);
  if (answer.kind !== "answered" || answer.status !== 200) return complain(io, answer);
  if (line.isSet("json")) {
    io.out(answer.bytes);
    io.out("\n");
    return EXIT.ok;
  }
  const told = parseObject(answer.bytes);
  const partitions = isOfKey ? [told] : Array.isArray(told["partitions"]) ? told["partitions"] : [];
  io.out(`ring ${textOf(told["ringHash"])}\n${partitionTable(partitions)}\n`);
  return EXIT.ok;
}

/** Columns that say nothing of any partition (nobody pending, nothing vacant) are left out, heading and all. */
function partitionTable(partitions: readonly Readonly<Record<string, unknown>>[]): string {
  const names = ["partition", "owners", "pending", "departing", "vacant", "fallbacks"].filter(
    (name) =>
      name === "owners" || name === "fallbacks" || partitions.some((one) => [one[name] ?? []].flat().length > 0),
  );
  const rows = partitions.map((one) => names.map((name) => [one[name] ?? []].flat().map(String).join(" ")));
  return columns([names, ...rows]);
}

/** The commands that look at the cluster. */
export const CLUSTER_COMMANDS: readonly Command[] = [
  {
    name: "status",
    usage: "",
    summary: "One verdict on the cluster, with its reasons. Exit code 1 unless it is healthy.",
    wordCount: [0, 0],
    flags: { ...NODE_FLAGS, watch: { type: "boolean", meaning: "again and again, until Ctrl-C" } },
    run: runStatus,
  },
  {
    name: "ring",
    usage: "[BUCKET KEY]",
    summary: "Which nodes hold which partitions, or one key.",
    wordCount: [0, 2],
    flags: NODE_FLAGS,
    run: runRing,
  },
];
