/**
 * POST /v1/repair (API §4): what repairs itself anyway, now, and waited for. `wait=hints`: until every write that stand-ins
 * keep has been delivered. `all=true`, `partition`, `bucket`: replicas are compared, and bring each other what they lack.
 * `scrub=true`: the node that is asked re-reads its whole store.
 * Must never say that all is done while a member that could be asked still has something to do.
 */
import { parseBucketName } from "../base/ids.ts";
import type { HintsWaited, ReplicasCompared } from "../base/repair-reports.ts";
import type { Failure } from "../coordinator/contract.ts";
import type { Incoming, Reply, Route } from "./exchange.ts";
import { refusal } from "./problem.ts";
import { booleanOf, integerOf, parseQuery, type Query, shown } from "./query.ts";
import { namesOf, REPAIR_MODES, REPAIR_QUERY, REPAIR_TIMEOUT_RULE, REPAIR_WAIT_RULE } from "./query-rules.ts";
import type { RepairDoor, StoreScrubbed } from "./repair-door.ts";
import { failureReply, jsonReply } from "./reply.ts";
import { isOfOtherSite } from "./same-origin.ts";
import { queryOf } from "./target.ts";
import { wordOf } from "./value-rules.ts";

const BODY_LIMIT_BYTES = 1_024;
/** what to do: one of them */
const MODES: readonly string[] = namesOf(REPAIR_MODES);
/** members that cannot be asked are not waited for */
const IGNORE = "ignoreUnreachable";
const PARAMETERS: readonly string[] = namesOf(REPAIR_QUERY);

/** The route; without a door there is none. */
export function repairRoutes(door: RepairDoor | undefined): readonly Route[] {
  if (door === undefined) return [];
  return [
    {
      method: "POST",
      path: "/v1/repair",
      summary:
        "Repairs now, and waits: all=true, partition=… or bucket=… until replicas hold the same, wait=hints until what stand-ins keep has been delivered, scrub=true until this node has re-read its store.",
      access: { kind: "cluster", right: "operate" },
      work: "control",
      bodyLimitBytes: BODY_LIMIT_BYTES,
      handle: (request) => repair(door, request),
    },
  ];
}

function repair(door: RepairDoor, request: Incoming): Reply | Promise<Reply> {
  if (isOfOtherSite(request)) return failureReply(refusal("forbidden", "a page of another site may not order repairs"));
  const query = parseQuery(queryOf(request.raw.url), PARAMETERS);
  if (query.kind === "failed") return failureReply(query);
  const timeoutMs = timeoutOf(query);
  if (typeof timeoutMs !== "number") return failureReply(timeoutMs);
  const modes = MODES.filter((name) => query.values.has(name));
  const [mode] = modes;
  if (modes.length > 1) return refused("wait", `only one of ${modes.join(", ")} at a time`);
  if (query.values.has(IGNORE) && mode !== "wait")
    return failureReply(refusal("invalid_request", `${IGNORE} goes with wait=hints`, { parameter: IGNORE }));
  if (mode === "wait") return waitFor(door, query, timeoutMs);
  if (mode === "scrub") return scrub(door, query, timeoutMs);
  const what = mode === undefined ? undefined : comparedIn(query, door.partitionCount);
  if (what === undefined)
    return refused("wait", "say what to repair: all=true, partition=…, bucket=…, scrub=true or wait=hints");
  if ("code" in what) return failureReply(what);
  return door.compare(what.partition, timeoutMs).then((done) => comparedReply(what, done, timeoutMs));
}

function waitFor(door: RepairDoor, query: Query, timeoutMs: number): Reply | Promise<Reply> {
  const mode = query.values.get("wait") ?? "";
  const isIgnoring = booleanOf(query, IGNORE, false);
  if (typeof isIgnoring !== "boolean") return failureReply(isIgnoring);
  if (wordOf(REPAIR_WAIT_RULE, mode) !== undefined)
    return door.waitForHints(timeoutMs, isIgnoring).then((waited) => hintsReply(waited, timeoutMs));
  return failureReply(
    refusal("invalid_request", `wait is hints, not ${shown(mode)}`, {
      parameter: "wait",
      known: REPAIR_WAIT_RULE.words,
    }),
  );
}

