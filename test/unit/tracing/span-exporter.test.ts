/** Traced requests on their way to a collector: what it is told, how often, and what becomes of what it does not take. */
import { beforeEach, describe, expect, test } from "vitest";
import type { CollectorWord, Log, LogFacts, TraceCollector } from "../../../services/base/ports.ts";
import { parseTraceparent, type TracedCall, type TracedRequest } from "../../../services/base/trace.ts";
import {
  COLLECTOR_RETRY_MAX_MS,
  COLLECTOR_RETRY_MIN_MS,
  MAX_QUEUED_SPANS,
  MAX_SPANS_PER_BATCH,
  MAX_TRACED_CALLS,
  SPANS_EVERY_MS,
  SPANS_FLUSH_MS,
} from "../../../services/base/trace-limits.ts";
import { SpanExporter } from "../../../services/tracing/span-exporter.ts";
import { SimRandom } from "../../sim/sim-random.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { factsOf, type PlainSpan, spansIn } from "../../support/trace-collector.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = "00f067aa0ba902b7";
const CALL: TracedCall = {
  node: "n2",
  isHere: false,
  role: "owner",
  slot: 1,
  asked: "digest",
  answer: "ok",
  startedMs: 12,
  endedMs: 15.5,
};

function traced(more: Partial<TracedRequest> = {}): TracedRequest {
  const parent = parseTraceparent(`00-${TRACE}-${PARENT}-01`);
  if (parent === undefined) throw new TypeError("no trace");
  const at = { startedMs: 10, endedMs: 20 };
  const about = { method: "GET", route: "/v1/kv/:bucket/*", status: 200, requestId: "r-1" };
  return { parent, ...about, ...at, partition: 7, forwardedTo: undefined, calls: [], ...more };
}

/** A collector that answers as told, and keeps what it took. */
class FakeCollector implements TraceCollector {
  readonly sent: string[] = [];
  word: CollectorWord = { kind: "taken" };
  /** undefined: answers at once */
  pending: ((word: CollectorWord) => void)[] | undefined;
  isClosed = false;

  send(body: string): Promise<CollectorWord> {
    this.sent.push(body);
    if (this.pending === undefined) return Promise.resolve(this.word);
    return new Promise((resolve) => this.pending?.push(resolve));
  }

  close(): void {
    this.isClosed = true;
  }
}

const lines: LogFacts[] = [];
const say = (facts: LogFacts): void => void lines.push(facts);
const log: Log = { debug: say, info: say, warn: say, error: say };
let clock: FakeClock;
let collector: FakeCollector;
let exporter: SpanExporter;
beforeEach(() => {
  lines.splice(0);
  clock = new FakeClock();
  collector = new FakeCollector();
  exporter = exporterTo(collector);
});

function exporterTo(to: TraceCollector): SpanExporter {
  const resource = { "service.name": "gyre", "service.instance.id": "n1" };
  return new SpanExporter({ collector: to, clock, random: new SimRandom("spans"), log, resource });
}

function events(): readonly string[] {
  return lines.map(({ event }) => event);
}

