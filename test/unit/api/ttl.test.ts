/** Times to live over HTTP: how they are asked for, and how answers show them. */
import { beforeEach, describe, expect, it } from "vitest";
import { MAX_TTL_SECONDS } from "../../../services/base/limits.ts";
import { type ApiNode, apiNode, applied, found, NOON_MICROS, seen, sibling } from "../../support/api-node.ts";

const NOON_MS = NOON_MICROS / 1_000;
const LATER = "2026-11-20T10:01:00.000Z";
const ending = { ...sibling("application/json", "1"), expiresAtMs: NOON_MS + 60_000 };

let here: ApiNode;
beforeEach(() => {
  here = apiNode();
});

const put = (headers: Record<string, string>): Promise<{ statusCode: number; json: () => Record<string, unknown> }> =>
  here.api.inject({ method: "PUT", url: "/v1/kv/b/k", payload: "1", headers });

describe("Gyre-TTL", () => {
  it.each([
    ["60", 60],
    ["1", 1],
    ["0", 0],
    [String(MAX_TTL_SECONDS), MAX_TTL_SECONDS],
  ])("of %s reaches the coordinator as seconds", async (header, seconds) => {
    expect((await put({ "gyre-ttl": header })).statusCode).toBe(200);
    expect(here.coordinator.puts[0]?.ttlSeconds).toBe(seconds);
  });

  it("that is not there leaves it to the bucket", async () => {
    await put({});
    expect(here.coordinator.puts[0]).not.toHaveProperty("ttlSeconds");
  });

  it.each(["-1", "1.5", "1e3", " 5x", "ten", "", String(MAX_TTL_SECONDS + 1), "99999999999"])(
    "of %j is refused in words",
    async (header) => {
      const reply = await put({ "gyre-ttl": header });
      expect(reply.statusCode).toBe(400);
      expect(reply.json()).toMatchObject({ code: "invalid_request", header: "gyre-ttl", outcome: "not_applied" });
      expect(here.coordinator.puts).toEqual([]);
    },
  );

  it("on a DELETE is refused rather than ignored", async () => {
    const reply = await here.api.inject({ method: "DELETE", url: "/v1/kv/b/k", headers: { "gyre-ttl": "5" } });
    expect([reply.statusCode, here.coordinator.deletes.length]).toEqual([400, 0]);
  });
});

describe("a batch", () => {
  const batch = async (op: unknown): Promise<Record<string, unknown>> =>
    (await here.api.inject({ method: "POST", url: "/v1/kv/b:batch", payload: JSON.stringify({ ops: [op] }) })).json()
      .results[0];

  it("takes a ttl with a put", async () => {
    expect((await batch({ op: "put", key: "k", value: 1, ttl: 30 }))["status"]).toBe(200);
    expect((await batch({ op: "put", key: "k", value: 1, ttl: 0 }))["status"]).toBe(200);
    expect(here.coordinator.puts.map((one) => one.ttlSeconds)).toEqual([30, 0]);
  });

  it.each([
    { op: "put", key: "k", value: 1, ttl: -1 },
    { op: "put", key: "k", value: 1, ttl: 1.5 },
    { op: "put", key: "k", value: 1, ttl: "30" },
    { op: "put", key: "k", value: 1, ttl: MAX_TTL_SECONDS + 1 },
    { op: "get", key: "k", ttl: 30 },
    { op: "delete", key: "k", ttl: 30 },
  ])("refuses %j", async (op) => {
    expect(await batch(op)).toMatchObject({ status: 400, code: "invalid_request", parameter: "ttl" });
  });
});

