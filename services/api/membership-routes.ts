/**
 * Changes of membership (API §4): plan, commit, abort, leave. A plan is a dry run with a hash; a commit does exactly what
 * was planned, or nothing. Must never change anything that was not planned, nor take orders from a foreign web page.
 */
import type { Failure } from "../coordinator/contract.ts";
import { planDocument } from "./cluster-document.ts";
import type {
  AbortAnswer,
  ChangeFailed,
  ChangeRefused,
  ClusterDoor,
  CommitAnswer,
  LeaveAnswer,
  PlanAnswer,
} from "./cluster-door.ts";
import type { Incoming, Reply, Route } from "./exchange.ts";
import { abortRequestIn, bodyFlaw, type CommitRequest, commitRequestIn, planRequestIn } from "./plan-changes.ts";
import { refusal, refusalForNow } from "./problem.ts";
import { parseQuery } from "./query.ts";
import { failureReply, jsonReply } from "./reply.ts";
import { isOfOtherSite } from "./same-origin.ts";
import { queryOf } from "./target.ts";

const BODY_LIMIT_BYTES = 64 * 1024;

type Work = (door: ClusterDoor, request: Incoming) => Reply | Promise<Reply>;

/** The routes that change the ring; without a door there are none. */
export function membershipRoutes(door: ClusterDoor | undefined): readonly Route[] {
  if (door === undefined) return [];
  const post = (path: string, summary: string, work: Work): Route => ({
    method: "POST",
    path: `/v1/cluster/${path}`,
    summary,
    access: { kind: "cluster", right: "operate" },
    work: "control",
    bodyLimitBytes: BODY_LIMIT_BYTES,
    handle: (request) => guarded(request) ?? work(door, request),
  });
  return [
    post("plan", "Dry run of membership changes: moves, bytes, balance, zones, refusals, and a plan hash.", plan),
    post("commit", "Does what was planned under a plan hash, if the same plan still comes out.", commit),
    post("abort", "Takes back the join or leave of a node, or all that are under way.", abort),
    post("leave", "This node hands its slots over and leaves the ring.", leave),
  ];
}

/** What stands against any change: a stray query, or a browser that shows another site's page. */
function guarded(request: Incoming): Reply | undefined {
  const query = parseQuery(queryOf(request.raw.url), []);
  if (query.kind === "failed") return failureReply(query);
  return isOfOtherSite(request)
    ? failureReply(refusal("forbidden", "a page of another site may not change the ring"))
    : undefined;
}

function plan(door: ClusterDoor, request: Incoming): Reply | Promise<Reply> {
  const asked = planRequestIn(request.body);
  if (asked.kind === "failed") return failureReply(asked);
  return door.plan(asked.changes, () => !asked.isDryRun).then(planReply);
}

function commit(door: ClusterDoor, request: Incoming): Reply | Promise<Reply> {
  const asked = commitRequestIn(request.body);
  return asked.kind === "failed" ? failureReply(asked) : committed(door, asked);
}

/** With the changes at hand the plan is made again here, so that it need not have been this node that planned. Another one is not kept. */
async function committed(door: ClusterDoor, asked: CommitRequest): Promise<Reply> {
  const { planHash, changes } = asked;
  if (changes !== undefined) {
    const again = await door.plan(changes, (hash) => hash === planHash);
    if (again.kind === "failed") return failureReply(failureOf(again));
    if (again.plan.planHash !== planHash) {
      return failureReply(planChanged("these changes make another plan now: look at it again, then commit that"));
    }
  }
  return commitReply(await door.commit(planHash));
}

function abort(door: ClusterDoor, request: Incoming): Reply | Promise<Reply> {
  const asked = abortRequestIn(request.body);
  return asked.kind === "failed" ? failureReply(asked) : door.abort(asked.node).then(abortReply);
}

function leave(door: ClusterDoor, request: Incoming): Reply | Promise<Reply> {
  const flaw = bodyFlaw(request.body);
  return flaw === undefined ? door.leave().then(leaveReply) : failureReply(flaw);
}

function planReply(answer: PlanAnswer): Reply {
  return answer.kind === "planned"
    ? jsonReply(200, JSON.stringify(planDocument(answer.plan)))
    : failureReply(failureOf(answer));
}

function commitReply(answer: CommitAnswer): Reply {
  switch (answer.kind) {
    case "committed":
      return jsonReply(200, JSON.stringify({ outcome: "applied", ...planDocument(answer.plan) }));
    case "plan_changed":
    case "unknown_plan":
      return failureReply(planChanged(answer.detail));
    case "refused":
    case "failed":
      return failureReply(failureOf(answer));
  }
}

function abortReply(answer: AbortAnswer): Reply {
  return answer.kind === "aborted"
    ? jsonReply(200, JSON.stringify({ outcome: "applied", nodes: answer.nodes }))
    : failureReply(failureOf(answer));
}

function leaveReply(answer: LeaveAnswer): Reply {
  return answer.kind === "leaving"
    ? jsonReply(200, JSON.stringify({ outcome: "applied", status: "leaving", slotsHeld: answer.slotsHeld }))
    : failureReply(failureOf(answer));
}

function planChanged(detail: string): Failure {
  return refusal("plan_changed", detail);
}

function failureOf(answer: ChangeRefused | ChangeFailed): Failure {
  if (answer.kind === "refused") {
    const { refusals } = answer;
    return refusal("change_refused", refusals.join("; "), { refusals });
  }
  const { detail, outcome, isRetryable } = answer;
  return { ...refusalForNow("not_ready", detail), outcome, retryable: isRetryable };
}
