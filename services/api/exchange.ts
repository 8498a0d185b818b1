/**
 * The shapes between the web framework and the handlers: what a handler is given, what it answers, and the routes as
 * values. A handler never touches the framework: it returns a `Reply`, so that a batch can reuse it.
 */

import type { Asker, Explain, Failure } from "../coordinator/contract.ts";
import type { BucketRight, Caller, NodeRight } from "../security/rights.ts";

/** The part of a request that handlers may see. Header names are in lower case. */
export interface Incoming {
  readonly raw: {
    readonly url?: string | undefined;
    readonly method?: string | undefined;
    /** ms that it waited for room before it was let in; absent: it did not */
    readonly waitedMs?: number | undefined;
  };
  /** whom the request comes from; ask `callerOf`, never this */
  readonly caller?: Caller | undefined;
  /** who sent it, and may go before the answer */
  readonly asker?: Asker | undefined;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** a Buffer when there was a body, else undefined */
  readonly body: unknown;
  /** unique, also in the answer's Gyre-Request-Id */
  readonly id: string;
}

/** What is known of a request when its answer is made. Times are of the monotonic clock. */
export interface Timing {
  /** when the coordinator got it */
  readonly beganMs: number;
  /** when the coordinator had answered */
  readonly endedMs: number;
  readonly explain: Explain | undefined;
}

/** What a handler answers: all that goes onto the wire but the request id. */
export interface Reply {
  readonly status: number;
  /** lower-case names */
  readonly headers: Readonly<Record<string, string>>;
  /** text leaves in one write with the headers; bytes are never copied */
  readonly body: Buffer | string | undefined;
  /** what of it was refused for who the sender is, for the audit trail; not sent */
  readonly refused?: readonly Failure[];
  /** absent from nearly all: nobody wants to know */
  readonly timing?: Timing;
}

/** Turns a request into a reply; a rejection is a defect (500). */
export type Handler = (request: Incoming) => Reply | Promise<Reply>;

/** Which work is shed first under pressure: control last, list first (DESIGN §10). */
export type WorkClass = "control" | "write" | "read" | "list";

/**
 * Who may use a route: everybody (`open`), whoever shows any valid token (`known`), whoever has the right over the cluster
 * (`cluster`) or over the bucket that follows `prefix` in the path (`bucket`). `parts`: any valid token comes in, and the handler
 * asks for a right for each part of the request by itself.
 */
export type RouteAccess =
  | { readonly kind: "open" | "known" }
  | { readonly kind: "parts"; readonly rights: readonly BucketRight[] }
  | { readonly kind: "cluster"; readonly right: NodeRight }
  | { readonly kind: "bucket"; readonly right: BucketRight; readonly prefix: string };

/** One method of one path. */
export interface Route {
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "PATCH" | "DELETE";
  /** the router's pattern; also the route's name in metrics */
  readonly path: string;
  /** one sentence for GET /docs */
  readonly summary: string;
  /** without it a server does not start */
  readonly access: RouteAccess;
  readonly work: WorkClass;
  readonly bodyLimitBytes: number;
  /** its latency is that of one read or write, and tells how the node fares */
  readonly isOfOneKey?: boolean;
  readonly handle: Handler;
}

/** For routes that take no body: fastify wants a number above 0. */
export const NO_BODY_BYTES = 1;

/** A request of this route changes nothing, whatever becomes of it. */
export function isReading({ method }: Pick<Route, "method">): boolean {
  return method === "GET" || method === "HEAD";
}
