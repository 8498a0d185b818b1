/** What the node knows about the cluster and the ring, read only (API §4). Must never wait for another node. */
import type { PartitionHealing } from "./cluster-door.ts";
import type { ClusterReads } from "./cluster-reads.ts";
import { type Handler, type Incoming, NO_BODY_BYTES, type Reply, type Route } from "./exchange.ts";
import { isoTime } from "./iso-time.ts";
import { refusal, refusalForNow } from "./problem.ts";
import { integerOf, parseQuery, shown } from "./query.ts";
import { HEALTH_QUERY, namesOf, RING_FROM_RULE, RING_LIMIT_RULE, RING_QUERY } from "./query-rules.ts";
import { failureReply, jsonReply } from "./reply.ts";
import { keyTarget, queryOf } from "./target.ts";
import { consistencyLevelOf } from "./verdict.ts";

const RING_NAMES = namesOf(RING_QUERY);
const HEALTH_NAMES = namesOf(HEALTH_QUERY);

/** The routes of cluster and ring. */
export function clusterRoutes(reads: ClusterReads): readonly Route[] {
  return [
    get("/v1/cluster", "The cluster as this node sees it: verdict, members, moves.", (request) =>
      clusterReply(reads, request),
    ),
    get("/v1/cluster/health", "One verdict for deploy gates: 503 when a partition cannot serve.", (request) =>
      healthReply(reads, request),
    ),
    get("/v1/ring", "Who holds which partition, by pages (from, limit).", (request) => ringReply(reads, request)),
    {
      ...get("/v1/ring/:bucket/*", "Who holds a key.", (request) => ringOfKey(reads, request)),
      access: { kind: "bucket", right: "read", prefix: "/v1/ring/" },
    },
  ];
}

function get(path: string, summary: string, handle: Handler): Route {
  const access = { kind: "cluster", right: "metrics" } as const;
  return { method: "GET", path, summary, access, work: "control", bodyLimitBytes: NO_BODY_BYTES, handle };
}

function clusterReply(reads: ClusterReads, request: Incoming): Reply {
  const query = parseQuery(queryOf(request.raw.url), []);
  return query.kind === "failed" ? failureReply(query) : jsonReply(200, JSON.stringify(reads.document()));
}

/** Without `limit` the whole ring, which is some 100 KB. `next` is where the following page begins, null at the end. */
function ringReply(reads: ClusterReads, request: Incoming): Reply {
  const query = parseQuery(queryOf(request.raw.url), RING_NAMES);
  if (query.kind === "failed") return failureReply(query);
  const from = integerOf(query, "from", RING_FROM_RULE);
  if (typeof from !== "number") return failureReply(from);
  const limit = integerOf(query, "limit", RING_LIMIT_RULE);
  if (typeof limit !== "number") return failureReply(limit);
  const { ringHash, partitionCount, partitions } = reads.ring({ from, limit });
  const end = from + partitions.length;
  const next = end < partitionCount ? end : null;
  return jsonReply(200, JSON.stringify({ ringHash, partitionCount, partitions, next }));
}

function ringOfKey(reads: ClusterReads, request: Incoming): Reply {
  const target = keyTarget(request.raw.url, "/v1/ring/");
  if (target.kind === "failed") return failureReply(target);
  const query = parseQuery(target.query, []);
  if (query.kind === "failed") return failureReply(query);
  const { bucket } = target.name;
  const placement = reads.ringOf(target.name);
  const healing = "healing" in placement ? { healing: healingDocument(placement.healing) } : {};
  return jsonReply(200, JSON.stringify({ bucket, key: target.keyText, ...placement, ...healing }));
}

/** null is "never" and is said by holders alone: who holds no replica of it leaves the times out. */
function healingDocument({ isHeldHere, verified, tombstonesWaitFor }: PartitionHealing): Record<string, unknown> {
  const holders = verified.map(({ node, atMs }) => {
    if (!isHeldHere) return { node };
    return { node, lastVerifiedAt: atMs === undefined ? null : isoTime(Math.max(0, Math.round(atMs))) };
  });
  return { holders, tombstonesWaitFor: tombstonesWaitFor ?? null };
}

/** For deploy gates: 503 exactly when some partition cannot serve at the level asked for. */
function healthReply(reads: ClusterReads, request: Incoming): Reply {
  const query = parseQuery(queryOf(request.raw.url), HEALTH_NAMES);
  if (query.kind === "failed") return failureReply(query);
  const text = query.values.get("consistency") ?? "quorum";
  const level = consistencyLevelOf(text);
  if (level === undefined) {
    const rule = `consistency is one, quorum or all, not ${shown(text)}`;
    return failureReply(refusal("invalid_request", rule, { parameter: "consistency" }));
  }
  const health = reads.health(level);
  if (health.verdict !== "unavailable") return jsonReply(200, JSON.stringify({ consistency: level, ...health }));
  const failure = refusalForNow("quorum_not_met", health.reasons.join("; ") || "some partitions have no quorum");
  return failureReply({ ...failure, facts: { consistency: level, ...health } });
}