describe("a traced request", () => {
  async function toldOf(request: TracedRequest): Promise<readonly PlainSpan[]> {
    await clock.advance(1_000);
    exporter.ended(request);
    await clock.advance(SPANS_EVERY_MS);
    return collector.sent.flatMap(spansIn);
  }

  test("is a span below the client's own, with one below it for each replica, at the times of the wall clock", async () => {
    const wallMicros = clock.wallMicros();
    const here: TracedCall = {
      ...CALL,
      node: "n1",
      isHere: true,
      slot: 0,
      asked: "object",
      startedMs: 11,
      endedMs: 11,
    };
    const [own, local, remote, ...more] = await toldOf(traced({ calls: [here, CALL] }));
    expect(more).toEqual([]);
    const at = (ms: number): string => `${wallMicros + ms * 1_000}000`;
    expect(own).toMatchObject({ traceId: TRACE, parentSpanId: PARENT, name: "GET /v1/kv/:bucket/*", kind: 2 });
    expect(own).toMatchObject({ startTimeUnixNano: at(10), endTimeUnixNano: at(20) });
    expect(own).not.toHaveProperty("status");
    expect(factsOf(own ?? { attributes: [] })).toEqual({
      "http.request.method": "GET",
      "http.route": "/v1/kv/:bucket/*",
      "http.response.status_code": "200",
      "gyre.request_id": "r-1",
      "gyre.partition": "7",
    });
    expect(local).toMatchObject({ traceId: TRACE, parentSpanId: own?.spanId, name: "replica object", kind: 1 });
    expect(remote).toMatchObject({ parentSpanId: own?.spanId, name: "replica digest", kind: 3 });
    expect(remote).toMatchObject({ startTimeUnixNano: at(12), endTimeUnixNano: at(15.5) });
    expect(factsOf(remote ?? { attributes: [] })).toMatchObject({
      "gyre.replica.node": "n2",
      "gyre.replica.answer": "ok",
    });
    const ids = [own, local, remote].map((span) => span?.spanId ?? "");
    expect(new Set(ids).size).toBe(3);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{16}$/);
  });

  test("says who sends, once a message, in the form that the specification gives it", async () => {
    await toldOf(traced());
    const [message = ""] = collector.sent;
    expect(JSON.parse(message)).toMatchObject({
      resourceSpans: [
        {
          resource: {
            attributes: [
              { key: "service.name", value: { stringValue: "gyre" } },
              { key: "service.instance.id", value: { stringValue: "n1" } },
            ],
          },
          scopeSpans: [{ scope: { name: "gyre" }, spans: [{ traceId: TRACE }] }],
        },
      ],
    });
  });

  test.each([
    [200, [], undefined],
    [404, [], undefined],
    [503, [], 2],
    [0, [], 2],
    [200, [{ ...CALL, answer: "timeout" }], undefined],
  ])("with status %s is an error where this node failed, or nobody was there any more", async (status, calls, code) => {
    const [own, call] = await toldOf(traced({ status, calls }));
    expect(own?.status?.code).toBe(code);
    expect(call?.status?.code).toBe(calls.length === 0 ? undefined : 2);
  });

  test("shows a replica that had not answered as long as the request took, and not as an error", async () => {
    const [, call] = await toldOf(traced({ calls: [{ ...CALL, answer: "pending", endedMs: undefined }] }));
    expect(call?.endTimeUnixNano).toBe((await toldOf(traced()))[0]?.endTimeUnixNano);
    expect(call).not.toHaveProperty("status");
  });

  test("has a bounded number of replicas, whatever another node reports", async () => {
    const spans = await toldOf(traced({ calls: Array.from({ length: 500 }, () => CALL) }));
    expect(spans).toHaveLength(1 + MAX_TRACED_CALLS);
  });
});

