/**
 * Who may do what: every route for every principal on two buckets, against a table that says it once. A route without a line here
 * fails, as it fails at the start of a server when it does not say who may use it.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Route } from "../../../services/api/exchange.ts";
import { routeFlaws } from "../../../services/api/gatekeeper.ts";
import { bucketIn, bucketTarget, keyTarget } from "../../../services/api/target.ts";
import { GrantedCaller, type Right } from "../../../services/security/rights.ts";
import { TOKEN_RANDOM_BYTES, tokenOf } from "../../../services/security/token.ts";
import { TokenBook } from "../../../services/security/token-book.ts";
import type { TokenEntry } from "../../../services/security/tokens-file.ts";
import { type ApiNode, apiNode, guardedNode } from "../../support/api-node.ts";

const MINE = "carts-eu";
const OTHERS = "orders";

const GRANTS = {
  reader: ["read"],
  writer: ["write"],
  lister: ["list"],
  admin: ["admin"],
  eye: ["metrics"],
  operator: ["operate"],
} as const satisfies Readonly<Record<string, readonly Right[]>>;
type Known = keyof typeof GRANTS | "root";
const KNOWN: readonly Known[] = ["reader", "writer", "lister", "admin", "eye", "operator", "root"];
const STRANGERS = ["nobody", "wrong", "expired", "scheme"] as const;
const EVERYBODY = "everybody";

interface Line {
  /** what the router has */
  readonly route: string;
  /** with the bucket in it, where the path has one */
  readonly url: (bucket: string) => string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** the status of whoever may */
  readonly ok: number;
  /** who may on their own bucket; on others' only root may */
  readonly may: readonly Known[] | typeof EVERYBODY;
  /** the path has a bucket, and the right must be one on it */
  readonly isOfBucket?: boolean;
}

const JSON_BODY = { "content-type": "application/json" };
const key = (bucket: string): string => `/v1/kv/${bucket}/k`;
const settings = (bucket: string): string => `/v1/buckets/${bucket}`;
const leave = { ok: 200, may: ["operator", "root"] } as const;
const look = { ok: 200, may: ["eye", "operator", "root"] } as const;
const all = { may: EVERYBODY } as const;

