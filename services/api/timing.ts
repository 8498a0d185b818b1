/**
 * Where the time of a request for one key went: for those who ask with `explain=true`, and for sampled traces. Whoever is neither
 * costs the look at one header. Must never show more than `explain=true` would show the same client.
 * Source: W3C Server Timing; W3C Trace Context.
 */
import type { Clock } from "../base/ports.ts";
import { parseTraceparent, type TracedCall, type TraceParent, type TraceSink } from "../base/trace.ts";
import { MAX_TRACED_CALLS } from "../base/trace-limits.ts";
import type { Explain, GetAnswer, Knobs, ReplicaReport, WriteAnswer } from "../coordinator/contract.ts";
import type { Incoming, Reply, Route, Timing } from "./exchange.ts";
import type { RequestEnd } from "./request-log.ts";

/** Looks on while a request is coordinated. */
class Watch {
  /** as the coordinator is to be asked */
  readonly knobs: Knobs;
  readonly #isShown: boolean;
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #beganMs: number;

  constructor(knobs: Knobs, sampled: TraceParent | undefined, clock: Pick<Clock, "monotonicMs">) {
    this.#isShown = knobs.explain;
    this.knobs = sampled === undefined ? knobs : { ...knobs, explain: true, trace: sampled.traceId };
    this.#clock = clock;
    this.#beganMs = clock.monotonicMs();
  }

  /** The reply to a read, with its timing; `make` gets the answer as its client is to see it. */
  read(answer: GetAnswer, make: (shown: GetAnswer) => Reply): Reply {
    const { explain, ...rest } = answer;
    return this.#timed(make(this.#isShown ? answer : rest), explain);
  }

  /** The same for a write. */
  write(answer: WriteAnswer, make: (shown: WriteAnswer) => Reply): Reply {
    const { explain, ...rest } = answer;
    return this.#timed(make(this.#isShown ? answer : rest), explain);
  }

  #timed(reply: Reply, explain: Explain | undefined): Reply {
    return { ...reply, timing: { beganMs: this.#beganMs, endedMs: this.#clock.monotonicMs(), explain } };
  }
}

/** The trace that a request belongs to, if somebody keeps it. */
function sampledTraceOf({ headers }: Pick<Incoming, "headers">): TraceParent | undefined {
  const header = headers["traceparent"];
  if (header === undefined) return undefined;
  const parent = parseTraceparent(header);
  return parent?.isSampled === true ? parent : undefined;
}

/** The knobs of many requests in one: replicas are told of its trace, and nobody of its times. */
export function withTrace(knobs: Knobs, request: Incoming): Knobs {
  const sampled = sampledTraceOf(request);
  return sampled === undefined ? knobs : { ...knobs, trace: sampled.traceId };
}

/** A watch where somebody wants to know; undefined for nearly all requests. */
export function watchOf(request: Incoming, knobs: Knobs, clock: Pick<Clock, "monotonicMs">): Watch | undefined {
  const sampled = sampledTraceOf(request);
  return sampled === undefined && !knobs.explain ? undefined : new Watch(knobs, sampled, clock);
}

/** The Server-Timing header: the whole request, its wait for room, the coordinator's part, each replica that was asked; milliseconds. */
export function serverTimingText(
  { beganMs, endedMs, explain }: Timing,
  { totalMs, waitedMs }: { readonly totalMs: number; readonly waitedMs: number },
): string {
  const replicas = (explain?.replicas ?? []).filter(({ asked }) => asked !== "nothing").slice(0, MAX_TRACED_CALLS);
  const parts = replicas.map(({ node, asked, answer, latencyMs }, index) => {
    const duration = latencyMs === undefined ? "" : `;dur=${shown(latencyMs)}`;
    return `r${index};desc="${plain(`${node} ${asked} ${answer}`)}"${duration}`;
  });
  const queue = waitedMs > 0 ? [`queue;dur=${shown(waitedMs)}`] : [];
  return [`total;dur=${shown(totalMs)}`, ...queue, `coord;dur=${shown(endedMs - beganMs)}`, ...parts].join(", ");
}

/** A request that is over. */
export interface Ended {
  readonly route: Pick<Route, "method" | "path">;
  readonly request: Pick<Incoming, "headers" | "id">;
  readonly end: RequestEnd;
  readonly startedMs: number;
  readonly timing: Timing | undefined;
}

/** Tells of a request that belongs to a sampled trace, and of no other. */
export function tellTrace(traces: TraceSink, { route, request, end, startedMs, timing }: Ended): void {
  const parent = sampledTraceOf(request);
  if (parent === undefined) return;
  traces.ended({
    parent,
    method: route.method,
    route: route.path,
    status: end.status,
    requestId: request.id,
    startedMs,
    endedMs: startedMs + end.durationMs,
    partition: timing?.explain?.partition,
    forwardedTo: timing?.explain?.forwardedTo,
    calls: timing === undefined ? [] : tracedCalls(timing),
  });
}

/** What the replicas did, each at its time. */
function tracedCalls({ beganMs, explain }: Timing): readonly TracedCall[] {
  if (explain === undefined) return [];
  const { replicas, coordinator } = explain;
  return replicas.flatMap((report) => (report.asked === "nothing" ? [] : [tracedCall(report, coordinator, beganMs)]));
}

function tracedCall(report: ReplicaReport, coordinator: string, beganMs: number): TracedCall {
  const { node, role, slot, asked, answer, askedAfterMs = 0, latencyMs } = report;
  const startedMs = beganMs + askedAfterMs;
  const endedMs = latencyMs === undefined ? undefined : startedMs + latencyMs;
  return { node, isHere: node === coordinator, role, slot, asked, answer, startedMs, endedMs };
}

function shown(ms: number): string {
  return String(Math.round(ms * 1_000) / 1_000);
}

/** What another node said may be any text: a header takes few. */
function plain(text: string): string {
  return text.replace(/[^\w .-]/g, "?").slice(0, 120);
}
