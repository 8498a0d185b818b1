/** Which requests the log tells of, how many of them, and what it says. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isWorthALine, RequestLog, traceIdOf } from "../../../services/api/request-log.ts";
import { MAX_REQUEST_LINES, REQUEST_LINES_EVERY_MS, SLOW_REQUEST_MS } from "../../../services/base/load-limits.ts";
import type { Log, LogFacts } from "../../../services/base/ports.ts";
import { type ApiNode, apiNode } from "../../support/api-node.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const ROUTE = { method: "GET", path: "/v1/kv/:bucket/*" } as const;
const incoming = (headers: Readonly<Record<string, string>> = {}) => ({ raw: {}, headers, body: undefined, id: "r-1" });

describe("a request", () => {
  test("is worth a line when it failed here or was slow, and never when it went well", () => {
    const ends = [
      [200, 1],
      [200, SLOW_REQUEST_MS],
      [404, 1],
      [409, SLOW_REQUEST_MS * 3],
      [503, 1],
      [0, 1],
    ] as const;
    const told = ends.map(([status, durationMs]) => isWorthALine({ status, durationMs }));
    expect(told).toEqual([false, true, false, true, true, false]);
  });

  test("belongs to the trace that its header names, if that is one", () => {
    const idOf = (traceparent: string): string | undefined => traceIdOf(incoming({ traceparent }));
    expect(idOf(`00-${TRACE}-00f067aa0ba902b7-01`)).toBe(TRACE);
    expect(idOf(`cc-${TRACE}-00f067aa0ba902b7-01-what-comes-later`)).toBe(TRACE);
    for (const wrong of [
      "",
      TRACE,
      `00-${TRACE.toUpperCase()}-00f067aa0ba902b7-01`,
      `00-${"0".repeat(32)}-00f067aa0ba902b7-01`,
    ]) {
      expect(idOf(wrong)).toBeUndefined();
    }
    expect(traceIdOf(incoming())).toBeUndefined();
  });
});

describe("the log of requests", () => {
  const lines: LogFacts[] = [];
  const say = (facts: LogFacts): void => void lines.push(facts);
  const log: Log = { debug: say, info: say, warn: say, error: say };
  beforeEach(() => void lines.splice(0));

  test("tells route, status, time, request and trace, and no key", () => {
    const request = {
      ...incoming({ traceparent: `00-${TRACE}-00f067aa0ba902b7-01` }),
      raw: { url: "/v1/kv/b/secret" },
    };
    new RequestLog({ log, clock: new FakeClock() }).tell(ROUTE, request, { status: 503, durationMs: 12.345 });
    const route = "GET /v1/kv/:bucket/*";
    expect(lines).toEqual([
      { event: "http.failed", route, status: 503, durationMs: 12.3, requestId: "r-1", traceId: TRACE },
    ]);
    expect(JSON.stringify(lines)).not.toContain("secret");
  });

  test("is bounded, and says how many it left out", async () => {
    const clock = new FakeClock();
    const requests = new RequestLog({ log, clock });
    for (let i = 0; i < MAX_REQUEST_LINES + 7; i += 1)
      requests.tell(ROUTE, incoming(), { status: 200, durationMs: 2_000 });
    expect(lines).toHaveLength(MAX_REQUEST_LINES);
    await clock.advance(REQUEST_LINES_EVERY_MS);
    for (let i = 0; i < 2; i += 1) requests.tell(ROUTE, incoming(), { status: 200, durationMs: 2_000 });
    expect(lines.slice(-2).map(({ event, leftOutCount }) => [event, leftOutCount])).toEqual([
      ["http.slow", 7],
      ["http.slow", undefined],
    ]);
  });
});

describe("the listener", () => {
  let here: ApiNode;
  beforeEach(() => {
    here = apiNode();
  });
  afterEach(() => here.api.close());

  test("tells of a request that it could not serve, by the id that its client was given", async () => {
    const url = `http://${await here.api.listen("127.0.0.1:0")}`;
    here.coordinator.answers.get = () => ({
      kind: "failed",
      code: "quorum_not_met",
      outcome: "not_applied",
      retryable: true,
      detail: "one of two owners answered",
    });
    const failed = await fetch(`${url}/v1/kv/carts/alice`);
    await failed.arrayBuffer();
    await fetch(`${url}/livez`).then((answer) => answer.arrayBuffer());
    await here.api.close();
    const told = here.warnings.filter(({ event }) => event.startsWith("http."));
    expect(told).toMatchObject([
      { event: "http.failed", status: 503, requestId: failed.headers.get("gyre-request-id") },
    ]);
  });
});