const TABLE: readonly Line[] = [
  { route: "GET /v1/kv/:bucket/*", url: key, ok: 404, may: ["reader", "root"], isOfBucket: true },
  { route: "HEAD /v1/kv/:bucket/*", url: key, ok: 404, may: ["reader", "root"], isOfBucket: true },
  {
    route: "PUT /v1/kv/:bucket/*",
    url: key,
    body: { a: 1 },
    headers: JSON_BODY,
    ok: 200,
    may: ["writer", "root"],
    isOfBucket: true,
  },
  { route: "DELETE /v1/kv/:bucket/*", url: key, ok: 200, may: ["writer", "root"], isOfBucket: true },
  {
    route: "GET /v1/kv/:bucket",
    url: (bucket) => `/v1/kv/${bucket}`,
    ok: 200,
    may: ["lister", "root"],
    isOfBucket: true,
  },
  {
    route: "HEAD /v1/kv/:bucket",
    url: (bucket) => `/v1/kv/${bucket}`,
    ok: 200,
    may: ["lister", "root"],
    isOfBucket: true,
  },
  // each op is judged by itself, below
  { route: "POST /v1/kv/:bucket", url: (bucket) => `/v1/kv/${bucket}:batch`, body: { ops: [] }, ok: 200, may: KNOWN },
  // each bucket is judged by itself, below
  { route: "GET /v1/buckets", url: () => "/v1/buckets", ok: 200, may: KNOWN },
  { route: "HEAD /v1/buckets", url: () => "/v1/buckets", ok: 200, may: KNOWN },
  { route: "GET /v1/buckets/:bucket", url: settings, ok: 200, may: ["reader", "root"], isOfBucket: true },
  { route: "HEAD /v1/buckets/:bucket", url: settings, ok: 200, may: ["reader", "root"], isOfBucket: true },
  {
    route: "PUT /v1/buckets/:bucket",
    url: settings,
    body: { n: 3 },
    ok: 200,
    may: ["admin", "root"],
    isOfBucket: true,
  },
  {
    route: "PATCH /v1/buckets/:bucket",
    url: settings,
    body: { r: 1 },
    ok: 200,
    may: ["admin", "root"],
    isOfBucket: true,
  },
  { route: "DELETE /v1/buckets/:bucket", url: settings, ok: 200, may: ["admin", "root"], isOfBucket: true },
  {
    route: "GET /v1/ring/:bucket/*",
    url: (bucket) => `/v1/ring/${bucket}/k`,
    ok: 200,
    may: ["reader", "root"],
    isOfBucket: true,
  },
  {
    route: "HEAD /v1/ring/:bucket/*",
    url: (bucket) => `/v1/ring/${bucket}/k`,
    ok: 200,
    may: ["reader", "root"],
    isOfBucket: true,
  },
  ...["GET", "HEAD"].flatMap((method): readonly Line[] => [
    { route: `${method} /v1/cluster`, url: () => "/v1/cluster", ...look },
    { route: `${method} /v1/cluster/health`, url: () => "/v1/cluster/health", ...look },
    { route: `${method} /v1/ring`, url: () => "/v1/ring", ...look },
    { route: `${method} /metrics`, url: () => "/metrics", ...look },
    { route: `${method} /livez`, url: () => "/livez", ok: 200, ...all },
    { route: `${method} /readyz`, url: () => "/readyz", ok: 200, ...all },
    { route: `${method} /startupz`, url: () => "/startupz", ok: 200, ...all },
    { route: `${method} /openapi.json`, url: () => "/openapi.json", ok: 200, ...all },
    { route: `${method} /docs`, url: () => "/docs", ok: 200, ...all },
    { route: `${method} /docs/errors`, url: () => "/docs/errors", ok: 200, ...all },
    { route: `${method} /`, url: () => "/", ok: 200, may: KNOWN },
  ]),
  {
    route: "POST /v1/cluster/plan",
    url: () => "/v1/cluster/plan",
    body: { changes: [{ kind: "join", node: "n4" }] },
    ...leave,
  },
  {
    route: "POST /v1/cluster/commit",
    url: () => "/v1/cluster/commit",
    body: { planHash: "00112233445566aa" },
    ...leave,
  },
  { route: "POST /v1/cluster/abort", url: () => "/v1/cluster/abort", body: {}, ...leave },
  { route: "POST /v1/cluster/leave", url: () => "/v1/cluster/leave", body: {}, ...leave },
  { route: "POST /v1/repair", url: () => "/v1/repair?wait=hints", ...leave },
];

function token(seed: number): ReturnType<typeof tokenOf> {
  return tokenOf(Uint8Array.from({ length: TOKEN_RANDOM_BYTES }, (_, at) => (at * 11 + seed * 29) & 0xff));
}

const SEEDS: ReadonlyMap<string, number> = new Map([...KNOWN, ...STRANGERS].map((name, index) => [name, index + 1]));

function bearer(name: string): Readonly<Record<string, string>> {
  if (name === "nobody") return {};
  const { text } = token(SEEDS.get(name) ?? 0);
  return { authorization: name === "scheme" ? `Basic ${text}` : `Bearer ${text}` };
}

function callerOf(name: string): GrantedCaller {
  if (name === "root")
    return new GrantedCaller(name, [{ rights: ["read", "write", "list", "admin"], buckets: ["*"] }], ["operate"]);
  const rights: readonly Right[] = Object.entries(GRANTS).find(([known]) => known === name)?.[1] ?? [];
  const node = rights.filter((right) => right === "operate" || right === "metrics");
  const bucket = rights.filter((right) => right !== "operate" && right !== "metrics");
  return new GrantedCaller(name, [{ rights: bucket, buckets: ["carts-*"] }], node);
}

function book(): TokenBook {
  const entry = (name: string, expiresAtMs: number): TokenEntry => {
    const { id, sha256 } = token(SEEDS.get(name) ?? 0);
    return { id, sha256: Buffer.from(sha256, "hex"), expiresAtMs, caller: callerOf(name) };
  };
  const known = KNOWN.map((name) => entry(name, Number.POSITIVE_INFINITY));
  return new TokenBook([...known, entry("expired", Date.UTC(2020, 0, 1)), entry("scheme", Number.POSITIVE_INFINITY)]);
}

async function statusOf(here: ApiNode, line: Line, name: string, bucket: string): Promise<number> {
  const method = line.route.split(" ")[0] as "GET";
  const payload = line.body === undefined ? {} : { payload: JSON.stringify(line.body) };
  const headers = { ...line.headers, ...bearer(name) };
  return (await here.api.inject({ method, url: line.url(bucket), headers, ...payload })).statusCode;
}

