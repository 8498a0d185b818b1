/**
 * POST /v1/kv/{bucket}:batch: many operations in one request, a status for each, never atomic (API §3). Operations on
 * one key run in the order given; different keys run side by side, at most 16 at a time. Must never hold more answers
 * than its bound.
 */
import { isUtf8 } from "node:buffer";
import { BATCH_CONCURRENCY, MAX_BATCH_ANSWER_BYTES, MAX_BATCH_BYTES, MAX_BATCH_OPS } from "../base/limits.ts";
import type { Failure, Knobs } from "../coordinator/contract.ts";
import type { Caller } from "../security/rights.ts";
import { type BatchOp, parseBatchOp } from "./batch-op.ts";
import type { Incoming, Reply, Route } from "./exchange.ts";
import { callerOf, forbidden } from "./gatekeeper.ts";
import { elementsAt, membersAt, type Slice } from "./json-slices.ts";
import { readReply, writeReply } from "./key-answers.ts";
import { KNOB_NAMES, knobsOf } from "./knobs.ts";
import type { ApiDependencies } from "./ports.ts";
import { refusal, refusalForNow } from "./problem.ts";
import { parseQuery } from "./query.ts";
import { failureReply } from "./reply.ts";
import { isOfOtherSite } from "./same-origin.ts";
import { bucketTarget } from "./target.ts";
import { withTrace } from "./timing.ts";

type BatchDependencies = Pick<ApiDependencies, "coordinator" | "contexts" | "clock" | "calm">;

/** The batch route. */
export function batchRoutes(deps: BatchDependencies): readonly Route[] {
  const handle = (request: Incoming): Reply | Promise<Reply> => batch(deps, request);
  const summary = "Many operations on the keys of a bucket, a status for each; the path ends with :batch.";
  const access = { kind: "parts", rights: ["read", "write"] } as const;
  return [
    { method: "POST", path: "/v1/kv/:bucket", summary, access, work: "write", bodyLimitBytes: MAX_BATCH_BYTES, handle },
  ];
}

function batch(deps: BatchDependencies, request: Incoming): Reply | Promise<Reply> {
  // The one path that changes keys and that a browser would send for any page without asking first.
  if (isOfOtherSite(request)) return failureReply(refusal("forbidden", "a page of another site may not write here"));
  const target = bucketTarget(request.raw.url, "/v1/kv/", ":batch");
  if (target.kind === "failed") return failureReply(target);
  const query = parseQuery(target.query, KNOB_NAMES);
  if (query.kind === "failed") return failureReply(query);
  const asked = knobsOf(query);
  if ("kind" in asked) return failureReply(asked);
  const knobs = withTrace(asked, request);
  const found = slicesOf(request.body);
  if (found.kind === "failed") return failureReply(found);
  const scope = { bucket: target.bucket, text: found.text, contexts: deps.contexts };
  const caller = callerOf(request);
  const ops = found.slices.map((slice) => permitted(caller, parseBatchOp(scope, slice)));
  const refused = refusedIn(ops);
  const answer = new BatchRun(deps, ops, knobs).run();
  return refused === undefined ? answer : answer.then((reply) => ({ ...reply, refused }));
}

/** What the caller may not do, each right once: what the audit trail is told of a batch. */
function refusedIn(ops: readonly (BatchOp | Failure)[]): readonly Failure[] | undefined {
  const byRight = new Map<unknown, Failure>();
  for (const op of ops) if (op.kind === "failed" && op.code === "forbidden") byRight.set(op.facts?.["right"], op);
  return byRight.size === 0 ? undefined : [...byRight.values()];
}

/** Each operation is judged by itself, as the same request alone would be. */
function permitted(caller: Caller, op: BatchOp | Failure): BatchOp | Failure {
  if (op.kind === "failed") return op;
  const { bucket } = op.target.name;
  const right = op.kind === "get" ? "read" : "write";
  return caller.mayOn(right, bucket) ? op : forbidden(caller, right, bucket);
}

function slicesOf(
  body: unknown,
): { readonly kind: "ops"; readonly text: string; readonly slices: readonly Slice[] } | Failure {
  const shape = refusal("invalid_request", 'the body is JSON: {"ops":[{"op":"get","key":"…"}, …]}', {
    parameter: "body",
  });
  if (!(body instanceof Buffer) || !isUtf8(body)) return shape;
  const text = body.toString("utf8");
  try {
    JSON.parse(text);
  } catch {
    return shape;
  }
  const members = membersAt(text, 0);
  const ops = members?.get("ops");
  const slices = ops === undefined || members?.size !== 1 ? undefined : elementsAt(text, ops.start);
  if (slices === undefined) return shape;
  if (slices.length <= MAX_BATCH_OPS) return { kind: "ops", text, slices };
  return refusal("invalid_request", `a batch has at most ${MAX_BATCH_OPS} ops; this one has ${slices.length}`, {
    limit: MAX_BATCH_OPS,
  });
}

