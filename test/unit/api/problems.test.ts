/** Every status and code of API §3's table, and the shape of the documents. */
import { beforeEach, describe, expect, it } from "vitest";
import { CODES } from "../../../services/api/problem.ts";
import type { ErrorCode } from "../../../services/base/errors.ts";
import type { Failure } from "../../../services/coordinator/contract.ts";
import { type ApiNode, apiNode, node } from "../../support/api-node.ts";

let here: ApiNode;
beforeEach(() => {
  here = apiNode();
});

const TABLE: readonly (readonly [ErrorCode, number])[] = [
  ["invalid_request", 400],
  ["invalid_context", 400],
  ["quorum_exceeds_n", 400],
  ["unauthenticated", 401],
  ["forbidden", 403],
  ["not_found", 404],
  ["deleted", 404],
  ["no_such_route", 404],
  ["method_not_allowed", 405],
  ["siblings", 409],
  ["change_refused", 409],
  ["plan_changed", 409],
  ["value_too_large", 413],
  ["too_many_siblings", 413],
  ["unsupported_media_type", 415],
  ["context_required", 428],
  ["overloaded", 503],
  ["quorum_not_met", 503],
  ["not_ready", 503],
  ["stale", 503],
  ["shutting_down", 503],
  ["not_finished", 504],
  ["disk_full", 507],
  ["internal_error", 500],
];

describe("the table of codes", () => {
  it("is complete", () => {
    expect(TABLE.map(([code]) => code).toSorted()).toEqual(Object.keys(CODES).toSorted());
  });

  it.each(TABLE)("maps %s to %i with a whole problem document", async (code, status) => {
    const failure: Failure = {
      kind: "failed",
      code,
      outcome: "unknown",
      retryable: true,
      detail: "in words",
      facts: { limit: 7 },
    };
    here.coordinator.answers.put = () => failure;
    here.coordinator.answers.get = () => failure;
    here.coordinator.answers.delete = () => failure;
    here.coordinator.answers.list = () => failure;
    const requests = [
      { method: "PUT", url: "/v1/kv/b/k", payload: "1", headers: { "content-type": "application/json" } },
      { method: "GET", url: "/v1/kv/b/k" },
      { method: "DELETE", url: "/v1/kv/b/k" },
      { method: "GET", url: "/v1/kv/b" },
    ] as const;
    for (const request of requests) {
      const reply = await here.api.inject(request);
      expect(reply.statusCode).toBe(status);
      expect(reply.headers["content-type"]).toBe("application/problem+json");
      expect(reply.headers["retry-after"]).toBe(status === 503 ? "1" : undefined);
      expect(reply.json()).toEqual({
        type: `/docs/errors#${code}`,
        title: CODES[code].title,
        status,
        code,
        outcome: "unknown",
        retryable: true,
        detail: "in words",
        limit: 7,
      });
    }
  });

  it("has a page behind every type", async () => {
    const page = await here.api.inject({ url: "/docs/errors", headers: { accept: "text/html" } });
    const text = await here.api.inject({ url: "/docs/errors" });
    for (const [code, status] of TABLE) {
      expect(page.body).toContain(`id="${code}"`);
      expect(text.body).toMatch(new RegExp(`^## ${code}\n\n${status}[.,]`, "m"));
    }
  });
});

describe("a quorum that was not met", () => {
  it("tells required, received, the reasons of each replica, and the outcome", async () => {
    const replica = {
      node: node("n2"),
      role: "owner",
      slot: 1,
      zone: "z",
      asked: "store",
      answer: "timeout",
      hint: false,
    } as const;
    here.coordinator.answers.put = () => ({
      kind: "failed",
      code: "quorum_not_met",
      outcome: "unknown",
      retryable: true,
      detail: "1 of 2",
      required: 2,
      received: 1,
      replicas: [replica],
    });
    const reply = await here.api.inject({ method: "PUT", url: "/v1/kv/b/k", payload: "x" });
    expect(reply.statusCode).toBe(503);
    expect(reply.json()).toMatchObject({ required: 2, received: 1, outcome: "unknown", replicas: [replica] });
  });

  it("never lets facts hide the fixed members", async () => {
    const facts = { status: 200, code: "fine", outcome: "applied" };
    here.coordinator.answers.get = () => ({
      kind: "failed",
      code: "stale",
      outcome: "not_applied",
      retryable: true,
      detail: "d",
      facts,
    });
    expect((await here.api.inject({ url: "/v1/kv/b/k" })).json()).toMatchObject({
      status: 503,
      code: "stale",
      outcome: "not_applied",
    });
  });
});

