/** The operations on cluster, ring and node, one line for each route (API §4). Pure. Must never repeat what a rule or limit says. */
import type { ErrorCode } from "../base/errors.ts";
import { METRICS_ACCESS } from "./health-routes.ts";
import { type Answer, json, type Operation, ok } from "./openapi-operation.ts";
import { refTo, type Schema } from "./openapi-schema.ts";
import { HEALTH_QUERY, PROBE_QUERY, REPAIR_QUERY, RING_QUERY } from "./query-rules.ts";

const PLAIN = "text/plain; charset=utf-8";
const HTML = "text/html; charset=utf-8";
const TEXT: Schema = { type: "string" };

/** A page: HTML for browsers, text for everybody else. */
function page(meaning: string, mediaType: string): Answer {
  const content = [mediaType, HTML].map((one) => ({ mediaType: one, schema: TEXT }));
  return { status: 200, meaning, content };
}

const READS: readonly Operation[] = [
  {
    id: "getCluster",
    method: "GET",
    path: "/v1/cluster",
    tag: "Cluster",
    query: [],
    answers: [ok("All that this node knows, from memory.", refTo("Cluster"))],
    codes: [],
  },
  {
    id: "getClusterHealth",
    method: "GET",
    path: "/v1/cluster/health",
    tag: "Cluster",
    query: HEALTH_QUERY,
    answers: [
      ok("Every partition can serve at that level.", refTo("ClusterHealth"), {
        consistency: "quorum",
        verdict: "healthy",
        reasons: [],
        partitionsWithoutQuorum: 0,
      }),
    ],
    codes: ["quorum_not_met"],
  },
  {
    id: "getRing",
    method: "GET",
    path: "/v1/ring",
    tag: "Cluster",
    query: RING_QUERY,
    answers: [ok("Partitions in ascending order.", refTo("Ring"))],
    codes: [],
  },
  {
    id: "getKeyPlacement",
    method: "GET",
    path: "/v1/ring/:bucket/*",
    tag: "Cluster",
    description: "Also for a key that does not exist.",
    query: [],
    answers: [ok("The key's partition and who holds it.", refTo("KeyPlacement"))],
    codes: [],
  },
];

/** One that changes membership: POST with a JSON body. */
function change(
  id: string,
  what: {
    readonly path: string;
    readonly body: string;
    readonly isRequired: boolean;
    readonly answer: Answer;
    readonly codes: readonly ErrorCode[];
    readonly example?: unknown;
    readonly description?: string;
  },
): Operation {
  const { path, body, isRequired, answer, codes, example, description } = what;
  return {
    id,
    method: "POST",
    path: `/v1/cluster/${path}`,
    tag: "Cluster",
    ...(description === undefined ? {} : { description }),
    query: [],
    body: { isRequired, content: json(refTo(body), example) },
    answers: [answer],
    codes,
  };
}

const CHANGES: readonly Operation[] = [
  change("planChanges", {
    path: "plan",
    body: "PlanRequest",
    isRequired: true,
    example: { changes: [{ kind: "join", node: "n4" }] },
    answer: ok("What would come of it; nothing has been done.", refTo("Plan")),
    codes: ["not_ready"],
  }),
  change("commitPlan", {
    path: "commit",
    body: "CommitRequest",
    isRequired: true,
    example: { planHash: "00112233445566aa" },
    description: "Durable when it is answered. Slots move from then on; GET /v1/cluster shows how far they are.",
    answer: ok("What was committed.", refTo("Committed")),
    codes: ["plan_changed", "change_refused", "not_ready"],
  }),
  change("abortChanges", {
    path: "abort",
    body: "AbortRequest",
    isRequired: false,
    example: { node: "n4" },
    description: "Without a node all joins and leaves are taken back. Slots that have moved are moved back.",
    answer: ok("The nodes that it concerned, and what they are now.", refTo("Aborted")),
    codes: ["change_refused", "not_ready"],
  }),
  change("leaveCluster", {
    path: "leave",
    body: "LeaveRequest",
    isRequired: false,
    description: "The process runs on until it holds no slot.",
    answer: ok("This node is leaving.", refTo("Leaving")),
    codes: ["change_refused", "not_ready"],
  }),
  {
    id: "repair",
    method: "POST",
    path: "/v1/repair",
    tag: "Cluster",
    description:
      "Exactly one of wait, all, partition, bucket and scrub says what to do. A page of another site may not order it.",
    query: REPAIR_QUERY,
    answers: [ok("It is done.", refTo("Repaired"))],
    codes: ["not_finished"],
  },
];

type Probe = Pick<Operation, "path" | "id" | "description" | "codes">;

function probe(more: Probe): Operation {
  return {
    ...more,
    method: "GET",
    tag: "Node",
    query: PROBE_QUERY,
    answers: [{ status: 200, meaning: "All is well.", content: [{ mediaType: PLAIN, schema: TEXT, example: "ok\n" }] }],
  };
}

const NODE: readonly Operation[] = [
  probe({
    path: "/livez",
    id: "getLivez",
    description: "For liveness probes: 503 when the process should have ended, and has not.",
    codes: ["not_ready"],
  }),
  probe({
    path: "/readyz",
    id: "getReadyz",
    description: "For readiness probes. It says nothing of other nodes: in a split every side stays ready.",
    codes: ["not_ready"],
  }),
  probe({
    path: "/startupz",
    id: "getStartupz",
    description:
      "For startup probes. A node listens once its store has recovered: until then it answers nothing at all.",
    codes: [],
  }),
  {
    id: "getMetrics",
    method: "GET",
    path: "/metrics",
    tag: "Node",
    description:
      "Prometheus' text format, base units. A node may be told to ask for no token here. Query parameters are ignored.",
    access: METRICS_ACCESS,
    query: [],
    answers: [
      {
        status: 200,
        meaning: "Every metric with its help.",
        content: [{ mediaType: "text/plain; version=0.0.4; charset=utf-8", schema: TEXT }],
      },
    ],
    codes: [],
  },
  {
    id: "getFront",
    method: "GET",
    path: "/",
    tag: "Node",
    description: "A short text for curl, a page for browsers. Query parameters are ignored.",
    query: [],
    answers: [page("The verdict on this node and the cluster, and three lines to try.", PLAIN)],
    codes: [],
  },
  {
    id: "getOpenApi",
    method: "GET",
    path: "/openapi.json",
    tag: "Node",
    description: "The same on every node of a version. Query parameters are ignored.",
    query: [],
    answers: [ok("This document (OpenAPI 3.1).", { type: "object" })],
    codes: [],
  },
  {
    id: "getDocs",
    method: "GET",
    path: "/docs",
    tag: "Node",
    description: "Markdown for curl, a page for browsers. Query parameters are ignored.",
    query: [],
    answers: [page("This document for people.", "text/markdown; charset=utf-8")],
    codes: [],
  },
  {
    id: "getErrorDocs",
    method: "GET",
    path: "/docs/errors",
    tag: "Node",
    description: "What `type` in a problem document points to. Query parameters are ignored.",
    query: [],
    answers: [page("Every code: what it means, and what became of the request.", "text/markdown; charset=utf-8")],
    codes: [],
  },
];

/** One line for each route on cluster and node. */
export const CLUSTER_OPERATIONS: readonly Operation[] = [...READS, ...CHANGES, ...NODE];
