/**
 * One record into the store, whatever happens on the way: tried at one node after the other until it is acknowledged, refused
 * for good, or out of time. After an answer of unknown outcome the key is read and written again with what was read: found or
 * not, only an acknowledged write is on W replicas for certain.
 */
import { backoffMs } from "../../client/backoff.ts";
import { failureOf, keyPath } from "../../client/client.ts";
import { askNode, type Fetch, type NodeAnswer } from "../../client/http-node.ts";

/** Where and how records are stored. */
export interface StorePlan {
  readonly nodes: readonly string[];
  readonly bucket: string;
  readonly contentType: string;
  /** how long one record is tried, milliseconds */
  readonly patienceMs: number;
  /** bound of one attempt, milliseconds */
  readonly timeoutMs: number;
  readonly fetch: Fetch;
  readonly pause: (ms: number) => Promise<void>;
  readonly random: () => number;
  readonly nowMs: () => number;
  /** true when the user wants to stop */
  readonly isStopping: () => boolean;
}

/** How often things happened, over all records. */
export interface LoadCounts {
  applied: number;
  rejected: number;
  retries: number;
  notApplied: number;
  unknown: number;
  unreachable: number;
  conflicts: number;
}

/** What became of a record. */
export type StoreResult =
  | { readonly kind: "applied"; readonly wasUnknown: boolean }
  | { readonly kind: "rejected"; readonly reason: string }
  | { readonly kind: "gave_up"; readonly reason: string };

/** Time for a write whose connection broke to land, before the key is read. */
const SETTLE_MS = 250;
const NO_COUNTS: LoadCounts = {
  applied: 0,
  rejected: 0,
  retries: 0,
  notApplied: 0,
  unknown: 0,
  unreachable: 0,
  conflicts: 0,
};

/** Nothing counted yet. */
export function newCounts(): LoadCounts {
  return { ...NO_COUNTS };
}

type Next = "done" | "again" | "look" | { readonly rejected: string };

/** What an answer to a PUT asks for; counts what it was. */
function nextAfter(answer: NodeAnswer, counts: LoadCounts): Next {
  if (answer.kind === "answered" && answer.status === 200) {
    if (Number(answer.headers.get("gyre-siblings") ?? "1") <= 1) return "done";
    counts.conflicts += 1;
    return "look";
  }
  if (answer.kind === "unsent") {
    counts.unreachable += 1;
    return "again";
  }
  const failure = failureOf(answer, 1);
  if (failure.code === "invalid_context") return "look";
  const isFinal = answer.kind === "answered" && answer.status < 500 && answer.status !== 429;
  if (isFinal) return { rejected: `${failure.code}: ${failure.detail}` };
  if (failure.outcome === "not_applied") counts.notApplied += 1;
  else counts.unknown += 1;
  return failure.outcome === "not_applied" ? "again" : "look";
}

/** Stores records under a plan. */
export class RecordStore {
  readonly #plan: StorePlan;
  readonly #counts: LoadCounts;
  #turn = 0;

  constructor(plan: StorePlan, counts: LoadCounts) {
    this.#plan = plan;
    this.#counts = counts;
  }

  /** Stores one value; nodes take turns, and each further attempt goes to the next node. */
  async store(key: string, bytes: Uint8Array): Promise<StoreResult> {
    const { nodes, patienceMs, nowMs, isStopping } = this.#plan;
    const endsMs = nowMs() + patienceMs;
    const first = this.#turn;
    this.#turn = (this.#turn + 1) % nodes.length;
    let context: string | undefined;
    let wasUnknown = false;
    for (let attempt = 0; ; attempt += 1) {
      const answer = await this.#put(this.#node(first + attempt), { key, bytes, context });
      const next = nextAfter(answer, this.#counts);
      if (next === "done") {
        this.#counts.applied += 1;
        return { kind: "applied", wasUnknown };
      }
      if (typeof next === "object") return { kind: "rejected", reason: next.rejected };
      if (nowMs() > endsMs || isStopping()) return { kind: "gave_up", reason: failureOf(answer, attempt + 1).detail };
      this.#counts.retries += 1;
      wasUnknown ||= next === "look";
      if (attempt + 1 >= nodes.length || next === "look") await this.#wait(attempt, next === "look");
      if (next === "look") context = await this.#contextOf(key, first + attempt + 1);
    }
  }

  /**
   * Looks at a key again whose write was once unknown: when it came through beside its repetition, both are replaced by the
   * value. True when all is well.
   */
  async settle(key: string, bytes: Uint8Array): Promise<boolean> {
    const answer = await this.#get(this.#node(this.#turn), key);
    const isSame = answer.kind === "answered" && answer.status === 200 && Buffer.compare(answer.bytes, bytes) === 0;
    if (isSame) return true;
    const context = answer.kind === "answered" ? (answer.headers.get("gyre-context") ?? undefined) : undefined;
    if (context === undefined) return (await this.store(key, bytes)).kind === "applied";
    const written = await this.#put(this.#node(this.#turn), { key, bytes, context });
    return nextAfter(written, this.#counts) === "done" || (await this.store(key, bytes)).kind === "applied";
  }

  #node(turn: number): string {
    return this.#plan.nodes[turn % this.#plan.nodes.length] ?? "";
  }

  #wait(attempt: number, isLook: boolean): Promise<void> {
    const round = Math.floor(attempt / this.#plan.nodes.length) + 2;
    return this.#plan.pause((isLook ? SETTLE_MS : 0) + backoffMs(round, this.#plan.random));
  }

  #put(
    node: string,
    what: { readonly key: string; readonly bytes: Uint8Array; readonly context: string | undefined },
  ): Promise<NodeAnswer> {
    const { bucket, contentType, timeoutMs, fetch } = this.#plan;
    const context: Record<string, string> = what.context === undefined ? {} : { "gyre-context": what.context };
    const headers = { "content-type": contentType, ...context };
    return askNode(fetch, node, {
      method: "PUT",
      path: keyPath(bucket, what.key),
      headers,
      body: what.bytes,
      timeoutMs,
    });
  }

  #get(node: string, key: string): Promise<NodeAnswer> {
    const { bucket, timeoutMs, fetch } = this.#plan;
    return askNode(fetch, node, { method: "GET", path: `${keyPath(bucket, key)}?raw=true`, timeoutMs });
  }

  /** The context of what is there now, from the first node that answers; undefined: nothing is, or nobody tells. */
  async #contextOf(key: string, turn: number): Promise<string | undefined> {
    for (let step = 0; step < this.#plan.nodes.length; step += 1) {
      const answer = await this.#get(this.#node(turn + step), key);
      if (answer.kind === "answered" && answer.status < 500) return answer.headers.get("gyre-context") ?? undefined;
    }
    return undefined;
  }
}