function expected(line: Line, name: string, bucket: string): number {
  if (line.may === EVERYBODY) return line.ok;
  const known = KNOWN.find((one) => one === name);
  if (known === undefined) return 401;
  const isElsewhere = line.isOfBucket === true && bucket === OTHERS && known !== "root";
  return line.may.includes(known) && !isElsewhere ? line.ok : 403;
}

describe("the routes", () => {
  test("each have their line in this table, and no line is about a route that is gone", () => {
    const routes = apiNode().routes.map(({ method, path }) => `${method} ${path}`);
    expect(TABLE.map(({ route }) => route).toSorted()).toEqual(routes.toSorted());
  });

  test("do not come into a server without saying who may use them", () => {
    const [first] = apiNode().routes;
    if (first === undefined) throw new Error("no routes");
    const { access: _none, ...rest } = first;
    const planted: unknown = { ...rest, path: "/v1/planted" };
    expect(routeFlaws([first, planted as Route])).toEqual(["GET /v1/planted does not say who may use it"]);
    expect(routeFlaws(apiNode().routes)).toEqual([]);
  });
});

describe("with tokens", () => {
  test.each(TABLE)("$route is for those of the table, on the buckets that they were given", async (line) => {
    const told: Record<string, number> = {};
    const wanted: Record<string, number> = {};
    const here = guardedNode({ tokens: book() });
    const { puts, deletes, gets, lists } = here.coordinator;
    const reached = (): number => puts.length + deletes.length + gets.length + lists.length + here.door.asked.length;
    for (const name of [...KNOWN, ...STRANGERS]) {
      for (const bucket of [MINE, OTHERS]) {
        const [who, before] = [`${name} on ${bucket}`, reached()];
        told[who] = await statusOf(here, line, name, bucket);
        wanted[who] = expected(line, name, bucket);
        if (wanted[who] === 401 || wanted[who] === 403) expect(reached(), who).toBe(before);
      }
    }
    expect(told).toEqual(wanted);
  });

  test("paths that no route has are 404 and 405 to everybody, and do nothing", async () => {
    const here = guardedNode({ tokens: book() });
    expect((await here.api.inject({ method: "GET", url: "/v1/nothing" })).statusCode).toBe(404);
    expect((await here.api.inject({ method: "PUT", url: "/livez" })).statusCode).toBe(405);
  });

  test.each([
    "/v1/kv/orders%2fk/k",
    "/v1/kv/%6frders/k",
    "/v1/kv/orders/..%2fcarts-eu%2fk",
    "//v1/kv/orders/k",
    "/v1/kv/carts-eu/../orders/k",
    "/v1/%6bv/orders/k",
    "/v1/kv/orders/k?bucket=carts-eu",
    "/v1/kv/carts-eu%00/k",
    "http://h/v1/kv/orders/k",
  ])("no way of writing a path leads to another bucket: %s", async (url) => {
    const here = guardedNode({ tokens: book() });
    const reply = await here.api.inject({ method: "GET", url, headers: bearer("reader") });
    expect([400, 403, 404]).toContain(reply.statusCode);
    expect(here.coordinator.gets.map(({ name }) => name.bucket)).not.toContain(OTHERS);
  });

  test("the bucket that is judged is the one that is used, however the path is written", () => {
    const piece = fc.oneof(
      fc.constantFrom(
        "a",
        "orders",
        "carts-eu",
        "%6f",
        "%2f",
        "%3F",
        "?",
        "/",
        ":batch",
        "..",
        "%00",
        "#",
        "%",
        "é",
        "%c3%a9",
      ),
      fc.string({ maxLength: 3 }),
    );
    const path = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(""));
    const prefix = fc.constantFrom("/v1/kv/", "http://h/v1/kv/", "/v1/buckets/");
    let judgedCount = 0;
    fc.assert(
      fc.property(prefix, path, (start, rest) => {
        const [url, base] = [start + rest, start.replace("http://h", "")];
        const used = [keyTarget(url, base), bucketTarget(url, base)].flatMap((target) =>
          target.kind === "failed" ? [] : [target.kind === "key" ? target.name.bucket : target.bucket],
        );
        judgedCount += used.length;
        for (const bucket of used) expect(bucketIn(url, base), url).toBe(bucket);
      }),
      { numRuns: 3_000 },
    );
    expect(judgedCount).toBeGreaterThan(100);
  });

  test("every operation of a batch is judged by itself", async () => {
    const ops = [
      { op: "get", key: "a" },
      { op: "put", key: "b", value: 1 },
      { op: "delete", key: "c" },
    ];
    const statuses = async (name: string, bucket: string): Promise<readonly number[]> => {
      const here = guardedNode({ tokens: book() });
      const payload = JSON.stringify({ ops });
      const reply = await here.api.inject({
        method: "POST",
        url: `/v1/kv/${bucket}:batch`,
        headers: bearer(name),
        payload,
      });
      const { results } = reply.json();
      return results.map((one: { status: number }) => one.status);
    };
    expect(await statuses("reader", MINE)).toEqual([404, 403, 403]);
    expect(await statuses("writer", MINE)).toEqual([403, 200, 200]);
    expect(await statuses("root", OTHERS)).toEqual([404, 200, 200]);
    expect(await statuses("reader", OTHERS)).toEqual([403, 403, 403]);
    expect(await statuses("operator", MINE)).toEqual([403, 403, 403]);
  });

  test("a list of buckets shows those that the caller may list", async () => {
    const here = guardedNode({ tokens: book() });
    for (const bucket of [MINE, OTHERS]) {
      await here.api.inject({ method: "PUT", url: settings(bucket), headers: bearer("root"), payload: '{"n":3}' });
    }
    const shown = async (name: string): Promise<readonly string[]> => {
      const reply = await here.api.inject({ url: "/v1/buckets", headers: bearer(name) });
      return reply.json().buckets.map((one: { bucket: string }) => one.bucket);
    };
    expect(await shown("lister")).toEqual([MINE]);
    expect(await shown("reader")).toEqual([]);
    expect(await shown("root")).toEqual([MINE, OTHERS]);
  });

  test("/metrics needs none when the node was told so", async () => {
    const here = guardedNode({ tokens: book(), isMetricsOpen: true });
    expect((await here.api.inject({ url: "/metrics" })).statusCode).toBe(200);
    expect((await here.api.inject({ url: "/v1/cluster" })).statusCode).toBe(401);
  });
});

