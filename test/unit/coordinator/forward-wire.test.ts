/** Forwarded writes and scans as plain data: what goes in comes out, and what is malformed is nothing. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseBucketName, parseNodeId } from "../../../services/base/ids.ts";
import { MAX_CONTEXT_ENTRIES, MAX_TTL_SECONDS } from "../../../services/base/limits.ts";
import type { WriteAnswer } from "../../../services/coordinator/contract.ts";
import { parseAnswer, plainAnswer } from "../../../services/coordinator/forward-answer.ts";
import {
  mayTakeBehind,
  parseWrite,
  plainWrite,
  type WriteRequest,
} from "../../../services/coordinator/forward-request.ts";
import { parseFound, parseQuestion, plainFound, plainQuestion } from "../../../services/coordinator/scan-message.ts";
import { decodeBody, encodeBody } from "../../../services/peers/binary-json.ts";
import { contextOf } from "../../../services/versioning/causal-context.ts";
import { ContextCodec } from "../../../services/versioning/context-codec.ts";

const bucket = parseBucketName("carts");
const node = parseNodeId("node-1");
if (bucket === undefined || node === undefined) throw new Error("names");
const someBucket = bucket;

/** Over the wire and back. */
function carried(body: unknown): unknown {
  const decoded = decodeBody(encodeBody(body));
  if (decoded.kind !== "body") throw new Error(decoded.reason);
  return decoded.body;
}

test("an applied write is applied through a forward however many actors its clock names, and as a token would tell it", () => {
  const many = contextOf(
    Array.from({ length: MAX_CONTEXT_ENTRIES + 44 }, (_, at) => ({ actor: at + 1, counter: at + 5 })),
  );
  const answer: WriteAnswer = {
    kind: "applied",
    context: many,
    dot: { actor: 300, counter: 304 },
    siblingCount: 1,
    acks: { required: 2, received: 2, owners: 2, fallbacks: 0, durable: 2 },
  };
  const heard = parseAnswer(carried(plainAnswer(answer)));
  expect(heard).toEqual({ ...answer, context: { vector: many.vector.slice(44), detached: [] } });
  if (heard?.kind !== "applied") throw new Error("not applied");
  const codec = new ContextCodec(Buffer.from("secret"));
  const named = { bucket, key: Buffer.from("k") };
  expect(codec.encode(named, heard.context)).toBe(codec.encode(named, many));
});

const dot = fc.record({
  actor: fc.integer({ min: 1, max: 2 ** 48 - 1 }),
  counter: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
});
const context = fc
  .tuple(fc.array(dot, { maxLength: 5 }), fc.array(dot, { maxLength: 5 }))
  .map(([a, b]) => contextOf(a, b));
const name = fc.uint8Array({ minLength: 1, maxLength: 64 }).map((key) => ({ bucket, key }));
const level = fc.option(fc.constantFrom<"one" | "quorum" | "all" | 1 | 3>("one", "quorum", "all", 1, 3), {
  nil: undefined,
});
const knobs = fc.record({ w: level, pw: level, sloppy: fc.boolean(), explain: fc.boolean() }).map((drawn) => ({
  sloppy: drawn.sloppy,
  explain: drawn.explain,
  timeoutMs: 1_234,
  ...(drawn.w === undefined ? {} : { w: drawn.w }),
  ...(drawn.pw === undefined ? {} : { pw: drawn.pw }),
}));
const write: fc.Arbitrary<WriteRequest> = fc.oneof(
  fc.record({
    op: fc.constant("put" as const),
    name,
    knobs,
    contentType: fc.constantFrom("text/plain", "application/json"),
    bytes: fc.uint8Array({ maxLength: 100 }),
    context: fc.option(context, { nil: undefined }),
    ttlSeconds: fc.integer({ min: 0, max: MAX_TTL_SECONDS }),
  }),
  fc.record({
    op: fc.constant("put" as const),
    name,
    knobs,
    contentType: fc.constant("text/plain"),
    bytes: fc.uint8Array({ maxLength: 10 }),
    context: fc.constant(undefined),
  }),
  fc.record({ op: fc.constant("delete" as const), name, knobs, context: fc.option(context, { nil: undefined }) }),
);

function plainBytes(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_key, field: unknown) => (field instanceof Uint8Array ? Array.from(field) : field)),
  );
}

