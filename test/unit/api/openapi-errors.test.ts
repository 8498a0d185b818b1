/** Errors that need a coordinator that fails, or a node that is full: provoked here, and compared with the document. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ErrorCode } from "../../../services/base/errors.ts";
import { MAX_INFLIGHT_REQUESTS } from "../../../services/base/limits.ts";
import type { Failure, GetAnswer } from "../../../services/coordinator/contract.ts";
import { type ApiNode, apiNode, node } from "../../support/api-node.ts";
import { documentText, members, SchemaChecks } from "../../support/openapi-document.ts";

const DOCUMENT = members(JSON.parse(await documentText()));
const CHECKS = new SchemaChecks(DOCUMENT, true);
const PROBLEM = "application/problem+json";

let here: ApiNode;
beforeEach(() => {
  here = apiNode();
});
afterEach(() => here.api.close());

/** What is wrong with an answer of this operation, by the document; undefined when nothing is. */
function flawOf(id: string, answer: { readonly statusCode: number; readonly body: string }): string | undefined {
  const schema = CHECKS.answerSchema(id, answer.statusCode, PROBLEM);
  if (schema === undefined) return `the document has no ${answer.statusCode} of ${id}`;
  return CHECKS.flaw(schema, JSON.parse(answer.body));
}

describe("whatever the coordinator fails with", () => {
  const REQUESTS = {
    getKey: { method: "GET", url: "/v1/kv/b/k" },
    putKey: { method: "PUT", url: "/v1/kv/b/k", payload: "1", headers: { "content-type": "application/json" } },
    deleteKey: { method: "DELETE", url: "/v1/kv/b/k" },
    listKeys: { method: "GET", url: "/v1/kv/b" },
  } as const;
  const COUNTED = {
    required: 2,
    received: 1,
    replicas: [
      {
        node: node("n2"),
        role: "owner",
        slot: 1,
        zone: "z",
        asked: "store",
        answer: "timeout",
        latencyMs: 9.5,
        hint: false,
      },
    ],
  } as const;
  /** As `coordinator/failures.ts` makes them. */
  const FAILURES: readonly Failure[] = [
    { ...failed("quorum_exceeds_n", false), facts: { parameter: "w", value: 5, n: 3 } },
    { ...failed("invalid_request", false), facts: { parameter: "w", value: 1.5, n: 3 } },
    { ...failed("value_too_large", false), facts: { limit: 1, size: 2 } },
    { ...failed("too_many_siblings", false), facts: { limit: 64 } },
    failed("context_required", false),
    failed("not_ready", true),
    failed("internal_error", false),
    failed("overloaded", true),
    { ...failed("overloaded", true), ...COUNTED },
    { ...failed("quorum_not_met", true), ...COUNTED },
    { ...failed("quorum_not_met", true), ...COUNTED, outcome: "unknown" },
    { ...failed("quorum_not_met", true), facts: { position: "17" } },
    { ...failed("stale", true), ...COUNTED },
    { ...failed("shutting_down", true), ...COUNTED },
    { ...failed("disk_full", true), ...COUNTED },
    failed("disk_full", true),
  ];
  /** What cannot come: a deletion brings no value, a read writes nothing, a page is of no key. */
  const NEVER: Readonly<Record<keyof typeof REQUESTS, readonly ErrorCode[]>> = {
    getKey: ["value_too_large", "too_many_siblings", "context_required", "disk_full"],
    putKey: ["stale"],
    deleteKey: ["context_required", "too_many_siblings", "stale"],
    listKeys: ["quorum_exceeds_n", "value_too_large", "too_many_siblings", "context_required", "stale", "disk_full"],
  };
  const IDS = ["getKey", "putKey", "deleteKey", "listKeys"] as const;

  it.each(IDS)("%s is answered as documented", async (id) => {
    for (const failure of FAILURES) {
      const answer = (): Failure => failure;
      Object.assign(here.coordinator.answers, { get: answer, put: answer, delete: answer, list: answer });
      const flaw = flawOf(id, await here.api.inject(REQUESTS[id]));
      expect([failure.code, flaw === undefined]).toEqual([failure.code, !NEVER[id].includes(failure.code)]);
    }
  });

  it("a result of a batch is a problem like that of the operation alone", async () => {
    for (const failure of FAILURES) {
      here.coordinator.answers.put = () => failure;
      const payload = JSON.stringify({ ops: [{ op: "put", key: "k", value: 1 }] });
      const headers = { "content-type": "application/json" };
      const { body } = await here.api.inject({ method: "POST", url: "/v1/kv/b:batch", payload, headers });
      expect(CHECKS.flaw({ $ref: "#/components/schemas/BatchResults" }, JSON.parse(body))).toBeUndefined();
      expect(body).toContain(`"code":"${failure.code}"`);
    }
  });
});

function failed(code: ErrorCode, retryable: boolean): Failure {
  return { kind: "failed", code, outcome: "not_applied", retryable, detail: "in words" };
}

describe("an error that only a node in trouble gives looks as documented", () => {
  it("overloaded: a node with all the requests that it takes", async () => {
    const release = Promise.withResolvers<GetAnswer>();
    const all = Promise.withResolvers<void>();
    here.coordinator.answers.get = () => {
      if (here.coordinator.gets.length === HELD) all.resolve();
      return release.promise;
    };
    const held = Array.from({ length: HELD }, () => here.api.inject({ url: "/v1/kv/b/k" }));
    await all.promise;
    const full = await here.api.inject({ url: "/v1/kv/b" });
    expect([full.statusCode, full.json()["code"], flawOf("listKeys", full)]).toEqual([503, "overloaded", undefined]);
    release.resolve({ kind: "not_found" });
    await Promise.all(held);
  });
});

/** What fills the share of the list class, which is shed first. */
const HELD = MAX_INFLIGHT_REQUESTS / 2;