test("GET / shows lines that carry a token where one is needed, and none elsewhere", async () => {
  const shown = async (of: ApiNode, headers: Readonly<Record<string, string>>): Promise<readonly string[]> => {
    const { body } = await of.api.inject({ url: "/", headers });
    return body.split("\n").filter((line) => line.startsWith("curl "));
  };
  const guarded = await shown(guardedNode({ tokens: book() }), bearer("reader"));
  expect(guarded).toHaveLength(3);
  for (const line of guarded) expect(line).toMatch(/^curl -H "Authorization: Bearer \$TOKEN" /);
  expect((await shown(apiNode(), {})).join("\n")).not.toContain("Authorization");
});

describe("a refusal", () => {
  test("without a token is 401 with a challenge, and says what to send", async () => {
    const reply = await guardedNode({ tokens: book() }).api.inject({ url: key(MINE) });
    expect(reply.headers["www-authenticate"]).toBe('Bearer realm="gyre"');
    expect(reply.json()).toMatchObject({ code: "unauthenticated", outcome: "not_applied", retryable: false });
    expect(reply.json().detail).toContain("Authorization: Bearer");
  });

  test("for want of a right is 403 and names principal, right and bucket", async () => {
    const reply = await guardedNode({ tokens: book() }).api.inject({
      method: "PUT",
      url: key(MINE),
      headers: bearer("reader"),
      payload: "1",
    });
    expect(reply.json()).toMatchObject({ code: "forbidden", principal: "reader", right: "write", bucket: MINE });
    expect(reply.json().detail).toBe(`reader has no write right on bucket ${MINE}`);
  });

  test("comes before the body, and ends the connection rather than read it", async () => {
    const here = guardedNode({ tokens: book() });
    const refused = await here.api.inject({ method: "PUT", url: key(MINE), payload: "x".repeat(100) });
    expect(refused.headers.connection).toBe("close");
    expect((await here.api.inject({ url: key(MINE) })).headers.connection).not.toBe("close");
  });

  test("of too many without a token from one address is 429, and never of those with one", async () => {
    const here = guardedNode({ tokens: book() });
    const statuses = new Set<number>();
    for (let time = 0; time < 40; time += 1) statuses.add((await here.api.inject({ url: key(MINE) })).statusCode);
    expect([...statuses]).toEqual([401, 429]);
    const last = await here.api.inject({ url: key(MINE), headers: bearer("wrong") });
    expect(last.json()).toMatchObject({ status: 429, code: "overloaded", outcome: "not_applied" });
    expect((await here.api.inject({ url: key(MINE), headers: bearer("reader") })).statusCode).toBe(404);
    expect(here.warnings.filter(({ event }) => event === "audit").length).toBeLessThanOrEqual(22);
    expect(here.metrics.render()).toMatch(/gyre_http_refused_requests_total\{reason="throttled"\} [1-9]/);
  });

  test.each([
    ["localhost:4400", 404],
    ["127.0.0.1", 404],
    ["[::1]:4400", 404],
    ["n1.localhost", 404],
    ["evil.example:4400", 403],
    ["127.0.0.1.evil.example", 403],
    ["localhost.evil.example", 403],
  ])("without tokens on loopback, a request for the host %s is answered %d", async (host, status) => {
    const here = guardedNode({ refusesForeignHosts: true });
    for (let time = 0; time < 2; time += 1) {
      const reply = await here.api.inject({ url: key(MINE), headers: { host } });
      expect([reply.statusCode, here.coordinator.gets.length]).toEqual([status, status === 403 ? 0 : time + 1]);
    }
    const open = await apiNode().api.inject({ url: key(MINE), headers: { host } });
    expect(open.statusCode, "where somebody else guards it").toBe(404);
  });

  test("for want of a client certificate says so, and probes need none", async () => {
    const here = guardedNode({ tokens: undefined, needsCertificate: true });
    const reply = await here.api.inject({ url: key(MINE) });
    expect([reply.statusCode, reply.json().detail]).toEqual([401, expect.stringContaining("client certificate")]);
    expect((await here.api.inject({ url: "/readyz" })).statusCode).toBe(200);
  });

  test("of too many without a client certificate still says that it is the certificate, for the token may be a good one", async () => {
    const here = guardedNode({ tokens: book(), needsCertificate: true });
    const ask = () => here.api.inject({ url: key(MINE), headers: bearer("reader") });
    let reply = await ask();
    for (let time = 0; time < 40 && reply.statusCode === 401; time += 1) reply = await ask();
    const { status, detail } = reply.json();
    expect([status, detail]).toEqual([429, expect.stringContaining("the connection showed none: connect with one")]);
    expect(detail).not.toContain("valid token");
  });
});

