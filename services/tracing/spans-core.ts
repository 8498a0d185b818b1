/**
 * What a traced request is told as: one span for the request, one below it for each replica that was asked. Pure. Must never name a
 * bucket, a key or a value: what leaves for a collector is kept by others.
 * Source: OpenTelemetry's trace model and its semantic conventions for HTTP servers.
 */
import type { TracedCall, TracedRequest } from "../base/trace.ts";
import { MAX_TRACED_CALLS } from "../base/trace-limits.ts";

/** A fact of a span: a text, a whole number, or a truth. */
export type AttributeValue = string | number | boolean;

/** One span. Times are microseconds since 1970. */
export interface Span {
  readonly traceId: string;
  /** 16 hex digits */
  readonly spanId: string;
  readonly parentId: string;
  readonly name: string;
  /** who it is seen from: whoever serves, whoever calls another node, or neither */
  readonly kind: "server" | "client" | "internal";
  readonly startMicros: number;
  readonly endMicros: number;
  readonly isError: boolean;
  readonly attributes: Readonly<Record<string, AttributeValue>>;
}

/** What the spans of a request cannot know by themselves. */
export interface SpanMarks {
  /** 16 fresh hex digits */
  readonly nextId: () => string;
  /** the wall clock's microseconds at a time of the monotonic clock */
  readonly microsAt: (monotonicMs: number) => number;
}

/** The spans of a request, its own first. */
export function spansOf(request: TracedRequest, marks: SpanMarks): readonly Span[] {
  const { parent, method, route, status, requestId, partition, forwardedTo, startedMs, endedMs } = request;
  const spanId = marks.nextId();
  const own: Span = {
    traceId: parent.traceId,
    spanId,
    parentId: parent.parentId,
    name: `${method} ${route}`,
    kind: "server",
    startMicros: marks.microsAt(startedMs),
    endMicros: marks.microsAt(endedMs),
    isError: status === 0 || status >= 500,
    attributes: {
      "http.request.method": method,
      "http.route": route,
      "gyre.request_id": requestId,
      ...(status === 0 ? {} : { "http.response.status_code": status }),
      ...(partition === undefined ? {} : { "gyre.partition": partition }),
      ...(forwardedTo === undefined ? {} : { "gyre.forwarded_to": forwardedTo }),
    },
  };
  const calls = request.calls.slice(0, MAX_TRACED_CALLS);
  return [own, ...calls.map((call) => callSpan(call, { own, requestEndedMs: endedMs, marks }))];
}

function callSpan(
  call: TracedCall,
  { own, requestEndedMs, marks }: { readonly own: Span; readonly requestEndedMs: number; readonly marks: SpanMarks },
): Span {
  const { node, isHere, role, slot, asked, answer, startedMs, endedMs } = call;
  return {
    traceId: own.traceId,
    spanId: marks.nextId(),
    parentId: own.spanId,
    name: `replica ${asked}`,
    kind: isHere ? "internal" : "client",
    startMicros: marks.microsAt(startedMs),
    // Who had not answered when the request was: as long as that took.
    endMicros: marks.microsAt(Math.max(startedMs, endedMs ?? requestEndedMs)),
    isError: answer !== "ok" && answer !== "pending",
    attributes: {
      "gyre.replica.node": node,
      "gyre.replica.role": role,
      "gyre.replica.slot": slot,
      "gyre.replica.answer": answer,
    },
  };
}
