/**
 * Which errors an operation of the client API can answer, and with which statuses: those of its own table, and those that any
 * request of its kind can meet. Pure. Must never have a pair that no client can meet: a test asks real nodes for each.
 */
import type { ErrorCode } from "../base/errors.ts";
import type { Route } from "./exchange.ts";
import type { Operation } from "./openapi-operation.ts";
import { ALL_CODES, statusesOf } from "./openapi-problems.ts";

/** The codes that an operation of this route can be answered with, in the order of the table. */
export function codesOf(route: Route, operation: Operation): readonly ErrorCode[] {
  const { access, work, method } = route;
  const codes = new Set<ErrorCode>([...operation.codes, "invalid_request", "internal_error"]);
  // Too many requests without a valid token are answered 429.
  if (access.kind !== "open") codes.add("unauthenticated").add("forbidden").add("overloaded");
  if (work !== "control") codes.add("overloaded").add("shutting_down");
  if (method !== "GET" && method !== "HEAD") codes.add("value_too_large").add("unsupported_media_type");
  // The fixed parts of a path with a name in it, written with escapes.
  if (route.path.includes(":")) codes.add("no_such_route");
  return ALL_CODES.filter((code) => codes.has(code));
}

/** The statuses with which a route gives a code. */
export function statusesAt(route: Route, code: ErrorCode): readonly number[] {
  // A head that does not end belongs to no method yet: its answer has a body, which no client of HEAD reads.
  if (code === "invalid_request" && route.method === "HEAD") return statusesOf(code).filter((one) => one !== 408);
  if (code !== "overloaded") return statusesOf(code);
  return statusesOf(code).filter((status) =>
    status === 429 ? route.access.kind !== "open" : route.work !== "control",
  );
}

/** The statuses of an operation's errors, ascending, each with the codes that it can carry. */
export function codesByStatus(
  route: Route,
  operation: Operation,
): readonly (readonly [status: number, codes: readonly ErrorCode[]])[] {
  const pairs = codesOf(route, operation).flatMap((code) =>
    statusesAt(route, code).map((status) => ({ status, code })),
  );
  const groups = Map.groupBy(pairs, ({ status }) => status);
  return [...groups]
    .toSorted(([a], [b]) => a - b)
    .map(([status, group]) => [status, group.map(({ code }) => code)] as const);
}