describe("a forwarded write", () => {
  test("says whether an owner that may lack what others have takes it: not, where nothing is said", () => {
    const knobsOf = { sloppy: false, timeoutMs: 100, explain: false };
    const named = { bucket: someBucket, key: Buffer.from("k") };
    const request = { op: "delete", name: named, knobs: knobsOf, context: undefined } as const;
    for (const takesBehind of [true, false]) {
      expect(mayTakeBehind(carried(plainWrite(request, { timeoutMs: 1, takesBehind })))).toBe(takesBehind);
    }
    expect([{}, undefined, { takesBehind: 1 }].map(mayTakeBehind)).toEqual([false, false, false]);
  });

  test("arrives as it was sent", () => {
    fc.assert(
      fc.property(write, (request) => {
        expect(plainBytes(parseWrite(carried(plainWrite(request, { timeoutMs: 1_234, takesBehind: true }))))).toEqual(
          plainBytes(request),
        );
      }),
    );
  });

  test.each([
    { what: "no record", body: 7 },
    { what: "a foreign verb", body: { op: "get" } },
    { what: "a bucket that is none", body: { bucket: "../etc" } },
    { what: "an empty key", body: { key: new Uint8Array(0) } },
    { what: "a key over the limit", body: { key: new Uint8Array(1_025) } },
    { what: "a value over the limit", body: { bytes: new Uint8Array(1024 * 1024 + 1) } },
    { what: "a context that is none", body: { context: [[[0, 1]], []] } },
    { what: "a counter beyond what dots carry", body: { context: [[[1, 2 ** 60]], []] } },
    { what: "a level that is none", body: { w: "most" } },
    { what: "a timeout beyond the longest", body: { timeoutMs: 30_001 } },
    { what: "a time to live that is none", body: { ttlSeconds: -1 } },
    { what: "a time to live beyond the longest", body: { ttlSeconds: MAX_TTL_SECONDS + 1 } },
    { what: "no timeout", body: { timeoutMs: Number.NaN } },
  ])("with $what is nothing", ({ body }) => {
    const good = {
      op: "put",
      bucket,
      key: new Uint8Array(1),
      contentType: "text/plain",
      bytes: new Uint8Array(1),
      context: null,
      w: null,
      pw: null,
      timeoutMs: 5,
    };
    expect(parseWrite(good)).toBeDefined();
    expect(parseWrite(typeof body === "object" ? { ...good, ...body } : body)).toBeUndefined();
  });
});

describe("an owner's answer", () => {
  const report = {
    node,
    role: "owner",
    slot: 1,
    zone: "z",
    asked: "store",
    answer: "ok",
    digest: "00000000000000ff",
    latencyMs: 0.25,
    hint: false,
  } as const;
  const explain = {
    partition: 3,
    ringHash: "0000000000000abc",
    coordinator: node,
    replicas: [report],
    repaired: [],
    hedged: false,
  };
  const answers: readonly WriteAnswer[] = [
    {
      kind: "applied",
      context: contextOf([{ actor: 5, counter: 9 }], [{ actor: 6, counter: 7 }]),
      dot: { actor: 5, counter: 9 },
      siblingCount: 2,
      acks: { required: 2, received: 2, owners: 2, fallbacks: 0, durable: 2 },
      explain,
    },
    {
      kind: "failed",
      code: "too_many_siblings",
      outcome: "not_applied",
      retryable: false,
      detail: "words",
      facts: { limit: 64 },
    },
    {
      kind: "failed",
      code: "quorum_not_met",
      outcome: "unknown",
      retryable: true,
      detail: "words",
      required: 2,
      received: 1,
      replicas: [report],
    },
    {
      kind: "applied",
      context: contextOf([{ actor: 7, counter: 8 }], []),
      dot: { actor: 7, counter: 8 },
      siblingCount: 1,
      expiresAtMs: 1_795_168_860_000,
      acks: { required: 2, received: 2, owners: 2, fallbacks: 0, durable: 2 },
    },
  ];

  test.each(answers)("arrives as it was given: $kind", (answer) => {
    expect(parseAnswer(carried(plainAnswer(answer)))).toEqual(answer);
  });

  test("that claims an outcome no failure has, or lacks a part, is nothing", () => {
    const [applied, failed] = answers.map((answer) => plainAnswer(answer));
    expect(parseAnswer({ ...failed, outcome: "applied" })).toBeUndefined();
    expect(parseAnswer({ ...failed, code: "not_found" })).toBeUndefined();
    expect(parseAnswer({ ...applied, dot: [0, 1] })).toBeUndefined();
    expect(parseAnswer({ ...applied, acks: {} })).toBeUndefined();
    expect(parseAnswer("applied")).toBeUndefined();
  });
});

describe("a scan", () => {
  test("and what it found arrive as they were sent", () => {
    const question = { bucket, prefix: Uint8Array.of(97), from: 2n ** 63n + 1n, through: 63, limit: 9 };
    expect(plainBytes({ ...parseQuestion(carried(plainQuestion(question))), from: 0 })).toEqual(
      plainBytes({ ...question, from: 0 }),
    );
    expect(parseQuestion(carried(plainQuestion(question)))?.from).toBe(question.from);
    for (const next of [undefined, 0n, 2n ** 64n - 1n]) {
      const found = parseFound(carried(plainFound({ keys: [Buffer.from("k")], next })));
      expect(found?.next).toBe(next);
      expect(found?.keys.length).toBe(1);
    }
  });

  test("that is malformed is nothing", () => {
    expect(parseQuestion({ bucket, prefix: new Uint8Array(0), from: "12", through: 1, limit: 1 })).toBeUndefined();
    expect(parseFound({ keys: ["text"], next: null })).toBeUndefined();
    expect(parseFound({ keys: [] })).toBeUndefined();
  });
});
