/** A sampled trace on its way from a client's request to all replicas that it is asked of. */
import { describe, expect, test } from "vitest";
import { parseTraceId, type TraceId } from "../../../services/base/trace.ts";
import type { Explain, GetAnswer, WriteAnswer } from "../../../services/coordinator/contract.ts";
import { parseWrite, plainWrite } from "../../../services/coordinator/forward-request.ts";
import { FakeCluster, knobs } from "../../support/fake-cluster.ts";

const TRACE = traceId("4bf92f3577b34da6a3ce929d0e0e4736");

function traceId(text: string): TraceId {
  const id = parseTraceId(text);
  if (id === undefined) throw new TypeError(`no trace id: ${text}`);
  return id;
}

/** Each call that was sent, with the trace that it named. */
function told(cluster: FakeCluster): readonly string[] {
  return cluster.sent.map(({ to, request }) => {
    if (request.kind === "ping" || request.kind === "ask") return `${request.kind} ${to}`;
    const place = request.standIn === undefined ? "" : " standing in";
    return `${request.kind} ${to}${place} ${request.trace ?? "without"}`;
  });
}

function explained(answer: GetAnswer | WriteAnswer): Explain {
  if (answer.explain === undefined) throw new Error("nothing is explained");
  return answer.explain;
}

describe("the trace of a request", () => {
  test("is told to every replica that a read or a write asks", async () => {
    const cluster = new FakeCluster();
    await cluster.put(0, "a", { knobs: knobs({ trace: TRACE }) });
    await cluster.get(0, { knobs: knobs({ trace: TRACE, r: 3 }) });
    await cluster.clock.advance(1_000);
    expect(told(cluster).toSorted()).toEqual(
      ["digest node1", "digest node2", "store node1", "store node2"].map((call) => `${call} ${TRACE}`),
    );
  });

  test("is told to who stands in, and by the owner that another node hands the write to", async () => {
    const cluster = new FakeCluster({ nodeCount: 5, keepsHints: true });
    cluster.node(1).isAway = true;
    await cluster.put(4, "a", { knobs: knobs({ trace: TRACE }) });
    await cluster.clock.advance(1_000);
    const [handedOver, ...stores] = cluster.sent;
    expect(handedOver?.request).toMatchObject({ kind: "ask", body: { trace: TRACE } });
    expect(stores.length).toBe(2);
    expect(
      told(cluster)
        .slice(1)
        .every((call) => call.endsWith(TRACE)),
    ).toBe(true);
    expect(told(cluster).some((call) => call.includes("standing in"))).toBe(true);
  });

  test("is nowhere when there is none: not a byte, not a member", async () => {
    const cluster = new FakeCluster();
    await cluster.put(0, "a");
    await cluster.get(0);
    expect(cluster.sent.every(({ request }) => !("trace" in request))).toBe(true);
    const write = { op: "delete", name: cluster.name(), knobs: knobs(), context: undefined } as const;
    expect(plainWrite(write, { timeoutMs: 5, takesBehind: false })).not.toHaveProperty("trace");
  });

  test("of a hand-over is taken if it is one; anything else in its place is passed over", () => {
    const name = new FakeCluster().name();
    const write = { op: "delete", name, knobs: knobs({ trace: TRACE, timeoutMs: 5 }), context: undefined } as const;
    const body = plainWrite(write, { timeoutMs: 5, takesBehind: false });
    expect(parseWrite(body)).toEqual(write);
    for (const wrong of [7, null, "x", TRACE.toUpperCase(), "0".repeat(32)]) {
      expect(parseWrite({ ...body, trace: wrong })?.knobs).toEqual(knobs({ timeoutMs: 5 }));
    }
  });
});

describe("a report", () => {
  test("says when each replica was asked, after the coordinator began, and how long it took", async () => {
    const cluster = new FakeCluster({
      fateOf: (_from, to) => (to === "node1" ? { thereMs: 400, backMs: 1 } : { thereMs: 1, backMs: 2 }),
    });
    await cluster.put(0, "a");
    await cluster.clock.advance(1_000);
    const { replicas } = explained(await cluster.get(0, { knobs: knobs({ explain: true }) }));
    const times = replicas.map(({ node, askedAfterMs, latencyMs }) => ({ node, askedAfterMs, latencyMs }));
    expect(times.find(({ node }) => node === "node0")).toEqual({ node: "node0", askedAfterMs: 0, latencyMs: 0 });
    expect(times.find(({ node }) => node === "node1")).toEqual({ node: "node1", askedAfterMs: 0 });
    const hedge = times.find(({ node }) => node === "node2");
    expect(hedge?.latencyMs).toBe(3);
    expect(hedge?.askedAfterMs).toBeGreaterThan(0);
    const slow = new FakeCluster({ nodeCount: 3, fateOf: () => ({ thereMs: 300, backMs: 1 }) });
    await slow.put(0, "a");
    const hedged = explained(await slow.get(0, { knobs: knobs({ explain: true }) }));
    const asked = hedged.replicas.map(({ askedAfterMs }) => askedAfterMs);
    expect(asked.filter((ms) => ms === 0).length).toBe(2);
    expect(
      asked.some((ms) => ms !== undefined && ms > 0),
      "the hedge was asked later",
    ).toBe(hedged.hedged);
  });
});
