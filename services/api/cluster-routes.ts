/** What the node knows about the cluster and the ring, read only (API §4). Must never wait for another node. */
import { type Handler, type Incoming, NO_BODY_BYTES, type Reply, type Route } from "./exchange.ts";
import type { NodeStatus } from "./ports.ts";
import { refusal, refusalForNow } from "./problem.ts";
import { parseQuery, shown } from "./query.ts";
import { failureReply, jsonReply } from "./reply.ts";
import { keyTarget, queryOf } from "./target.ts";

/** The routes of cluster and ring. */
export function clusterRoutes(status: NodeStatus): readonly Route[] {
  return [
    get("/v1/cluster", (request) => plain(request, () => status.cluster())),
    get("/v1/cluster/health", (request) => healthReply(status, request)),
    get("/v1/ring", (request) => plain(request, () => status.ring())),
    get("/v1/ring/:bucket/*", (request) => ringOfKey(status, request)),
  ];
}

function get(path: string, handle: Handler): Route {
  return { method: "GET", path, work: "control", bodyLimitBytes: NO_BODY_BYTES, handle };
}

function plain(request: Incoming, read: () => unknown): Reply {
  const query = parseQuery(queryOf(request.raw.url), []);
  return query.kind === "failed" ? failureReply(query) : jsonReply(200, JSON.stringify(read()));
}

function ringOfKey(status: NodeStatus, request: Incoming): Reply {
  const target = keyTarget(request.raw.url, "/v1/ring/");
  if (target.kind === "failed") return failureReply(target);
  const query = parseQuery(target.query, []);
  if (query.kind === "failed") return failureReply(query);
  const { bucket } = target.name;
  return jsonReply(200, JSON.stringify({ bucket, key: target.keyText, ...status.ringOf(target.name) }));
}

/** For deploy gates: 503 exactly when some partition cannot serve at the level asked for. */
function healthReply(status: NodeStatus, request: Incoming): Reply {
  const query = parseQuery(queryOf(request.raw.url), ["consistency"]);
  if (query.kind === "failed") return failureReply(query);
  const level = query.values.get("consistency") ?? "quorum";
  if (level !== "one" && level !== "quorum" && level !== "all") {
    const rule = `consistency is one, quorum or all, not ${shown(level)}`;
    return failureReply(refusal("invalid_request", rule, { parameter: "consistency" }));
  }
  const health = status.clusterHealth(level);
  if (health.verdict !== "unavailable") return jsonReply(200, JSON.stringify({ consistency: level, ...health }));
  const failure = refusalForNow("quorum_not_met", health.reasons.join("; ") || "some partitions have no quorum");
  return failureReply({ ...failure, facts: { consistency: level, ...health } });
}
