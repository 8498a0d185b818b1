/** How a key travels in a path: percent-decoded exactly once, never cut, never mixed up with another. */
import { once } from "node:events";
import { request } from "node:http";
import { text } from "node:stream/consumers";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { keyTarget } from "../../../services/api/target.ts";
import { type ApiNode, apiNode } from "../../support/api-node.ts";

let here: ApiNode;
let port: number;
beforeEach(async () => {
  here = apiNode();
  port = Number((await here.api.listen("127.0.0.1:0")).split(":")[1]);
});
afterEach(() => here.api.close());

/** Sends the path as it is: `inject` would normalize it as a browser does. */
async function got(path: string): Promise<{ readonly status: number; readonly body: Record<string, unknown> }> {
  const sent = request({ port, host: "127.0.0.1", path, agent: false }).end();
  const [reply] = await once(sent, "response");
  return { status: reply.statusCode, body: JSON.parse(await text(reply)) };
}

/** The key that the coordinator was asked for, or the status. */
async function askedFor(segment: string): Promise<string | number> {
  const reply = await got(`/v1/kv/b/${segment}`);
  const asked = here.coordinator.gets[0];
  return asked === undefined ? reply.status : Buffer.from(asked.name.key).toString("utf8");
}

describe("a key in the path", () => {
  it.each([
    ["alice", "alice"],
    ["a%2Fb", "a/b"],
    ["a%2fb", "a/b"],
    ["a%252Fb", "a%2Fb"],
    ["100%25", "100%"],
    ["%25%25", "%%"],
    ["%2B+", "++"],
    ["a%20b", "a b"],
    ["a%3Fb%23c%3Bd", "a?b#c;d"],
    ["a;b=c,d:e@f&g$h!i'j(k)l*m", "a;b=c,d:e@f&g$h!i'j(k)l*m"],
    ["%E6%97%A5%E6%9C%AC", "日本"],
    ["%F0%9F%90%98", "🐘"],
    ["%C3%BC", "ü"],
    ["..%2F..%2Fetc", "../../etc"],
    ["%2E%2E", ".."],
    ["%7e", "~"],
    ["%0A", "\n"],
    ["%7F", "\x7f"],
    [":batch", ":batch"],
    ["__proto__", "__proto__"],
    ["a".repeat(1_024), "a".repeat(1_024)],
  ])("%s names %j", async (segment, key) => {
    expect(await askedFor(segment)).toBe(key);
  });

  it("may be 1024 bytes long in escapes of three characters each, and not one more", async () => {
    const key = "日".repeat(341) + "a";
    expect(await askedFor(encodeURIComponent(key))).toBe(key);
    const reply = await here.api.inject({ url: `/v1/kv/b/${"%C3%BC".repeat(513)}` });
    expect(reply.statusCode).toBe(400);
    expect(reply.json()).toMatchObject({
      code: "invalid_request",
      parameter: "key",
      limitBytes: 1_024,
      sizeBytes: 1_026,
    });
  });

  it.each(["%ff", "%zz", "%", "%2", "a%", "%C3", "%C3%28", "%ED%A0%80", "%C0%AF", "%00", "a%00b", ""])(
    "%j is no key: 400 in words",
    async (segment) => {
      const reply = await got(`/v1/kv/b/${segment}`);
      expect([reply.status, reply.body["code"]]).toEqual([400, "invalid_request"]);
      expect(String(reply.body["detail"]).length).toBeGreaterThan(10);
      expect(here.coordinator.gets).toHaveLength(0);
    },
  );

  it("with a bare slash is refused and told how to write it", async () => {
    const reply = await here.api.inject({ url: "/v1/kv/b/a/b" });
    expect([reply.statusCode, reply.json().code]).toEqual([400, "invalid_request"]);
    expect(reply.json().detail).toContain("%2F");
  });

  it("any text comes through encodeURIComponent unchanged", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1, maxLength: 200 }), (key) => {
        fc.pre(key.isWellFormed() && !key.includes("\0") && Buffer.byteLength(key) <= 1_024);
        const target = keyTarget(`/v1/kv/b/${encodeURIComponent(key)}?r=1`, "/v1/kv/");
        expect(target).toMatchObject({ kind: "key", keyText: key, query: "r=1" });
        expect(target.kind === "key" && Buffer.from(target.name.key).toString()).toBe(key);
      }),
      { numRuns: 2_000 },
    );
  });

  it("bytes that curl sends unescaped are the same key as their escapes", () => {
    const raw = Buffer.from("/v1/kv/b/ключ").toString("latin1");
    const target = keyTarget(raw, "/v1/kv/");
    expect(target.kind === "key" && target.keyText).toBe("ключ");
  });

  it.each(["\xff", "a\x80b", "\xc3"])("bytes sent unescaped that are not UTF-8 (case %#) are no key", (segment) => {
    expect(keyTarget(`/v1/kv/b/${segment}`, "/v1/kv/")).toMatchObject({ kind: "failed", code: "invalid_request" });
  });

  it("a # is refused, never taken for the end of the key", () => {
    expect(keyTarget("/v1/kv/b/a#b", "/v1/kv/")).toMatchObject({ kind: "failed", code: "invalid_request" });
  });

  it("the absolute form that proxies send names the same key", () => {
    const target = keyTarget("http://host:1/v1/kv/b/k?r=1", "/v1/kv/");
    expect(target.kind === "key" && [target.keyText, target.query]).toEqual(["k", "r=1"]);
  });
});

describe("a bucket in the path", () => {
  it.each(["B", "-a", "_a", ".a", "a%2Fb", "a b", "a".repeat(64), "%ff", "ü", ""])(
    "%j is none: 400 with the rule",
    async (name) => {
      for (const url of [`/v1/kv/${name}/k`, `/v1/buckets/${name}`]) {
        const reply = await here.api.inject({ url });
        if (name === "" && reply.statusCode === 404) continue;
        expect([url, reply.statusCode, reply.json().code]).toEqual([url, 400, "invalid_request"]);
      }
    },
  );

  it.each(["a", "0", "a.b_c-d", "a".repeat(63), "%61"])("%j is one", async (name) => {
    expect((await here.api.inject({ url: `/v1/kv/${name}/k` })).json().code).toBe("not_found");
  });
});