describe("paths and methods", () => {
  it.each([
    ["POST", "/v1/kv/b/k", "DELETE, GET, HEAD, PUT, OPTIONS"],
    ["PATCH", "/v1/kv/b/k", "DELETE, GET, HEAD, PUT, OPTIONS"],
    ["PUT", "/v1/kv/b", "GET, HEAD, POST, OPTIONS"],
    ["POST", "/v1/buckets", "GET, HEAD, OPTIONS"],
    ["POST", "/v1/buckets/b", "DELETE, GET, HEAD, PATCH, PUT, OPTIONS"],
    ["DELETE", "/livez", "GET, HEAD, OPTIONS"],
    ["PUT", "/readyz?verbose", "GET, HEAD, OPTIONS"],
    ["POST", "/startupz", "GET, HEAD, OPTIONS"],
    ["POST", "/metrics", "GET, HEAD, OPTIONS"],
    ["POST", "/", "GET, HEAD, OPTIONS"],
    ["DELETE", "/v1/cluster", "GET, HEAD, OPTIONS"],
    ["DELETE", "/v1/ring", "GET, HEAD, OPTIONS"],
    ["DELETE", "/v1/ring/b/k", "GET, HEAD, OPTIONS"],
    ["DELETE", "/v1/cluster/health", "GET, HEAD, OPTIONS"],
    ["GET", "/v1/cluster/plan", "POST, OPTIONS"],
    ["PUT", "/v1/cluster/commit", "POST, OPTIONS"],
    ["GET", "/v1/cluster/abort", "POST, OPTIONS"],
    ["DELETE", "/v1/cluster/leave", "POST, OPTIONS"],
    ["POST", "/docs", "GET, HEAD, OPTIONS"],
  ] as const)("%s %s is 405 with Allow: %s", async (method, url, allow) => {
    const reply = await here.api.inject({ method, url });
    expect([reply.statusCode, reply.json().code, reply.headers.allow]).toEqual([405, "method_not_allowed", allow]);
    const options = await here.api.inject({ method: "OPTIONS", url });
    expect([options.statusCode, options.headers.allow, options.body]).toEqual([204, allow, ""]);
  });

  it.each(["/nowhere", "/v1", "/v1/kv", "/v1/", "/v2/kv/b/k", "//v1/kv/b/k", "/v1/kvx/b"])(
    "%s is 404 no_such_route",
    async (url) => {
      const reply = await here.api.inject({ method: "GET", url: `http://localhost${url}` });
      expect([reply.statusCode, reply.json().code]).toEqual([404, "no_such_route"]);
    },
  );
});

describe("a defect", () => {
  it("is 500 with outcome unknown for a write, and is logged with the request id, without key or value", async () => {
    here.coordinator.answers.put = () => Promise.reject(new Error("boom"));
    const reply = await here.api.inject({ method: "PUT", url: "/v1/kv/b/secret-key", payload: "secret-value" });
    expect([reply.statusCode, reply.json().code, reply.json().outcome]).toEqual([500, "internal_error", "unknown"]);
    expect(here.errors).toHaveLength(1);
    expect(here.errors[0]).toMatchObject({ event: "api.request-failed", requestId: reply.headers["gyre-request-id"] });
    expect(JSON.stringify(here.errors)).not.toContain("secret");
    expect(reply.body).not.toContain("boom");
  });
});
