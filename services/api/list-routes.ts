/** GET /v1/kv/{bucket}: the keys of a bucket in hash order, by pages (API §3). Must never answer more than `limit` keys. */
import { MAX_KEY_BYTES } from "../base/limits.ts";
import type { ListAnswer } from "../coordinator/contract.ts";
import { decodeCursor, encodeCursor, type Listing } from "./cursor.ts";
import { type Incoming, NO_BODY_BYTES, type Reply, type Route } from "./exchange.ts";
import type { ApiDependencies } from "./ports.ts";
import { refusal } from "./problem.ts";
import { integerOf, parseQuery } from "./query.ts";
import { LIST_LIMIT_RULE, LIST_QUERY, namesOf, TIMEOUT_RULE } from "./query-rules.ts";
import { failureReply, jsonReply } from "./reply.ts";
import { bucketTarget } from "./target.ts";

const PREFIX = "/v1/kv/";
const PARAMETERS = namesOf(LIST_QUERY);

/** The listing route. */
export function listRoutes(deps: Pick<ApiDependencies, "coordinator">): readonly Route[] {
  const handle = (request: Incoming): Reply | Promise<Reply> => list(deps, request);
  const summary = "Lists the keys of a bucket in hash order, by pages.";
  const access = { kind: "bucket", right: "list", prefix: PREFIX } as const;
  return [
    { method: "GET", path: "/v1/kv/:bucket", summary, access, work: "list", bodyLimitBytes: NO_BODY_BYTES, handle },
  ];
}

function list(deps: Pick<ApiDependencies, "coordinator">, request: Incoming): Reply | Promise<Reply> {
  const target = bucketTarget(request.raw.url, PREFIX);
  if (target.kind === "failed") return failureReply(target);
  const query = parseQuery(target.query, PARAMETERS);
  if (query.kind === "failed") return failureReply(query);
  const limit = integerOf(query, "limit", LIST_LIMIT_RULE);
  if (typeof limit !== "number") return failureReply(limit);
  const timeoutMs = integerOf(query, "timeout", TIMEOUT_RULE);
  if (typeof timeoutMs !== "number") return failureReply(timeoutMs);
  const { bucket } = target;
  const prefix = Buffer.from(query.values.get("prefix") ?? "");
  if (prefix.length > MAX_KEY_BYTES) {
    return failureReply(refusal("invalid_request", `prefix is over ${MAX_KEY_BYTES} bytes`, { parameter: "prefix" }));
  }
  const cursor = query.values.get("cursor");
  const listing: Listing = { bucket, prefix };
  const from = cursor === undefined ? 0n : decodeCursor(listing, cursor);
  if (from === undefined) {
    const words = "the cursor was not given for this bucket and prefix; start again without it";
    return failureReply(refusal("invalid_request", words, { parameter: "cursor" }));
  }
  return deps.coordinator.list({ bucket, limit, from, prefix, timeoutMs }).then((answer) => listReply(listing, answer));
}

function listReply(listing: Listing, answer: ListAnswer): Reply {
  if (answer.kind === "failed") return failureReply(answer);
  const keys = answer.keys.map((key) => JSON.stringify(Buffer.from(key).toString("utf8"))).join(",");
  const rest =
    answer.next === undefined ? '"complete":true' : `"cursor":"${encodeCursor(listing, answer.next)}","complete":false`;
  return jsonReply(200, `{"bucket":"${listing.bucket}","keys":[${keys}],${rest}}`);
}
