/** The OpenAPI document against the server that answers it: routes, parameters, bodies, errors, both ways. */
import { readFileSync } from "node:fs";
import { Validator } from "@seriousme/openapi-schema-validator";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { BATCH_OP_FIELDS } from "../../../services/api/batch-op.ts";
import { SETTING_RULES } from "../../../services/api/bucket-settings.ts";
import { openApiDocument } from "../../../services/api/openapi.ts";
import { ALL_CODES, problemName } from "../../../services/api/openapi-problems.ts";
import { CODES, problemOf } from "../../../services/api/problem.ts";
import { allRoutes } from "../../../services/api/routes.ts";
import type { ErrorCode } from "../../../services/base/errors.ts";
import { VERSION } from "../../../services/base/version.ts";
import { WRITE_CODES } from "../../../services/coordinator/forward-answer.ts";
import { type ApiNode, apiNode } from "../../support/api-node.ts";
import {
  at,
  COPY,
  type DocumentedOperation,
  documentText,
  type Json,
  members,
  operationsIn,
  resolved,
  SchemaChecks,
} from "../../support/openapi-document.ts";

const TEXT = await documentText();
const DOCUMENT: Json = members(JSON.parse(TEXT));
const OPERATIONS = operationsIn(DOCUMENT);
const CHECKS = new SchemaChecks(DOCUMENT, true);

/** They take any query: the pages are for browsers, and scrapers add what they like. */
const ANY_QUERY: readonly string[] = ["getFront", "getMetrics", "getOpenApi", "getDocs", "getErrorDocs"];
/** A body that each operation takes. */
const BODIES: Readonly<Record<string, unknown>> = {
  putKey: { apples: 3 },
  batchKeys: { ops: [] },
  putBucket: {},
  patchBucket: {},
  planChanges: { changes: [{ kind: "join", node: "n4" }] },
  commitPlan: { planHash: "00112233445566aa" },
};

let here: ApiNode;
beforeEach(() => {
  here = apiNode();
});
afterEach(() => here.api.close());

type Method = "GET" | "HEAD" | "PUT" | "POST" | "PATCH" | "DELETE";

/** One request of an operation, with a path and a body that it takes. */
async function asked(
  { id, method, path }: DocumentedOperation,
  query = "",
  body: unknown = BODIES[id],
): Promise<{ readonly status: number; readonly body: Json }> {
  const url = `${path.replace("{bucket}", "carts").replace("{key}", "alice")}${query}`;
  const payload =
    body === undefined ? {} : { payload: JSON.stringify(body), headers: { "content-type": "application/json" } };
  const reply = await here.api.inject({ method: method as Method, url, ...payload });
  const isJson = String(reply.headers["content-type"]).includes("json") && reply.body !== "";
  return { status: reply.statusCode, body: isJson ? members(JSON.parse(reply.body)) : {} };
}

function operation(id: string): DocumentedOperation {
  const found = OPERATIONS.find((one) => one.id === id);
  if (found === undefined) throw new Error(`no operation ${id}`);
  return found;
}

function queryParameters({ operation: one }: DocumentedOperation): readonly Json[] {
  return ((one["parameters"] ?? []) as readonly Json[]).filter((parameter) => parameter["in"] === "query");
}

/** Every code that the schemas of an operation's answers name. */
function codesIn({ operation: one }: DocumentedOperation): ReadonlySet<string> {
  const answers = Object.values(members(one["responses"])).map((answer) => resolved(DOCUMENT, answer));
  const text = JSON.stringify(answers);
  return new Set(ALL_CODES.filter((code) => text.includes(`/${problemName(code)}"`)));
}