/** One batch under way: chains of operations by key, taken up by a few workers. */
class BatchRun {
  readonly #deps: BatchDependencies;
  readonly #ops: readonly (BatchOp | Failure)[];
  readonly #knobs: Knobs;
  /** monotonic: what has not begun by then never does */
  readonly #endMs: number;
  readonly #results: Buffer[] = [];
  readonly #chains: (readonly number[])[];
  #heldBytes = 0;

  constructor(deps: BatchDependencies, ops: readonly (BatchOp | Failure)[], knobs: Knobs) {
    this.#deps = deps;
    this.#ops = ops;
    this.#knobs = knobs;
    this.#endMs = deps.clock.monotonicMs() + knobs.timeoutMs;
    const byKey = Map.groupBy(ops.keys(), (index) => chainName(ops[index], index));
    this.#chains = [...byKey.values()];
  }

  async run(): Promise<Reply> {
    const workers = Math.min(BATCH_CONCURRENCY, this.#chains.length);
    const ended = await Promise.allSettled(Array.from({ length: workers }, () => this.#work()));
    for (const one of ended) if (one.status === "rejected") throw one.reason;
    const parts = this.#results.flatMap((result, index) => (index === 0 ? [result] : [COMMA, result]));
    return {
      status: 200,
      headers: { "content-type": "application/json" },
      body: Buffer.concat([Buffer.from('{"results":['), ...parts, Buffer.from("]}")]),
    };
  }

  async #work(): Promise<void> {
    for (let chain = this.#chains.pop(); chain !== undefined; chain = this.#chains.pop()) {
      try {
        for (const index of chain) {
          const result = resultText(await this.#timed(this.#ops[index]));
          this.#heldBytes += result.length;
          this.#results[index] = result;
        }
      } catch (error) {
        // a defect: nothing more is begun, and what is under way is waited for
        this.#chains.length = 0;
        throw error;
      }
    }
  }

  /**
   * Each operation that is begun tells the pace of the batch's class, as a request of one key tells that of its own: else nothing
   * would bound how many batches are under way.
   */
  async #timed(op: BatchOp | Failure | undefined): Promise<Reply> {
    const { calm, clock } = this.#deps;
    const startedMs = clock.monotonicMs();
    const begun = this.#reply(op);
    const reply = await begun;
    if (begun instanceof Promise) calm?.answered("write", clock.monotonicMs() - startedMs);
    return reply;
  }

  #reply(op: BatchOp | Failure | undefined): Reply | Promise<Reply> {
    if (op === undefined) return failureReply(refusal("invalid_request", "no such op"));
    const { coordinator, contexts, clock } = this.#deps;
    // the time is that of the whole batch: its client waits no longer for the last operation than for the first
    const timeoutMs = Math.ceil(this.#endMs - clock.monotonicMs());
    if (timeoutMs < 1 && op.kind !== "failed") return failureReply(refusalForNow("overloaded", TIME_IS_UP));
    const knobs = { ...this.#knobs, timeoutMs };
    switch (op.kind) {
      case "failed":
        return failureReply(op);
      case "get": {
        if (this.#heldBytes > MAX_BATCH_ANSWER_BYTES) {
          return failureReply(
            refusalForNow("overloaded", "the batch's answers are over their bound; ask for this key alone"),
          );
        }
        const { target, context } = op;
        const { name } = target;
        const shape = { target, isRaw: false, accept: undefined, ifNoneMatch: undefined };
        const asked = context === undefined ? { name, knobs } : { name, knobs, atLeast: context };
        return coordinator.get(asked).then((answer) => readReply(contexts, shape, answer));
      }
      case "put": {
        const { target, context, value, ttlSeconds } = op;
        const { contentType, bytes } = value;
        const asked = { name: target.name, knobs, contentType, bytes, context };
        return coordinator
          .put(ttlSeconds === undefined ? asked : { ...asked, ttlSeconds })
          .then((answer) => writeReply(contexts, target, answer));
      }
      case "delete": {
        const { target, context } = op;
        return coordinator
          .delete({ name: target.name, knobs, context })
          .then((answer) => writeReply(contexts, target, answer));
      }
    }
  }
}

const TIME_IS_UP = "the batch's time was up before this operation had its turn: nothing was done";
const COMMA: Buffer = Buffer.from(",");

/** Operations of equal names run one after the other. */
function chainName(op: BatchOp | Failure | undefined, index: number): string | number {
  return op === undefined || op.kind === "failed" ? index : op.target.keyText;
}

/** The reply's document with its status in it; problem documents have it already. */
function resultText(reply: Reply): Buffer {
  const body = Buffer.from(reply.body ?? "{}");
  if (reply.headers["content-type"] === "application/problem+json") return body;
  return Buffer.concat([Buffer.from(`{"status":${reply.status},`), body.subarray(1)]);
}
