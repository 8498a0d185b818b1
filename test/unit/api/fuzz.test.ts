/** Whatever a client sends, it gets a whole answer: never 500, never nothing, every error a problem document. */
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { type ApiNode, apiNode } from "../../support/api-node.ts";

let here: ApiNode;
beforeAll(() => {
  here = apiNode();
});

const method = fc.constantFrom("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS" as const);
const anyChars = fc.string({
  unit: fc.nat({ max: 0x7e - 0x21 }).map((code) => String.fromCharCode(code + 0x21)),
  maxLength: 60,
});
const segment = fc.oneof(
  anyChars,
  fc.constantFrom(
    "",
    "v1",
    "kv",
    "b",
    "k",
    "buckets",
    "b:batch",
    "ring",
    "cluster",
    "health",
    "%ff",
    "%2F",
    "..",
    "%00",
  ),
);
const path = fc.oneof(
  fc.array(segment, { maxLength: 5 }).map((parts) => `/${parts.join("/")}`),
  anyChars.map((text) => `/v1/kv/b/${text}`),
  anyChars.map((text) => `/v1/kv/b:batch?${text}`),
);
const pair = fc.tuple(
  fc.oneof(
    anyChars,
    fc.constantFrom("r", "w", "pr", "pw", "sloppy", "timeout", "explain", "raw", "blind", "limit", "cursor", "prefix"),
  ),
  fc.oneof(anyChars, fc.constantFrom("1", "2", "9", "quorum", "true", "false", "", "%zz")),
);
const query = fc
  .array(pair, { maxLength: 4 })
  .map((pairs) => pairs.map(([name, value]) => `${name}=${value}`).join("&"));
const header = fc.oneof(
  fc.tuple(
    fc.constantFrom(
      "gyre-context",
      "content-type",
      "accept",
      "if-none-match",
      "if-match",
      "content-encoding",
      "host",
      "traceparent",
      "expect-nothing",
    ),
    anyChars,
  ),
  fc.tuple(
    fc.constantFrom("content-type", "accept"),
    fc.constantFrom(
      "application/json",
      "application/x-www-form-urlencoded",
      "multipart/form-data; boundary=x",
      "text/plain",
      "*/*",
    ),
  ),
);
const op = fc.record(
  {
    op: fc.constantFrom("get", "put", "delete", "x"),
    key: fc.jsonValue(),
    value: fc.jsonValue(),
    base64: fc.jsonValue(),
    context: fc.jsonValue(),
  },
  { requiredKeys: [] },
);
const body = fc.oneof(
  fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  fc.json().map((text) => Buffer.from(text)),
  fc.array(op, { maxLength: 6 }).map((ops) => Buffer.from(JSON.stringify({ ops }))),
  fc
    .record({ n: fc.jsonValue(), r: fc.jsonValue(), conflicts: fc.jsonValue() }, { requiredKeys: [] })
    .map((settings) => Buffer.from(JSON.stringify(settings))),
);
const STATUSES = new Set([200, 204, 304, 400, 404, 405, 409, 413, 414, 415]);

describe("any request", () => {
  it("is answered with a status of the table, and every error with a whole problem document", async () => {
    const requests = fc.record({
      method,
      path,
      query,
      headers: fc.array(header, { maxLength: 4 }),
      body: fc.option(body),
    });
    await fc.assert(
      fc.asyncProperty(requests, async (request) => {
        const url = `http://h${request.path}${request.query === "" ? "" : `?${request.query}`}`;
        fc.pre(URL.canParse(url) && new URL(url).host === "h");
        const payload = request.body === null ? {} : { payload: request.body };
        const headers = Object.fromEntries(request.headers);
        const reply = await here.api.inject({ method: request.method, url, headers, ...payload });
        expect(STATUSES).toContain(reply.statusCode);
        expect(reply.headers["gyre-request-id"]).toBeDefined();
        if (reply.statusCode < 400 || request.method === "HEAD") return;
        expect(reply.headers["content-type"]).toBe("application/problem+json");
        const problem = reply.json();
        expect(problem.status).toBe(reply.statusCode);
        for (const name of ["type", "title", "detail", "code", "outcome"]) expect(typeof problem[name]).toBe("string");
        expect(typeof problem.retryable).toBe("boolean");
      }),
      { numRuns: 1_500 },
    );
    expect(here.errors).toEqual([]);
  });
});