describe("the document", () => {
  it("is valid OpenAPI 3.1, by a validator of the specification's own schema", async () => {
    expect(await new Validator().validate(structuredClone(DOCUMENT))).toEqual({ valid: true });
  });

  it("lies in docs/openapi.json as the server answers it; `npm run openapi` writes it anew", () => {
    expect(TEXT).toBe(readFileSync(COPY, "utf8"));
  });

  it("is the same where metrics are shown to everybody: it tells nothing of a node's settings", () => {
    const open = allRoutes({ ...here.deps, isMetricsOpen: true }, () => false);
    expect(open.find(({ path }) => path === "/metrics")?.access).toEqual({ kind: "open" });
    expect(openApiDocument(open)).toEqual(DOCUMENT);
  });

  it("is of the version that the package has", () => {
    const url = new URL("../../../package.json", import.meta.url);
    expect(VERSION).toBe(members(JSON.parse(readFileSync(url, "utf8")))["version"]);
  });

  it("names every operation once, and no schema that there is not or that nobody uses", () => {
    const ids = OPERATIONS.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const used = new Set([...TEXT.matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name));
    expect([...used].toSorted()).toEqual(Object.keys(members(at(DOCUMENT, "components", "schemas"))).toSorted());
  });

  it("has examples that are what their schemas say", () => {
    const flaws: unknown[] = [];
    const look = (value: unknown): void => {
      if (typeof value !== "object" || value === null) return;
      const { schema, example } = value as Json;
      if (example !== undefined && schema !== undefined) {
        const flaw = CHECKS.flaw(schema, example);
        if (flaw !== undefined) flaws.push({ example, flaw });
      }
      for (const one of Object.values(value)) look(one);
    };
    look(DOCUMENT["paths"]);
    expect(flaws).toEqual([]);
    expect(TEXT.split('"example":').length).toBeGreaterThan(12);
  });
});

describe("routes", () => {
  /** As the router writes a documented path. */
  function patternOf(path: string): string {
    return path.replace("{bucket}:batch", ":bucket").replace("{bucket}", ":bucket").replace("{key}", "*");
  }

  it("have an operation each, and operations a route; other HEADs are those of their GET", () => {
    const routes = new Set(allRoutes(here.deps, () => false).map(({ method, path }) => `${method} ${path}`));
    const documented = new Set(OPERATIONS.map(({ method, path }) => `${method} ${patternOf(path)}`));
    const heads = [...routes].filter((route) => route.startsWith("HEAD ") && !documented.has(route));
    expect([...routes].filter((route) => !heads.includes(route)).toSorted()).toEqual([...documented].toSorted());
    expect(heads.filter((head) => !routes.has(head.replace("HEAD ", "GET ")))).toEqual([]);
    expect(heads.length).toBeGreaterThan(10);
  });

  it.each(OPERATIONS.map((one) => [one.id, one] as const))("take a plain request of %s", async (_id, one) => {
    const { status } = await asked(one, one.id === "repair" ? "?all=true" : "");
    expect([200, 404]).toContain(status);
  });

  it("ask for a token where the document does, and nowhere else", () => {
    const open = OPERATIONS.filter(({ operation: one }) => (one["security"] as readonly unknown[]).length === 0);
    expect(open.map(({ id }) => id)).toEqual([
      "getLivez",
      "getReadyz",
      "getStartupz",
      "getOpenApi",
      "getDocs",
      "getErrorDocs",
    ]);
    for (const one of OPERATIONS.filter(({ method }) => method !== "HEAD"))
      expect([one.id, codesIn(one).has("unauthenticated")]).toEqual([one.id, !open.includes(one)]);
  });
});

