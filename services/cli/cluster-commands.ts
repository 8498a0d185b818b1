/** `gyre status` and `gyre ring`: what the nodes say about the cluster, in one verdict or one table. */

import { parseObject } from "../client/client.ts";
import { askNode, type NodeAnswer } from "../client/http-node.ts";
import { type Command, type CommandLine, NODE_FLAGS, UsageError } from "./command.ts";
import { type CliIo, EXIT } from "./io.ts";
import { clientOf, nodesOf } from "./nodes.ts";
import { columns, parseCluster, ringSummary } from "./ring-summary.ts";

const PROBE_TIMEOUT_MS = 2_000;

interface NodeState {
  readonly node: string;
  readonly isReady: boolean;
  readonly words: string;
}

async function stateOf(node: string): Promise<NodeState> {
  const answer = await askNode(fetch, node, { method: "GET", path: "/readyz?verbose", timeoutMs: PROBE_TIMEOUT_MS });
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

function verdictOf(health: NodeAnswer, states: readonly NodeState[]): Verdict {
  const missing = states.filter((state) => !state.isReady);
  const told = health.kind === "answered" ? parseObject(health.bytes) : {};
  const reasons = Array.isArray(told["reasons"]) ? told["reasons"].map(String) : [];
  const isSome = missing.length < states.length;
  const verdict = typeof told["verdict"] === "string" ? told["verdict"] : isSome ? "reachable" : "unavailable";
  const isWorse = verdict === "healthy" && missing.length > 0;
  return { verdict: isWorse ? "degraded" : verdict, reasons };
}

async function runStatus(line: CommandLine, io: CliIo): Promise<number> {
  const nodes = nodesOf(line, io);
  const client = clientOf(line, io);
  const [states, health, cluster] = await Promise.all([
    Promise.all(nodes.map(stateOf)),
    client.ask("/v1/cluster/health"),
    client.ask("/v1/cluster"),
  ]);
  const { verdict, reasons } = verdictOf(health, states);
  const isFine = verdict === "healthy" || (verdict === "reachable" && states.every((state) => state.isReady));
  const summary = cluster.kind === "answered" ? parseCluster(cluster.bytes) : undefined;
  if (line.isSet("json")) {
    io.out(`${JSON.stringify({ verdict, reasons, nodes: states, cluster: summary })}\n`);
    return isFine ? EXIT.ok : EXIT.failed;
  }
  io.out(`${verdict}${reasons.map((reason) => `\n  - ${reason}`).join("")}\n\n`);
  io.out(
    `${columns(
      states.map((state) => [state.node, state.words]),
      "  ",
    )}\n`,
  );
  if (cluster.kind === "answered" && summary !== undefined) io.out(`\n${ringSummary(cluster.bytes)}\n`);
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
  const rows = partitions.map((one: Readonly<Record<string, unknown>>) => [
    String(one["partition"]),
    [one["owners"]].flat().join(" "),
    [one["fallbacks"]].flat().join(" "),
  ]);
  io.out(`ring ${textOf(told["ringHash"])}\n${columns([["partition", "owners", "fallbacks"], ...rows])}\n`);
  return EXIT.ok;
}

/** The commands that look at the cluster. */
export const CLUSTER_COMMANDS: readonly Command[] = [
  {
    name: "status",
    usage: "",
    summary: "One verdict on the cluster, with its reasons. Exit code 1 unless it is healthy.",
    wordCount: [0, 0],
    flags: NODE_FLAGS,
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
