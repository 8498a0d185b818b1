/**
 * What a request gets that no route took: 405 with `Allow` when the path exists, 204 for OPTIONS, else 404. Pure.
 * Must never say "not found" in the words of a missing key.
 */
import type { Incoming, Reply, Route } from "./exchange.ts";
import { refusal } from "./problem.ts";
import { failureReply } from "./reply.ts";

/** The reply to a request whose method and path no route has. O(routes). */
export function unmatchedReply(routes: readonly Route[], request: Incoming): Reply {
  const url = request.raw.url ?? "/";
  const path = url.split("?", 1)[0] ?? "/";
  const methods = [...new Set(routes.filter((route) => covers(route.path, path)).map((route) => route.method))].sort();
  if (methods.length === 0) {
    return failureReply(refusal("no_such_route", "there is no such path; GET / shows where to start"));
  }
  const allow = [...methods, "OPTIONS"].join(", ");
  if (request.raw.method === "OPTIONS") return { status: 204, headers: { allow }, body: undefined };
  return failureReply(refusal("method_not_allowed", `this path takes ${allow}`, { allow: methods }), {
    headers: { allow },
  });
}

/** Whether the router's pattern covers the path: `:name` is one segment, `*` the rest. */
function covers(pattern: string, path: string): boolean {
  const wanted = pattern.split("/");
  const given = path.split("/");
  for (const [index, part] of wanted.entries()) {
    if (part === "*") return given.length > index;
    const segment = given[index];
    if (segment === undefined || (part.startsWith(":") ? segment === "" : segment !== part)) return false;
  }
  return given.length === wanted.length;
}