describe("query parameters", () => {
  const strict = OPERATIONS.filter(({ id }) => !ANY_QUERY.includes(id) && id !== "headKey");

  it.each(strict.map((one) => [one.id, one] as const))("of %s are those that its parser knows", async (_id, one) => {
    const { status, body } = await asked(one, "?no_such_parameter=1");
    expect([status, body["code"]]).toEqual([400, "invalid_request"]);
    expect(body["known"]).toEqual(queryParameters(one).map(({ name }) => name));
  });

  it.each(OPERATIONS.filter(({ id }) => ANY_QUERY.includes(id)).map((one) => [one.id, one] as const))(
    "are said to be ignored by %s, and are",
    async (_id, one) => {
      expect(one.operation["description"]).toContain("Query parameters are ignored.");
      expect((await asked(one, "?no_such_parameter=1")).status).toBe(200);
    },
  );

  const NUMBERS = [
    "0",
    "1",
    "2",
    "7",
    "8",
    "63",
    "100",
    "1000",
    "1001",
    "4096",
    "4097",
    "30000",
    "30001",
    "86400000",
    "86400001",
  ];
  const SAMPLES = [
    ...NUMBERS,
    "-1",
    "1.5",
    "1e3",
    "",
    "one",
    "quorum",
    "all",
    "true",
    "false",
    "TRUE",
    "hints",
    "overwrite",
    "sibling",
    "reject",
  ];
  /** Whether a text may be sent: as a text, or as the number or truth that it writes. */
  function isDocumented(schema: unknown, text: string): boolean {
    const read: unknown[] = [text];
    if (/^[0-9]+$/.test(text)) read.push(Number(text));
    if (text === "true" || text === "false") read.push(text === "true");
    return read.some((value) => CHECKS.flaw(schema, value) === undefined);
  }
  /** Not by its form alone: a cursor is of one listing, and partitions end with the cluster's. */
  const MORE = new Set(["cursor", "partition"]);
  const pairs = strict.flatMap((one) =>
    queryParameters(one)
      .filter(({ name }) => !MORE.has(String(name)))
      .map((parameter) => [`${one.id}?${String(parameter["name"])}`, one, parameter] as const),
  );

  it.each(pairs)("%s takes what the document says, and nothing else", async (_name, one, parameter) => {
    const name = String(parameter["name"]);
    for (const text of SAMPLES) {
      const mode = { timeout: "&all=true", ignoreUnreachable: "&wait=hints" }[name];
      const beside = one.id === "repair" && mode !== undefined ? mode : "";
      const { status, body } = await asked(one, `?${name}=${text}${beside}`);
      const isTaken = status !== 400;
      expect([name, text, isTaken, body["detail"]]).toEqual([
        name,
        text,
        isDocumented(parameter["schema"], text),
        body["detail"],
      ]);
    }
  });
});