function scrub(door: RepairDoor, query: Query, timeoutMs: number): Reply | Promise<Reply> {
  const isAsked = booleanOf(query, "scrub", false);
  if (typeof isAsked !== "boolean") return failureReply(isAsked);
  if (!isAsked) return refused("scrub", "scrub is true, or not given");
  return door.scrub(timeoutMs).then((read) => scrubReply(read, timeoutMs));
}

function scrubReply({ node, isDone, ...found }: StoreScrubbed, timeoutMs: number): Reply {
  const facts = { scrubbed: node, ...found };
  if (isDone) return jsonReply(200, JSON.stringify(facts));
  return failureReply({
    kind: "failed",
    code: "not_finished",
    outcome: "unknown",
    retryable: true,
    detail: `after ${timeoutMs} ms node ${node} has read ${found.readBytes} bytes of its store; it goes on`,
    facts,
  });
}

/** What replicas are to be compared in, and its name in the answer. */
interface Compared {
  readonly name: Readonly<Record<string, unknown>>;
  /** undefined: all partitions */
  readonly partition: number | undefined;
}

/** A bucket's keys lie in every partition. */
function comparedIn(query: Query, partitionCount: number): Compared | Failure | undefined {
  const bucket = query.values.get("bucket");
  if (bucket !== undefined) {
    if (parseBucketName(bucket) !== undefined) return { name: { bucket }, partition: undefined };
    return refusal("invalid_request", `${shown(bucket)} is no bucket name`, { parameter: "bucket" });
  }
  if (query.values.has("partition")) {
    const partition = integerOf(query, "partition", { min: 0, max: partitionCount - 1, fallback: 0 });
    return typeof partition === "number" ? { name: { partition }, partition } : partition;
  }
  const isAll = booleanOf(query, "all", false);
  if (typeof isAll !== "boolean") return isAll;
  return isAll ? { name: { all: true }, partition: undefined } : undefined;
}

function comparedReply({ name }: Compared, done: ReplicasCompared, timeoutMs: number): Reply {
  const { isDone, pairs, left, waitingFor, unreachable, repairedKeys, durationMs } = done;
  const facts = { compared: name, comparisons: pairs, repairedKeys, unreachable, durationMs };
  if (isDone) return jsonReply(200, JSON.stringify(facts));
  const nodes = [...new Set([...Object.keys(waitingFor), ...unreachable])].sort().join(", ");
  return failureReply({
    kind: "failed",
    code: "not_finished",
    outcome: "unknown",
    retryable: true,
    detail: `after ${timeoutMs} ms ${left} of ${pairs} comparisons are left; they wait for ${nodes}: are these nodes up?`,
    facts: { ...facts, left, waitingFor },
  });
}

function refused(parameter: string, words: string): Reply {
  return failureReply(refusal("invalid_request", words, { parameter, known: MODES }));
}

function timeoutOf(query: Query): number | Failure {
  return integerOf(query, "timeout", REPAIR_TIMEOUT_RULE);
}

function hintsReply({ isDone, left, unreachable, durationMs }: HintsWaited, timeoutMs: number): Reply {
  if (isDone) return jsonReply(200, JSON.stringify({ waitedFor: "hints", durationMs, unreachable }));
  const count = left.reduce((sum, one) => sum + one.count, 0);
  const nodes = [...new Set(left.flatMap(({ target }) => target ?? []))].sort();
  const words: string[] = [];
  if (nodes.length > 0) words.push(`for ${nodes.join(", ")}: are these nodes up?`);
  if (left.some(({ target }) => target === null))
    words.push("for slots that nobody holds now: is a node to be removed, or a change under way?");
  if (unreachable.length > 0) words.push(cannotBeAsked(unreachable, count));
  return failureReply({
    kind: "failed",
    code: "not_finished",
    outcome: "unknown",
    retryable: true,
    detail: `after ${timeoutMs} ms ${count} hints are known not to be delivered, ${words.join(" ")}`,
    facts: { waitedFor: "hints", left, unreachable, durationMs },
  });
}

/** With nothing else left, how to wait no longer. */
function cannotBeAsked(nodes: HintsWaited["unreachable"], leftCount: number): string {
  const who = `${nodes.join(", ")} cannot be asked`;
  if (leftCount > 0) return `and ${who}.`;
  return `but ${who}, and may keep more: start or remove it, or wait for the others alone with ${IGNORE}=true.`;
}
