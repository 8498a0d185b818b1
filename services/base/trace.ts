/**
 * The trace that a request belongs to, as W3C's Trace Context (level 1) names it: `traceparent` is version, trace id, parent id,
 * flags. Pure. Must never make a trace up: a node only goes on with what a client began, and only when that is sampled.
 */

declare const traceIdBrand: unique symbol;
/** 32 lower-case hex digits, not all 0. */
export type TraceId = string & { readonly [traceIdBrand]: true };

/** What a client says of the trace that its request is a part of. */
export interface TraceParent {
  readonly traceId: TraceId;
  /** the client's own span, 16 hex digits */
  readonly parentId: string;
  /** somebody keeps this trace: worth some work */
  readonly isSampled: boolean;
}

/** Bytes of a trace id, on the wire between nodes. */
export const TRACE_ID_BYTES = 16;

const TRACE_PARENT = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/;
const TRACE_ID = /^(?!0{32}$)[\da-f]{32}$/;
const NO_PARENT = "0".repeat(16);
const SAMPLED = 1;

/** The trace id in `text`, or undefined when it is none. */
export function parseTraceId(text: string): TraceId | undefined {
  return TRACE_ID.test(text) ? (text as TraceId) : undefined;
}

/** The header's text; undefined when there is none or it breaks the standard, which then says to go on without it. */
export function parseTraceparent(header: string | readonly string[] | undefined): TraceParent | undefined {
  if (typeof header !== "string") return undefined;
  const [, version = "", id = "", parentId = "", flags = "", more] = TRACE_PARENT.exec(header) ?? [];
  // ff is no version, and what version 00 has ends after the flags; later ones may go on.
  if (version === "" || version === "ff" || (version === "00" && more !== undefined)) return undefined;
  const traceId = parseTraceId(id);
  if (traceId === undefined || parentId === NO_PARENT) return undefined;
  return { traceId, parentId, isSampled: (Number.parseInt(flags, 16) & SAMPLED) !== 0 };
}

/** What one replica did in a traced request. Times are of the monotonic clock. */
export interface TracedCall {
  readonly node: string;
  /** this node asked itself: no way, no network */
  readonly isHere: boolean;
  readonly role: string;
  readonly slot: number;
  /** what it was asked: `digest`, `object`, `store` */
  readonly asked: string;
  /** `ok`, `pending`, or why not */
  readonly answer: string;
  readonly startedMs: number;
  /** undefined: it had not answered when the request was */
  readonly endedMs: number | undefined;
}

/** A request of a client that belongs to a sampled trace, when it is over. */
export interface TracedRequest {
  readonly parent: TraceParent;
  readonly method: string;
  /** the pattern, never the path: keys are in that */
  readonly route: string;
  /** 0: its client went away before an answer */
  readonly status: number;
  readonly requestId: string;
  readonly startedMs: number;
  readonly endedMs: number;
  /** the key's; undefined: it got no further than the API */
  readonly partition: number | undefined;
  /** the owner that coordinated in this node's place */
  readonly forwardedTo: string | undefined;
  readonly calls: readonly TracedCall[];
}

/** Where traced requests go. */
export interface TraceSink {
  /** Takes one; returns at once, waits for nothing, never throws. */
  ended(request: TracedRequest): void;
}