describe("the audit trail", () => {
  const audits = (here: ApiNode): readonly unknown[] =>
    [...here.warnings, ...here.infos].filter(({ event }) => event === "audit");

  test("has a line for every refusal: who, from where, what, and nothing that the client made up", async () => {
    const here = guardedNode({ tokens: book() });
    await here.api.inject({ url: "/v1/kv/orders/a-secret-key?r=1", headers: bearer("reader") });
    await here.api.inject({
      url: "/v1/kv/orders/a-secret-key",
      headers: { authorization: `Bearer ${token(99).text}` },
    });
    const address = "127.0.0.1";
    const route = "GET /v1/kv/:bucket/*";
    expect(audits(here)).toMatchObject([
      {
        principal: "reader",
        address,
        route,
        right: "read",
        bucket: OTHERS,
        outcome: "refused",
        status: 403,
        code: "forbidden",
      },
      { principal: "nobody", address, route, right: "read", outcome: "refused", status: 401, code: "unauthenticated" },
    ]);
    const text = JSON.stringify(audits(here));
    expect(text).not.toContain("a-secret-key");
    expect(text).not.toContain(token(99).text.slice(20));
  });

  test("has a line for every change of settings, membership or repair, done or not, with tokens and without", async () => {
    const here = guardedNode({ tokens: book() });
    await here.api.inject({ method: "PUT", url: settings(MINE), headers: bearer("admin"), payload: '{"n":3}' });
    await here.api.inject({ method: "PATCH", url: settings(MINE), headers: bearer("admin"), payload: '{"n":99}' });
    await here.api.inject({ method: "POST", url: "/v1/cluster/leave", headers: bearer("operator"), payload: "{}" });
    expect(audits(here)).toMatchObject([
      {
        principal: "admin",
        route: "PUT /v1/buckets/:bucket",
        right: "admin",
        bucket: MINE,
        outcome: "done",
        status: 200,
      },
      { principal: "admin", route: "PATCH /v1/buckets/:bucket", outcome: "failed", status: 400 },
      { principal: "operator", route: "POST /v1/cluster/leave", right: "operate", outcome: "done" },
    ]);
    const open = apiNode();
    await open.api.inject({ method: "POST", url: "/v1/cluster/leave", payload: "{}" });
    expect(audits(open)).toMatchObject([{ principal: "anyone", route: "POST /v1/cluster/leave" }]);
  });

  test("has a line for each right that operations of a batch were refused for, and counts the request", async () => {
    const here = guardedNode({ tokens: book() });
    const ops = [
      { op: "put", key: "a-secret-key", value: 1 },
      { op: "delete", key: "b" },
      { op: "get", key: "c" },
    ];
    const ask = (name: string): Promise<unknown> => {
      const url = "/v1/kv/carts-eu:batch";
      return here.api.inject({ method: "POST", url, headers: bearer(name), payload: JSON.stringify({ ops }) });
    };
    await ask("root");
    expect(audits(here)).toEqual([]);
    await ask("reader");
    await ask("operator");
    const route = "POST /v1/kv/:bucket";
    const line = { route, bucket: MINE, outcome: "refused", status: 403, code: "forbidden" };
    expect(audits(here)).toMatchObject([
      { ...line, principal: "reader", right: "write" },
      { ...line, principal: "operator", right: "write" },
      { ...line, principal: "operator", right: "read" },
    ]);
    expect(JSON.stringify(audits(here))).not.toContain("a-secret-key");
    expect(here.metrics.render()).toContain('gyre_http_refused_requests_total{reason="forbidden"} 2');
  });

  test.each([
    ["/v1/kv/carts-eu:batch", "POST /v1/kv/:bucket", "parts"],
    ["/v1/cluster/leave", "POST /v1/cluster/leave", "operate"],
    ["/v1/repair?all=true", "POST /v1/repair", "operate"],
  ])("has a line for what a page of another site orders: %s", async (url, route, right) => {
    const here = apiNode();
    const headers = { origin: "http://evil.example", host: "localhost:4400" };
    const reply = await here.api.inject({ method: "POST", url, headers, payload: '{"ops":[]}' });
    expect(reply.statusCode).toBe(403);
    expect(audits(here)).toMatchObject([
      { principal: "anyone", route, right, outcome: "refused", status: 403, code: "forbidden" },
    ]);
    expect(here.metrics.render()).toContain('gyre_http_refused_requests_total{reason="forbidden"} 1');
  });

  test("has a line for a request under a foreign name, and not one for each of very many", async () => {
    const here = guardedNode({ refusesForeignHosts: true });
    const ask = (): Promise<unknown> => here.api.inject({ url: key(MINE), headers: { host: "evil.example" } });
    await ask();
    expect(audits(here)).toMatchObject([
      { principal: "anyone", address: "127.0.0.1", route: "GET /v1/kv/:bucket/*", outcome: "refused", status: 403 },
    ]);
    for (let time = 0; time < 40; time += 1) await ask();
    expect(audits(here).length).toBeLessThanOrEqual(22);
    expect(here.metrics.render()).toContain('gyre_http_refused_requests_total{reason="forbidden"} 41');
  });

  test("has a line for an order that broke inside the node", async () => {
    const here = guardedNode({ tokens: book() });
    here.door.leave = () => Promise.reject(new Error("planted"));
    const headers = bearer("operator");
    const reply = await here.api.inject({ method: "POST", url: "/v1/cluster/leave", headers, payload: "{}" });
    expect(reply.statusCode).toBe(500);
    here.door.leave = () => {
      throw new Error("planted");
    };
    await here.api.inject({ method: "POST", url: "/v1/cluster/leave", headers, payload: "{}" });
    const line = { principal: "operator", route: "POST /v1/cluster/leave", outcome: "failed", status: 500 };
    expect(audits(here)).toMatchObject([line, line]);
  });

  test("says nothing of reads and writes that are allowed", async () => {
    const here = guardedNode({ tokens: book() });
    await here.api.inject({ method: "PUT", url: key(MINE), headers: bearer("writer"), payload: "1" });
    await here.api.inject({ url: key(MINE), headers: bearer("reader") });
    expect(audits(here)).toEqual([]);
  });
});
