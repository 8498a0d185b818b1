/** What the listener notes on the framework's own requests and replies. Must never hold what a handler needs. */
import type { Asker } from "../coordinator/contract.ts";
import type { Caller } from "../security/rights.ts";
import type { Stay } from "./entrance.ts";
import type { Timing } from "./exchange.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** whose token it carries; ask `callerOf` */
    caller: Caller | undefined;
    /** who sent it, of one that was let in */
    asker: Asker | undefined;
  }
  interface FastifyReply {
    /** what one that was let in occupies until the connection has taken the answer; undefined: it was not */
    stay: Stay | undefined;
    /** monotonic, when it was let in */
    startedMs: number;
    /** before that, for room */
    waitedMs: number;
    /** where its time went, if somebody wants to know */
    timing: Timing | undefined;
  }
}

declare module "node:http" {
  interface IncomingMessage {
    /** ms that it waited for room before it was let in; absent: it did not */
    waitedMs?: number;
  }
}

/** The serializer of what is a text already: with it the content type stays as it was set, and the framework adds no charset. */
export function asItIs(text: string): string {
  return text;
}