describe("spans", () => {
  test("wait for others for a second, and for none once there is a message full of them", async () => {
    exporter.ended(traced());
    await clock.advance(SPANS_EVERY_MS - 1);
    expect(collector.sent).toHaveLength(0);
    exporter.ended(traced());
    await clock.advance(1);
    expect(collector.sent.map((text) => spansIn(text).length)).toEqual([2]);
    for (let i = 0; i < MAX_SPANS_PER_BATCH; i += 1) exporter.ended(traced());
    await clock.advance(0);
    expect(collector.sent.map((text) => spansIn(text).length)).toEqual([2, MAX_SPANS_PER_BATCH]);
    expect([exporter.sentCount, exporter.queuedCount]).toEqual([MAX_SPANS_PER_BATCH + 2, 0]);
  });

  test("are one message at a time: a slow collector holds up nobody, and what does not fit is counted", async () => {
    collector.pending = [];
    const total = 2 * MAX_QUEUED_SPANS;
    for (let i = 0; i < total; i += 1) exporter.ended(traced());
    await clock.advance(60_000);
    expect(collector.sent).toHaveLength(1);
    expect(exporter.queuedCount).toBe(MAX_QUEUED_SPANS);
    expect(exporter.dropped).toEqual({ queue_full: total - MAX_QUEUED_SPANS, refused: 0, stopped: 0 });
    const [answer] = collector.pending;
    collector.pending = undefined;
    answer?.({ kind: "taken" });
    await clock.advance(SPANS_EVERY_MS);
    expect([exporter.queuedCount, exporter.sentCount]).toEqual([0, MAX_QUEUED_SPANS]);
  });

  test("of one request come together or not at all", () => {
    for (let i = 0; i < MAX_QUEUED_SPANS - 1; i += 1) exporter.ended(traced());
    exporter.ended(traced({ calls: [CALL] }));
    expect([exporter.queuedCount, exporter.dropped.queue_full]).toEqual([MAX_QUEUED_SPANS - 1, 2]);
  });

  test("are kept while the collector is away, tried ever more seldom, and told once it is back; the log hears of both once", async () => {
    collector.word = { kind: "later", reason: "connect ECONNREFUSED" };
    exporter.ended(traced());
    await clock.advance(SPANS_EVERY_MS);
    const triedAtMs: number[] = [];
    for (let ms = 0; ms < 150_000; ms += 100) {
      const before = collector.sent.length;
      await clock.advance(100);
      if (collector.sent.length > before) triedAtMs.push(ms + 100);
    }
    const pauses = triedAtMs.map((ms, at) => ms - (triedAtMs[at - 1] ?? 0));
    expect(pauses.slice(0, 3)).toEqual([1, 2, 4].map((factor) => factor * COLLECTOR_RETRY_MIN_MS));
    expect(Math.max(...pauses)).toBe(COLLECTOR_RETRY_MAX_MS);
    expect([exporter.queuedCount, exporter.sentCount]).toEqual([1, 0]);
    collector.word = { kind: "taken" };
    await clock.advance(COLLECTOR_RETRY_MAX_MS);
    expect([exporter.queuedCount, exporter.sentCount]).toEqual([0, 1]);
    expect(events()).toEqual(["tracing.collector-away", "tracing.collector-back"]);
  });

  test("that the collector refuses for good are dropped and counted, and the next ones are told", async () => {
    collector.word = { kind: "refused", status: 401 };
    exporter.ended(traced());
    await clock.advance(SPANS_EVERY_MS);
    expect(exporter.dropped.refused).toBe(1);
    expect(lines).toEqual([{ event: "tracing.collector-refused", status: 401 }]);
    collector.word = { kind: "taken" };
    exporter.ended(traced());
    await clock.advance(SPANS_EVERY_MS);
    expect([exporter.sentCount, exporter.queuedCount]).toEqual([1, 0]);
  });
});

describe("a stop", () => {
  test("sends what waits, and takes no more", async () => {
    for (let i = 0; i < MAX_SPANS_PER_BATCH + 3; i += 1) exporter.ended(traced());
    await exporter.stop();
    expect(collector.sent.flatMap(spansIn)).toHaveLength(MAX_SPANS_PER_BATCH + 3);
    exporter.ended(traced());
    expect([exporter.queuedCount, exporter.dropped.stopped, collector.isClosed]).toEqual([0, 1, true]);
    expect(lines).toEqual([]);
  });

  test("waits no longer than its bound for a collector that is silent, and says what was lost", async () => {
    collector.pending = [];
    for (let i = 0; i < 5; i += 1) exporter.ended(traced());
    let isOver = false;
    const stopped = exporter.stop().then(() => {
      isOver = true;
    });
    await clock.advance(SPANS_FLUSH_MS - 1);
    expect(isOver).toBe(false);
    await clock.advance(1);
    await stopped;
    expect(collector.isClosed).toBe(true);
    expect(lines).toEqual([{ event: "tracing.spans-dropped", reason: "stopped", spanCount: 5 }]);
  });

  test("does not try again what the collector does not take now", async () => {
    collector.word = { kind: "later", reason: "status 503" };
    exporter.ended(traced());
    await exporter.stop();
    expect([collector.sent.length, exporter.dropped.stopped]).toEqual([1, 1]);
  });
});
