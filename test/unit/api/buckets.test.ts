/** The settings of buckets over HTTP. */
import { beforeEach, describe, expect, it } from "vitest";
import { type ApiNode, apiNode } from "../../support/api-node.ts";

let here: ApiNode;
beforeEach(() => {
  here = apiNode();
});

const DEFAULTS = { n: 3, r: 2, w: 2, conflicts: "siblings", blindWrites: "overwrite", ttlSeconds: 0 };

async function send(
  method: "GET" | "PUT" | "PATCH" | "DELETE",
  url: string,
  body?: unknown,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const payload = body === undefined ? {} : { payload: typeof body === "string" ? body : JSON.stringify(body) };
  const reply = await here.api.inject({ method, url, ...payload });
  return { status: reply.statusCode, body: reply.json() };
}

describe("a bucket", () => {
  it("that was not made explicitly has the defaults", async () => {
    expect(await send("GET", "/v1/buckets/carts")).toEqual({
      status: 200,
      body: { bucket: "carts", ...DEFAULTS, explicit: false },
    });
    expect((await send("GET", "/v1/buckets")).body).toEqual({ buckets: [], defaults: DEFAULTS });
  });

  it("is made by PUT from the defaults, changed by PATCH from what holds, and forgotten by DELETE", async () => {
    const made = await send("PUT", "/v1/buckets/carts", { w: 3, conflicts: "lww" });
    expect(made).toEqual({
      status: 200,
      body: { bucket: "carts", ...DEFAULTS, w: 3, conflicts: "lww", explicit: true },
    });
    const changed = await send("PATCH", "/v1/buckets/carts", { blindWrites: "reject" });
    expect(changed.body).toEqual({
      bucket: "carts",
      ...DEFAULTS,
      w: 3,
      conflicts: "lww",
      blindWrites: "reject",
      explicit: true,
    });
    expect((await send("GET", "/v1/buckets")).body["buckets"]).toEqual([changed.body]);
    const replaced = await send("PUT", "/v1/buckets/carts", {});
    expect(replaced.body).toEqual({ bucket: "carts", ...DEFAULTS, explicit: true });
    expect((await send("DELETE", "/v1/buckets/carts")).body).toEqual({ bucket: "carts", ...DEFAULTS, explicit: false });
  });

  it.each([
    [{ n: 0 }, "invalid_request"],
    [{ n: 8 }, "invalid_request"],
    [{ n: 1.5 }, "invalid_request"],
    [{ r: "2" }, "invalid_request"],
    [{ conflicts: "merge" }, "invalid_request"],
    [{ blindWrites: true }, "invalid_request"],
    [{ ttl: 5 }, "invalid_request"],
    ['{"__proto__":{"n":1}}', "invalid_request"],
    [[], "invalid_request"],
    ["", "invalid_request"],
    ["{", "invalid_request"],
    ["null", "invalid_request"],
    [{ r: 4 }, "quorum_exceeds_n"],
    [{ n: 1 }, "quorum_exceeds_n"],
    [{ n: 2, r: 2, w: 3 }, "quorum_exceeds_n"],
  ])("refuses %j: 400 %s", async (body, code) => {
    for (const method of ["PUT", "PATCH"] as const) {
      const reply = await send(method, "/v1/buckets/carts", body);
      expect([reply.status, reply.body["code"]]).toEqual([400, code]);
    }
    expect(here.buckets.list()).toHaveLength(0);
  });

  it("tells how many members have a change", async () => {
    const settings = here.buckets.defaults();
    here.buckets.next = { kind: "changed", settings, memberCount: 2 };
    expect((await send("PUT", "/v1/buckets/b", {})).body["knownBy"]).toBe(2);
  });

  it("tells what the directory refused, and that a failed change may hold", async () => {
    here.buckets.next = { kind: "invalid", detail: "n is at most 3 here" };
    expect((await send("PUT", "/v1/buckets/b", { n: 5 })).body).toMatchObject({
      code: "invalid_request",
      detail: "n is at most 3 here",
    });
    here.buckets.next = { kind: "failed", detail: "the disk is full" };
    expect(await send("PUT", "/v1/buckets/b", { n: 3 })).toMatchObject({
      status: 503,
      body: { outcome: "unknown", retryable: true },
    });
  });

  it("takes at most 16 KiB of settings", async () => {
    expect((await send("PUT", "/v1/buckets/b", " ".repeat(17_000))).status).toBe(413);
  });
});