describe("bodies", () => {
  /** A value that is seldom right, from a small pool. */
  function some(...values: readonly unknown[]): fc.Arbitrary<unknown> {
    return fc.constantFrom<unknown>(...values, 0, 1, -1, 1.5, true, null, "", "x", [], {});
  }

  const EDGES = [-1, 0, 1, 2, 7, 8, 1.5, 315_360_000, 315_360_001];
  const WORDS = ["siblings", "lww", "overwrite", "sibling", "reject", "", "x"];
  const SETTINGS = Object.keys(SETTING_RULES);

  it.each([...SETTINGS, "other"])("of settings: %s is taken exactly when it fits the schema", async (name) => {
    for (const value of [...EDGES, ...WORDS, true, null, [], {}]) {
      const { status, body } = await asked(operation("putBucket"), "", { [name]: value });
      const isTaken = status === 200 || body["code"] === "quorum_exceeds_n";
      const flaw = CHECKS.flaw({ $ref: "#/components/schemas/BucketSettings" }, { [name]: value });
      expect([name, value, isTaken]).toEqual([name, value, flaw === undefined]);
    }
  });

  it("of settings have the fields that the parser knows", () => {
    const documented = members(at(DOCUMENT, "components", "schemas", "BucketSettings", "properties"));
    expect(Object.keys(documented)).toEqual(SETTINGS);
  });

  it("of batches have the fields that the parser knows, and are taken exactly when they fit the schema", async () => {
    const fields = ["BatchPut", "BatchGetOrDelete"].flatMap((name) =>
      Object.keys(members(at(DOCUMENT, "components", "schemas", name, "properties"))),
    );
    expect([...new Set(fields)].toSorted()).toEqual(BATCH_OP_FIELDS.toSorted());
    const op = fc.record(
      {
        op: some("get", "put", "delete", "put"),
        key: some("k", "é"),
        value: some(),
        base64: fc.constantFrom("aGk=", 7),
        ttl: some(60, 0),
        other: some(),
      },
      { requiredKeys: ["op", "key"] },
    );
    await fc.assert(
      fc.asyncProperty(op, async (one) => {
        const { body } = await asked(operation("batchKeys"), "", { ops: [one] });
        const isTaken = at(body, "results", "0", "code") !== "invalid_request";
        const flaw = CHECKS.flaw({ $ref: "#/components/schemas/Batch" }, { ops: [one] });
        expect([one, isTaken, flaw]).toEqual([one, flaw === undefined, flaw]);
      }),
      { numRuns: 300 },
    );
  });

  it("of plans are taken exactly when they fit the schema", async () => {
    const change = fc.record(
      {
        kind: some("join", "leave", "remove", "replace", "weight", "zone", "host"),
        node: some("n4", "n-4", "-n"),
        force: some(false),
        with: some("n5", "n5", "n5"),
        weight: some(2, 64, 65),
        zone: some("eu/1", "-"),
        host: some("h1"),
      },
      { requiredKeys: ["kind", "node"] },
    );
    await fc.assert(
      fc.asyncProperty(change, async (one) => {
        const { status } = await asked(operation("planChanges"), "", { changes: [one] });
        const flaw = CHECKS.flaw({ $ref: "#/components/schemas/PlanRequest" }, { changes: [one] });
        expect([one, status, flaw]).toEqual([one, flaw === undefined ? 200 : 400, flaw]);
      }),
      { numRuns: 300 },
    );
  });
});

describe("errors", () => {
  it.each(ALL_CODES)("%s is documented where it can be met", (code) => {
    const met = OPERATIONS.filter((one) => codesIn(one).has(code)).map(({ id }) => id);
    // 405 is what a path answers to a method that has no operation.
    expect(met.length > 0).toBe(code !== "method_not_allowed");
    const shared = JSON.stringify(at(DOCUMENT, "components", "responses"));
    if (code === "method_not_allowed") expect(shared).toContain(problemName(code));
  });

  it("of writes are those that an owner may answer to whom it was forwarded", () => {
    const put = codesIn(operation("putKey"));
    expect(WRITE_CODES.filter((code) => !put.has(code))).toEqual([]);
  });

  it.each(ALL_CODES)("%s as the reply table writes it fits its schema", async (code) => {
    const checks = new SchemaChecks(DOCUMENT, true);
    const facts: Readonly<Partial<Record<ErrorCode, Json>>> = {
      quorum_exceeds_n: { parameter: "r" },
      deleted: { context: "c" },
      method_not_allowed: { allow: ["GET"] },
      siblings: { siblings: 2, context: "c" },
      change_refused: { refusals: ["no"] },
    };
    const outcome = code === "not_finished" ? "unknown" : "not_applied";
    const passes: readonly ErrorCode[] = ["quorum_not_met", "stale", "shutting_down", "not_finished", "disk_full"];
    const failure = { kind: "failed", code, outcome, retryable: passes.includes(code), detail: "in words" } as const;
    const { status } = CODES[code];
    const known = facts[code];
    const problem = problemOf(known === undefined ? failure : { ...failure, facts: known }, status);
    for (const name of [problemName(code), "Problem"]) {
      expect(checks.flaw({ $ref: `#/components/schemas/${name}` }, problem)).toBeUndefined();
    }
    const { detail: _detail, ...without } = problem;
    expect(checks.flaw({ $ref: `#/components/schemas/${problemName(code)}` }, without)).toBeDefined();
  });
});