describe("an answer", () => {
  it("to a write says when the value is gone", async () => {
    here.coordinator.answers.put = () => ({ ...applied({ actor: 1, counter: 5 }), expiresAtMs: NOON_MS + 60_000 });
    expect((await put({ "gyre-ttl": "60" })).json()).toMatchObject({ outcome: "applied", expires: LATER });
    here.coordinator.answers.put = () => applied({ actor: 1, counter: 5 });
    expect((await put({})).json()).not.toHaveProperty("expires");
  });

  it("to a read says it beside the value, and of each sibling that has an end", async () => {
    here.coordinator.answers.get = () => found(ending);
    const one = await here.api.inject({ url: "/v1/kv/b/k" });
    expect(one.json()).toMatchObject({ value: 1, expires: LATER });
    expect(one.headers["gyre-expires"]).toBe(LATER);
    here.coordinator.answers.get = () => found(ending, sibling("application/json", "2", NOON_MICROS - 5));
    const both = await here.api.inject({ url: "/v1/kv/b/k" });
    expect(both.json().siblings).toMatchObject([{ expires: LATER }, { value: 2 }]);
    expect(both.json().siblings[1]).not.toHaveProperty("expires");
    expect(both.headers).not.toHaveProperty("gyre-expires");
  });

  it("of raw bytes says it in a header, which is not HTTP's own: no cache may answer until then", async () => {
    here.coordinator.answers.get = () => found(ending);
    const raw = await here.api.inject({ url: "/v1/kv/b/k?raw=true" });
    expect([raw.headers["gyre-expires"], raw.headers["expires"]]).toEqual([LATER, undefined]);
    const same = await here.api.inject({
      url: "/v1/kv/b/k",
      headers: { "if-none-match": String(raw.headers["etag"]) },
    });
    expect([same.statusCode, same.headers["gyre-expires"]]).toEqual([304, LATER]);
  });

  it("of raw bytes says it however they are asked for: by Accept, and by HEAD", async () => {
    here.coordinator.answers.get = () => found({ ...ending, contentType: "text/plain" });
    for (const asked of [
      { method: "HEAD", url: "/v1/kv/b/k?raw=true" },
      { method: "HEAD", url: "/v1/kv/b/k" },
      { method: "GET", url: "/v1/kv/b/k", headers: { accept: "text/plain" } },
      { method: "GET", url: "/v1/kv/b/k?raw=true&r=one" },
    ] as const) {
      const reply = await here.api.inject(asked);
      expect([asked, reply.statusCode, reply.headers["gyre-expires"]]).toEqual([asked, 200, LATER]);
    }
  });

  it("to a read after the end is 404 deleted, and says what happened and when", async () => {
    const context = seen({ actor: 1, counter: 5 });
    here.coordinator.answers.get = () => ({ kind: "deleted", context, expiredAtMs: NOON_MS + 60_000 });
    for (const headers of [{}, { "if-none-match": "*" }]) {
      const reply = await here.api.inject({ url: "/v1/kv/b/k", headers });
      expect(reply.statusCode).toBe(404);
      expect(reply.json()).toMatchObject({ code: "deleted", expired: LATER, context: expect.any(String) });
      expect(reply.json().detail).toContain("time to live is over");
    }
  });
});

describe("a bucket", () => {
  it("has a time to live until it is told 0 again", async () => {
    const send = async (method: "PUT" | "PATCH", body: unknown): Promise<Record<string, unknown>> =>
      (await here.api.inject({ method, url: "/v1/buckets/b", payload: JSON.stringify(body) })).json();
    expect(await send("PUT", { ttlSeconds: 3_600 })).toMatchObject({ ttlSeconds: 3_600 });
    expect(await send("PATCH", { w: 1 })).toMatchObject({ ttlSeconds: 3_600, w: 1 });
    expect(await send("PATCH", { ttlSeconds: 0 })).toMatchObject({ ttlSeconds: 0, w: 1 });
    for (const wrong of [-1, 1.5, "60", null, MAX_TTL_SECONDS + 1]) {
      expect(await send("PATCH", { ttlSeconds: wrong })).toMatchObject({ code: "invalid_request" });
    }
  });
});
