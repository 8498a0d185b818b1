/**
 * POST /v1/repair (API §4): what repairs itself anyway, now, and waited for. `wait=hints`: until every write that stand-ins
 * keep has been delivered. Must never say that all is done while a member that could be asked still has something to do.
 */
import { DEFAULT_REPAIR_WAIT_MS, MAX_REPAIR_WAIT_MS } from "../base/limits.ts";
import type { Failure } from "../coordinator/contract.ts";
import type { Incoming, Reply, Route } from "./exchange.ts";
import { refusal } from "./problem.ts";
import { integerOf, parseQuery, type Query, shown } from "./query.ts";
import type { HintsWaited, RepairDoor } from "./repair-door.ts";
import { failureReply, jsonReply } from "./reply.ts";
import { isOfOtherSite } from "./same-origin.ts";
import { queryOf } from "./target.ts";

const BODY_LIMIT_BYTES = 1_024;
const PARAMETERS: readonly string[] = ["wait", "timeout"];

/** The route; without a door there is none. */
export function repairRoutes(door: RepairDoor | undefined): readonly Route[] {
  if (door === undefined) return [];
  return [
    {
      method: "POST",
      path: "/v1/repair",
      summary: "Repairs now, and waits: wait=hints until what stand-ins keep has been delivered.",
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
  const mode = query.values.get("wait");
  if (mode === "hints") return door.waitForHints(timeoutMs).then((waited) => hintsReply(waited, timeoutMs));
  const words = mode === undefined ? "say what to wait for: wait=hints" : `wait is hints, not ${shown(mode)}`;
  return failureReply(refusal("invalid_request", words, { parameter: "wait", known: ["hints"] }));
}

function timeoutOf(query: Query): number | Failure {
  return integerOf(query, "timeout", { min: 1, max: MAX_REPAIR_WAIT_MS, fallback: DEFAULT_REPAIR_WAIT_MS });
}

function hintsReply({ isDone, left, unreachable, durationMs }: HintsWaited, timeoutMs: number): Reply {
  if (isDone) return jsonReply(200, JSON.stringify({ waitedFor: "hints", durationMs, unreachable }));
  const count = left.reduce((sum, one) => sum + one.count, 0);
  const targets = [...new Set(left.map(({ target }) => target))].sort();
  return failureReply({
    kind: "failed",
    code: "not_finished",
    outcome: "unknown",
    retryable: true,
    detail: `after ${timeoutMs} ms ${count} hints are not delivered, for ${targets.join(", ")}: are these nodes up?`,
    facts: { waitedFor: "hints", left, unreachable, durationMs },
  });
}
