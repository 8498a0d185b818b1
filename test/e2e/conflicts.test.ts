/**
 * Conflicts on a real cluster: shown on every node, resolved by a third write, never lost; contexts that lie change nothing. And
 * what a collector of traces is told of such a cluster.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { factsOf, LoopbackCollector } from "../support/trace-collector.ts";
import { RealCluster } from "./cluster.ts";
import { ask, putJson, valuesOf } from "./http.ts";

let cluster: RealCluster;
let collector: LoopbackCollector;
beforeAll(async () => {
  collector = await LoopbackCollector.start();
  cluster = await RealCluster.start(3, { GYRE_OTLP_URL: collector.url });
});
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
  await collector[Symbol.asyncDispose]();
});

const at = (node: number, key: string, query = ""): string => `${cluster.url(node)}/v1/kv/carts/${key}${query}`;
const contextOf = async (node: number, key: string): Promise<string> =>
  (await ask(at(node, key))).headers.get("gyre-context") ?? "";

describe("two clients that read the same and write through different nodes", () => {
  test("both values stand as siblings on every node, and a write with the new context resolves them", async () => {
    await putJson(at(0, "alice"), { items: [] });
    const context = await contextOf(0, "alice");
    const [first, second] = await Promise.all([
      putJson(at(0, "alice"), { items: ["a"] }, { "gyre-context": context }),
      putJson(at(1, "alice"), { items: ["b"] }, { "gyre-context": context }),
    ]);
    expect([first.status, second.status]).toEqual([200, 200]);
    for (const node of [0, 1, 2]) {
      const seen = await ask(at(node, "alice"));
      expect(seen.body["value"]).toBeUndefined();
      expect(seen.headers.get("gyre-siblings")).toBe("2");
      expect(valuesOf(seen)).toEqual(['{"items":["a"]}', '{"items":["b"]}']);
    }
    const resolved = await putJson(
      at(2, "alice"),
      { items: ["a", "b"] },
      { "gyre-context": await contextOf(2, "alice") },
    );
    expect(resolved.body["siblings"]).toBe(1);
    for (const node of [0, 1, 2]) expect(valuesOf(await ask(at(node, "alice")))).toEqual(['{"items":["a","b"]}']);
  });
});

describe("blind writes", () => {
  // with w=2 the next one may be taken by the replica that has not met the last one yet, and both would stand
  test("200 sequential ones through changing nodes, each at all replicas, leave one value, the last", async () => {
    for (let i = 0; i < 200; i += 1) {
      const answer = await putJson(at((i * 7) % 3, "blind", "?w=all&timeout=10000"), { i }, {});
      expect(answer.status, answer.text).toBe(200);
    }
    for (const node of [0, 1, 2]) {
      const seen = await ask(at(node, "blind", "?r=3"));
      expect(valuesOf(seen)).toEqual(['{"i":199}']);
    }
  });
  test("three with blind=sibling leave three", async () => {
    for (let i = 0; i < 3; i += 1) await putJson(at(i, "three", "?blind=sibling"), { i });
    for (const node of [0, 1, 2])
      expect(valuesOf(await ask(at(node, "three")))).toEqual(['{"i":0}', '{"i":1}', '{"i":2}']);
  });
  test("blind=reject is 428 and says what to send", async () => {
    const answer = await putJson(at(0, "rejected", "?blind=reject"), { i: 0 });
    expect(answer.status).toBe(428);
    expect(answer.body["code"]).toBe("context_required");
    expect((await ask(at(0, "rejected"))).status).toBe(404);
  });
});

describe("a context that is not the server's own for this key", () => {
  test.each([
    ["forged", (good: string) => `${good.slice(0, -2)}${good.endsWith("AA") ? "BB" : "AA"}`],
    ["truncated", (good: string) => good.slice(0, good.length - 5)],
    ["garbage", () => "!!not a context!!"],
    ["empty", () => ""],
  ])("a %s one is 400 and changes nothing", async (_, spoil) => {
    await putJson(at(0, "guarded"), { v: 1 });
    const good = await contextOf(0, "guarded");
    const before = await ask(at(1, "guarded"));
    const answer = await putJson(at(1, "guarded"), { v: "spoiled" }, { "gyre-context": spoil(good) });
    expect(answer.status).toBe(400);
    expect(answer.body["code"]).toBe("invalid_context");
    expect(answer.body["outcome"]).toBe("not_applied");
    expect((await ask(at(1, "guarded"))).text).toBe(before.text);
  });
  test("one of another key is 400 and changes nothing", async () => {
    await putJson(at(0, "one"), { v: 1 });
    await putJson(at(0, "other"), { v: 2 });
    const foreign = await contextOf(0, "one");
    const answer = await putJson(at(0, "other"), { v: 3 }, { "gyre-context": foreign });
    expect([answer.status, answer.body["code"]]).toEqual([400, "invalid_context"]);
    expect(valuesOf(await ask(at(2, "other")))).toEqual(['{"v":2}']);
  });
});

describe("deletes", () => {
  test("a deleted key answers 404 with a context that a re-create can follow", async () => {
    await putJson(at(0, "gone"), { v: 1 });
    const context = await contextOf(1, "gone");
    const deleted = await ask(at(1, "gone"), { method: "DELETE", headers: { "gyre-context": context } });
    expect(deleted.status).toBe(200);
    const missing = await ask(at(2, "gone"));
    expect([missing.status, missing.body["code"]]).toEqual([404, "deleted"]);
    const again = await putJson(at(0, "gone"), { v: 2 }, { "gyre-context": String(missing.body["context"]) });
    expect(again.body["siblings"]).toBe(1);
    expect(valuesOf(await ask(at(1, "gone")))).toEqual(['{"v":2}']);
  });
});

describe("a write and a read of a sampled trace", () => {
  test("tell where their time went, and are told to the collector before their node has stopped; others are not", async () => {
    const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
    const traceparent = `00-${traceId}-00f067aa0ba902b7-01`;
    await putJson(at(0, "untraced"), {});
    const written = await putJson(at(0, "traced"), { secret: 1 }, { traceparent });
    const read = await ask(at(0, "traced"), { headers: { traceparent } });
    for (const { headers } of [written, read]) {
      expect(headers.get("server-timing")).toMatch(/^total;dur=[\d.]+, coord;dur=[\d.]+, r0;desc="n\d \w+ \w+"/);
    }
    expect(await cluster.stop(0)).toBe(0);
    const { spans } = collector;
    expect(spans.every((span) => span.traceId === traceId)).toBe(true);
    const requests = spans.filter(({ kind }) => kind === 2);
    expect(requests.map(({ name }) => name)).toEqual(["PUT /v1/kv/:bucket/*", "GET /v1/kv/:bucket/*"]);
    for (const { spanId } of requests) {
      const nodes = spans
        .filter((span) => span.parentSpanId === spanId)
        .map((span) => factsOf(span)["gyre.replica.node"]);
      expect(nodes.length, "replicas that were asked").toBeGreaterThanOrEqual(2);
      expect(nodes).toContain("n1");
    }
    expect(new Set(collector.posted.map(({ path }) => path))).toEqual(new Set(["/v1/traces"]));
    expect(collector.posted.some(({ text }) => /carts|secret/.test(text))).toBe(false);
  });
});
