/** POST /v1/kv/{bucket}:batch. */
import { beforeEach, describe, expect, it } from "vitest";
import { MAX_BATCH_BYTES } from "../../../services/base/limits.ts";
import { type ApiNode, apiNode, applied, FakeCoordinator, found, sibling } from "../../support/api-node.ts";
import { FakeClock } from "../../support/fake-clock.ts";

let here: ApiNode;
beforeEach(() => {
  here = apiNode();
});

interface Item {
  readonly status: number;
  readonly code?: string;
  readonly [name: string]: unknown;
}

async function batch(ops: unknown, query = ""): Promise<readonly Item[]> {
  const payload = typeof ops === "string" ? ops : JSON.stringify({ ops });
  const reply = await here.api.inject({ method: "POST", url: `/v1/kv/b:batch${query}`, payload });
  expect([reply.statusCode, reply.headers["content-type"]]).toEqual([200, "application/json"]);
  return reply.json().results;
}

describe("a batch", () => {
  it("answers each operation in its place with a status of its own", async () => {
    const results = await batch([
      { op: "put", key: "a", value: { x: 1 } },
      { op: "get", key: "missing" },
      { op: "put", key: "c", base64: "AAEC", contentType: "image/png" },
      { op: "delete", key: "d" },
      { op: "get", key: "a" },
      { op: "get", key: "c" },
    ]);
    expect(results.map((one) => one.status)).toEqual([200, 404, 200, 200, 200, 200]);
    expect(results[0]).toMatchObject({ key: "a", outcome: "applied", siblings: 1 });
    expect(results[1]).toMatchObject({ code: "not_found", outcome: "not_applied" });
    expect(results[4]).toMatchObject({ key: "a", value: { x: 1 }, contentType: "application/json" });
    expect(results[5]).toMatchObject({ key: "c", base64: "AAEC", contentType: "image/png" });
  });

  it("tells its class's pace by each operation that is begun, and by no other", async () => {
    const clock = new FakeClock();
    const told: (readonly [work: string, latencyMs: number])[] = [];
    here = apiNode(clock, false, {
      limitOf: () => 64,
      reasonOf: () => "busy",
      answered: (work, latencyMs) => void told.push([work, latencyMs]),
      follow: () => undefined,
    });
    const idle = new FakeCoordinator();
    here.coordinator.answers.get = async (request) => {
      await clock.advance(30);
      return idle.get(request);
    };
    const get = { op: "get", key: "a" };
    // for the last one no time is left
    await batch([get, get, get, { op: "steal", key: "a" }, { op: "delete", key: "a" }], "?timeout=70");
    expect(told).toEqual(Array.from({ length: 3 }, () => ["write", 30]));
  });

  it("stores values exactly as they were sent", async () => {
    await batch('{"ops":[{"op":"put","key":"a","value": {"n": 12345678901234567890, "e":1e2,"s":"\\u0041]}\\"" } }]}');
    const bytes = Buffer.from(here.coordinator.puts[0]?.bytes ?? "").toString();
    expect(bytes).toBe('{"n": 12345678901234567890, "e":1e2,"s":"\\u0041]}\\"" }');
  });

  it("carries contexts and knobs", async () => {
    const [first] = await batch([{ op: "put", key: "a", value: 1 }], "?w=all&timeout=100");
    await batch([{ op: "put", key: "a", value: 2, context: first?.["context"] }]);
    expect(here.coordinator.puts[0]?.knobs).toMatchObject({ w: "all", timeoutMs: 100 });
    expect(here.coordinator.puts[1]?.context?.vector).toHaveLength(1);
    const [foreign] = await batch([{ op: "delete", key: "z", context: first?.["context"] }]);
    expect([foreign?.status, foreign?.code]).toEqual([400, "invalid_context"]);
  });

  it.each([
    [{ op: "steal", key: "a" }, "invalid_request"],
    [{ op: "get" }, "invalid_request"],
    [{ op: "get", key: 1 }, "invalid_request"],
    [{ op: "get", key: "" }, "invalid_request"],
    [{ op: "get", key: "a".repeat(1_025) }, "invalid_request"],
    [{ op: "get", key: "a\0b" }, "invalid_request"],
    [{ op: "get", key: "\ud800" }, "invalid_request"],
    [{ op: "get", key: "a", value: 1 }, "invalid_request"],
    [{ op: "get", key: "a", color: 1 }, "invalid_request"],
    [{ op: "put", key: "a" }, "invalid_request"],
    [{ op: "put", key: "a", value: 1, base64: "" }, "invalid_request"],
    [{ op: "put", key: "a", value: 1, contentType: "text/plain" }, "invalid_request"],
    [{ op: "put", key: "a", base64: "!" }, "invalid_request"],
    [{ op: "put", key: "a", base64: "AAE" }, "invalid_request"],
    [{ op: "put", key: "a", base64: "AAE=", contentType: 1 }, "invalid_request"],
    [{ op: "put", key: "a", base64: "AAE=", contentType: "application/json" }, "invalid_request"],
    [{ op: "put", key: "a", base64: "AAE=", contentType: "x\r\ny: z" }, "unsupported_media_type"],
    [{ op: "put", key: "a", value: 1, context: "nonsense" }, "invalid_context"],
    [{ op: "put", key: "a", value: "x".repeat(1_048_577) }, "value_too_large"],
    [[], "invalid_request"],
    [null, "invalid_request"],
    ["get", "invalid_request"],
  ])("refuses %j alone and runs the rest", async (op, code) => {
    const results = await batch([op, { op: "delete", key: "fine" }]);
    expect(results[0]?.code).toBe(code);
    expect(results[0]?.status).toBeGreaterThanOrEqual(400);
    expect(results[1]?.status).toBe(200);
  });

  it.each(["", "{", "[]", "null", '{"ops":{}}', '{"ops":[],"x":1}', "{}", '{"ops":1}'])(
    "refuses the body %j whole",
    async (payload) => {
      const reply = await here.api.inject({ method: "POST", url: "/v1/kv/b:batch", payload });
      expect([reply.statusCode, reply.json().code]).toEqual([400, "invalid_request"]);
    },
  );

  it("takes 128 operations and not one more, 4 MiB and not a byte more", async () => {
    const many = (count: number): unknown =>
      Array.from({ length: count }, (_, index) => ({ op: "delete", key: `k${index}` }));
    expect(await batch(many(128))).toHaveLength(128);
    const over = await here.api.inject({
      method: "POST",
      url: "/v1/kv/b:batch",
      payload: JSON.stringify({ ops: many(129) }),
    });
    expect([over.statusCode, over.json().limit]).toEqual([400, 128]);
    const fat = await here.api.inject({
      method: "POST",
      url: "/v1/kv/b:batch",
      payload: " ".repeat(MAX_BATCH_BYTES + 1),
    });
    expect(fat.json()).toMatchObject({
      status: 413,
      code: "value_too_large",
      limitBytes: MAX_BATCH_BYTES,
      sizeBytes: MAX_BATCH_BYTES + 1,
    });
    expect(await batch([])).toEqual([]);
  });

  it("runs at most 16 at a time, and operations on one key in their order", async () => {
    let running = 0;
    let most = 0;
    const order: string[] = [];
    here.coordinator.answers.put = async (request) => {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      order.push(Buffer.from(request.bytes).toString());
      return applied({ actor: 1, counter: 1 });
    };
    await batch(Array.from({ length: 100 }, (_, index) => ({ op: "put", key: `k${index % 50}`, value: index })));
    expect(most).toBe(16);
    expect(order).toHaveLength(100);
    for (let key = 0; key < 50; key += 1) {
      expect(order.indexOf(String(key))).toBeLessThan(order.indexOf(String(key + 50)));
    }
  });

  it("holds a bounded amount of answers", async () => {
    const huge = sibling("application/octet-stream", Buffer.alloc(1_048_576));
    here.coordinator.answers.get = () => found(huge, huge, huge, huge, huge, huge);
    const results = await batch(Array.from({ length: 40 }, (_, index) => ({ op: "get", key: `k${index}` })));
    const shed = results.filter((one) => one.code === "overloaded");
    expect(shed.length).toBeGreaterThan(10);
    expect(results.filter((one) => one.status === 200).length).toBeGreaterThanOrEqual(4);
  });

  it("begins no operation when its time is over, and gives each what is left of it", async () => {
    const clock = new FakeClock();
    let nowMs = 0;
    clock.monotonicMs = () => nowMs;
    here = apiNode(clock);
    here.coordinator.answers.put = async () => {
      nowMs += 60;
      return applied({ actor: 1, counter: 1 });
    };
    const ops = ["1", "2", "3"].map((value) => ({ op: "put", key: "same", value }));
    const results = await batch(ops, "?timeout=100");
    expect(here.coordinator.puts.map(({ knobs }) => knobs.timeoutMs)).toEqual([100, 40]);
    expect(results[2]).toMatchObject({ status: 503, code: "overloaded", outcome: "not_applied", retryable: true });
  });

  it("wants its own path: POST to a bucket without :batch is 404 in words", async () => {
    const reply = await here.api.inject({ method: "POST", url: "/v1/kv/b", payload: "{}" });
    expect([reply.statusCode, reply.json().code]).toEqual([404, "no_such_route"]);
    const encoded = await here.api.inject({ method: "POST", url: "/v1/kv/b%3Abatch", payload: '{"ops":[]}' });
    expect(encoded.statusCode).toBe(200);
  });
});
