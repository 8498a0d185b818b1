/**
 * Routes of which the audit trail is told: every use of those that change settings, membership or data beside the keys, done, failed
 * or broken; and what the handler itself refused for who the sender is, by the answer's status or in its parts. Must never
 * change an answer.
 */
import type { Log } from "../base/ports.ts";
import type { Failure } from "../coordinator/contract.ts";
import { audit } from "../security/audit.ts";
import { ANYONE } from "../security/rights.ts";
import { type Incoming, isReading, type Reply, type Route } from "./exchange.ts";
import { refusal } from "./problem.ts";
import { bucketIn } from "./target.ts";

/** What the trail needs. */
export interface Trail {
  readonly log: Log;
  /** a request that was let in was refused by its handler, whole or in parts */
  readonly onRefused: (route: Route, request: Incoming, failures: readonly Failure[]) => void;
}

const WHOLE: readonly Failure[] = [refusal("forbidden", "refused by the handler")];

/** The route with the trail behind its handler; the same one when nothing of it is worth a line. */
export function auditedRoute(route: Route, trail: Trail): Route {
  const { access } = route;
  const isUseTold = access.kind === "cluster" || (access.kind === "bucket" && access.right === "admin");
  if (isReading(route) || !(isUseTold || access.kind === "parts")) return route;
  const tellUse = (request: Incoming, status: number): void => {
    const bucket = access.kind === "bucket" ? bucketIn(request.raw.url, access.prefix) : undefined;
    audit(trail.log, {
      principal: (request.caller ?? ANYONE).name,
      address: addressOf(request),
      route: `${route.method} ${route.path}`,
      right: rightOf(route),
      bucket: typeof bucket === "string" ? bucket : undefined,
      outcome: status < 400 ? "done" : "failed",
      status,
      requestId: request.id,
    });
  };
  const tell = (request: Incoming, reply: Reply): Reply => {
    const refused = reply.status === 403 ? WHOLE : reply.refused;
    if (refused !== undefined) trail.onRefused(route, request, refused);
    else if (isUseTold) tellUse(request, reply.status);
    return reply;
  };
  const tellDefect = (request: Incoming, error: unknown): never => {
    if (isUseTold) tellUse(request, 500);
    throw error;
  };
  const handle = (request: Incoming): Reply | Promise<Reply> => {
    let answer: Reply | Promise<Reply>;
    try {
      answer = route.handle(request);
    } catch (error) {
      return tellDefect(request, error);
    }
    if (!(answer instanceof Promise)) return tell(request, answer);
    return answer.then(
      (reply) => tell(request, reply),
      (error: unknown) => tellDefect(request, error),
    );
  };
  return { ...route, handle };
}

/** The right that a route asks for, or who it is for. */
export function rightOf({ access }: Route): string {
  return access.kind === "bucket" || access.kind === "cluster" ? access.right : access.kind;
}

/** Where a request comes from, `unknown` when its connection does not say. */
export function addressOf(request: Incoming): string {
  const { raw } = request;
  const socket = "socket" in raw ? raw.socket : undefined;
  const address =
    typeof socket === "object" && socket !== null && "remoteAddress" in socket ? socket.remoteAddress : "";
  return typeof address === "string" && address !== "" ? address : "unknown";
}
