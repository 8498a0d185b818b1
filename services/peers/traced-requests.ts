/**
 * Tells of requests of other nodes that belong to a sampled trace and failed here, or took long: so one trace id leads through the
 * logs of all replicas. Must never cost a request without a trace more than the look for one, nor name a key.
 */
import type { NodeId } from "../base/ids.ts";
import { LineBudget } from "../base/line-budget.ts";
import { MAX_REQUEST_LINES, REQUEST_LINES_EVERY_MS, SLOW_TRACED_CALL_MS } from "../base/load-limits.ts";
import type { Clock, Log } from "../base/ports.ts";
import { parseTraceId, type TraceId } from "../base/trace.ts";
import type { PeerReply, PeerRequest } from "./messages.ts";

type Reply = (reply: PeerReply) => void;

/** Refusals that say that this node is not well; others only send the coordinator elsewhere. */
const UNWELL: ReadonlySet<string> = new Set(["overloaded", "disk_full", "corrupt_record", "expired"]);

/** The trace that a request belongs to; undefined for nearly all. */
export function traceOf(request: PeerRequest): TraceId | undefined {
  if (request.kind === "ping") return undefined;
  return request.kind === "ask" ? traceInBody(request.body) : request.trace;
}

function traceInBody(body: unknown): TraceId | undefined {
  const trace: unknown = typeof body === "object" && body !== null && "trace" in body ? body.trace : undefined;
  return typeof trace === "string" ? parseTraceId(trace) : undefined;
}

/** The log of requests with a trace. */
export class TracedRequests {
  readonly #log: Log;
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #budget: LineBudget;

  constructor({ log, clock }: { readonly log: Log; readonly clock: Pick<Clock, "monotonicMs"> }) {
    this.#log = log;
    this.#clock = clock;
    this.#budget = new LineBudget(clock, { maxLines: MAX_REQUEST_LINES, everyMs: REQUEST_LINES_EVERY_MS });
  }

  /** The way back for a request, which looks what is answered and when. */
  watched(from: NodeId, request: PeerRequest, reply: Reply): Reply {
    const trace = traceOf(request);
    if (trace === undefined) return reply;
    const startedMs = this.#clock.monotonicMs();
    return (answer) => {
      reply(answer);
      const durationMs = this.#clock.monotonicMs() - startedMs;
      const reason = failureIn(answer);
      if (reason === undefined && durationMs < SLOW_TRACED_CALL_MS) return;
      const leftOut = this.#budget.take();
      if (leftOut === undefined) return;
      this.#log.warn({
        event: reason === undefined ? "peers.request-slow" : "peers.request-refused",
        kind: request.kind,
        from,
        reason,
        durationMs: Math.round(durationMs * 10) / 10,
        traceId: trace,
        ...leftOut,
      });
    };
  }
}

/** Why this node did not do what it was asked, if that is worth a line. */
function failureIn(answer: PeerReply): string | undefined {
  if (answer.kind === "failed") return "failed";
  return answer.kind === "refused" && UNWELL.has(answer.reason) ? answer.reason : undefined;
}
