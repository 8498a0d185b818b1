/** Who is told where the time of a request went, and what of it. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createApiServer } from "../../../services/api/server.ts";
import { serverTimingText } from "../../../services/api/timing.ts";
import { MetricsRegistry } from "../../../services/base/metrics.ts";
import type { TracedRequest } from "../../../services/base/trace.ts";
import type { Explain, Failure } from "../../../services/coordinator/contract.ts";
import { type ApiNode, apiNode, applied, found, node, sibling } from "../../support/api-node.ts";

const KEY = "/v1/kv/carts/alice";
const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SAMPLED = { traceparent: `00-${TRACE}-00f067aa0ba902b7-01` };
const UNSAMPLED = { traceparent: `00-${TRACE}-00f067aa0ba902b7-00` };
const OWNER = { role: "owner", zone: "z1", hint: false } as const;
const EXPLAIN: Explain = {
  partition: 7,
  ringHash: "00000000000000ff",
  coordinator: node("n1"),
  replicas: [
    { ...OWNER, node: node("n1"), slot: 0, asked: "object", answer: "ok", askedAfterMs: 0, latencyMs: 0.02 },
    { ...OWNER, node: node("n2"), slot: 1, asked: "digest", answer: "ok", askedAfterMs: 0.1, latencyMs: 1.5 },
    { ...OWNER, node: node("n3"), slot: 2, asked: "digest", answer: "pending", askedAfterMs: 0.1 },
    { ...OWNER, node: node("n4"), slot: 2, asked: "nothing", answer: "not_asked" },
  ],
  repaired: [],
  hedged: false,
};
const UNMET: Failure = {
  kind: "failed",
  code: "quorum_not_met",
  outcome: "not_applied",
  retryable: true,
  detail: "one of two owners answered",
};
const DURATION = "\\d+(?:\\.\\d{1,3})?";
const SHOWN = new RegExp(
  `^total;dur=${DURATION}, coord;dur=${DURATION}, r0;desc="n1 object ok";dur=0\\.02, r1;desc="n2 digest ok";dur=1\\.5, ` +
    'r2;desc="n3 digest pending"$',
);

let here: ApiNode;
beforeEach(() => {
  here = apiNode();
  const { answers } = here.coordinator;
  const told = (asked: { readonly knobs: { readonly explain: boolean } }) =>
    asked.knobs.explain ? { explain: EXPLAIN } : {};
  answers.get = (request) => ({ ...found(sibling("application/json", "1")), ...told(request) });
  answers.put = (request) => ({ ...applied({ actor: 1, counter: 2 }), ...told(request) });
  answers.delete = (request) => ({ ...applied({ actor: 1, counter: 2 }), ...told(request) });
});
afterEach(() => here.api.close());

const requests = [
  { method: "GET", url: KEY },
  { method: "PUT", url: KEY, payload: "1", headers: { "content-type": "application/json" } },
  { method: "DELETE", url: KEY },
] as const;

describe("Server-Timing", () => {
  test.each(requests)(
    "of a $method: the request, the coordinator, each replica, with explain=true",
    async (request) => {
      const answer = await here.api.inject({ ...request, url: `${KEY}?explain=true` });
      expect(answer.headers["server-timing"]).toMatch(SHOWN);
      expect(answer.json()).toHaveProperty("explain.partition", 7);
    },
  );

  test.each(requests)(
    "of a $method that belongs to a sampled trace; what was not asked for is not in the body",
    async (request) => {
      const plain = await here.api.inject(request);
      const headers = { ...("headers" in request ? request.headers : {}), ...SAMPLED };
      const traced = await here.api.inject({ ...request, headers });
      expect(traced.headers["server-timing"]).toMatch(SHOWN);
      expect(traced.body).toBe(plain.body);
      const { gets, puts, deletes } = here.coordinator;
      const asked = [...gets, ...puts, ...deletes].map(({ knobs }) => [knobs.explain, knobs.trace]);
      expect(asked).toEqual([
        [false, undefined],
        [true, TRACE],
      ]);
    },
  );

  test("is on no answer that nobody wants it of", async () => {
    const strange = { traceparent: "00-what-01" };
    for (const headers of [{}, UNSAMPLED, strange]) {
      expect((await here.api.inject({ url: KEY, headers })).headers).not.toHaveProperty("server-timing");
    }
    for (const { knobs } of here.coordinator.gets) expect(knobs).not.toHaveProperty("trace");
    for (const url of ["/v1/kv/carts?limit=5", "/livez", "/v1/cluster", "/metrics", `${KEY}?r=9`]) {
      expect((await here.api.inject({ url, headers: SAMPLED })).headers).not.toHaveProperty("server-timing");
    }
  });

  test("is not on a batch, whose operations are part of the trace all the same", async () => {
    const payload = JSON.stringify({ ops: [{ op: "get", key: "alice" }] });
    const headers = { ...SAMPLED, "content-type": "application/json" };
    const answer = await here.api.inject({ method: "POST", url: "/v1/kv/carts:batch", payload, headers });
    expect([answer.statusCode, answer.headers["server-timing"]]).toEqual([200, undefined]);
    expect(here.coordinator.gets.map(({ knobs }) => [knobs.explain, knobs.trace])).toEqual([[false, TRACE]]);
  });

  test("is on failures too, whose documents are as they were", async () => {
    const explained = { ...UNMET, explain: EXPLAIN };
    here.coordinator.answers.get = ({ knobs }) => (knobs.explain ? explained : UNMET);
    const traced = await here.api.inject({ url: KEY, headers: SAMPLED });
    expect([traced.statusCode, traced.headers["server-timing"]]).toEqual([503, expect.stringMatching(SHOWN)]);
    expect(traced.body).toBe((await here.api.inject({ url: KEY })).body);
  });

  test("shows nothing that a header cannot carry, whatever other nodes say, and no more than a bound", () => {
    const [one] = EXPLAIN.replicas;
    if (one === undefined) throw new Error("no replica");
    const replicas = Array.from({ length: 99 }, () => ({ ...one, answer: 'ok"\r\nset-cookie: a, "\u00e4' }));
    const text = serverTimingText(
      { beganMs: 1, endedMs: 2, explain: { ...EXPLAIN, replicas } },
      { totalMs: 3, waitedMs: 0 },
    );
    expect(text).toMatch(/^[\x20-\x7e]{1,4000}$/);
    expect(text.split(", ")).toHaveLength(30);
    expect(text.split(", ")[2]).toBe('r0;desc="n1 object ok???set-cookie? a? ??";dur=0.02');
  });
});

test("what a request waited for room is part of its time, and told apart", () => {
  const timing = { beganMs: 401, endedMs: 403, explain: undefined };
  expect(serverTimingText(timing, { totalMs: 403, waitedMs: 400 })).toBe("total;dur=403, queue;dur=400, coord;dur=2");
});

describe("a traced request", () => {
  test("is told of when it is over, with what each replica did; others are not", async () => {
    const ended: TracedRequest[] = [];
    const api = createApiServer({
      ...here.deps,
      metrics: new MetricsRegistry(),
      traces: { ended: (request) => ended.push(request) },
    });
    const url = `http://${await api.listen("127.0.0.1:0")}`;
    const ask = async (path: string, headers: Readonly<Record<string, string>>): Promise<void> => {
      await fetch(url + path, { headers }).then((answer) => answer.arrayBuffer());
    };
    await ask(KEY, SAMPLED);
    await ask(KEY, UNSAMPLED);
    await ask(KEY, {});
    await ask(`${KEY}?r=99`, SAMPLED);
    await api.close();
    expect(ended).toHaveLength(2);
    const [read, refused] = ended;
    const parent = { traceId: TRACE, parentId: "00f067aa0ba902b7", isSampled: true };
    expect(read).toMatchObject({ parent, method: "GET", route: "/v1/kv/:bucket/*", status: 200, partition: 7 });
    expect(read?.calls.map(({ node: name, isHere, asked, answer }) => [name, isHere, asked, answer])).toEqual([
      ["n1", true, "object", "ok"],
      ["n2", false, "digest", "ok"],
      ["n3", false, "digest", "pending"],
    ]);
    for (const { startedMs } of read?.calls ?? []) {
      expect(startedMs).toBeGreaterThanOrEqual(read?.startedMs ?? 0);
    }
    expect(refused).toMatchObject({ status: 400, partition: undefined, calls: [] });
    expect(JSON.stringify(ended)).not.toContain("alice");
  });
});
