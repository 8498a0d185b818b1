/**
 * Clients under an oracle for real clusters: sessions that read, write with what they read, write blind and delete, through
 * any node that runs, and never give an operation up: how long one failed in a row is measured. Must never judge by itself:
 * the oracle does.
 */
import { Oracle, type WriteRecord } from "../sim/oracle.ts";
import { pause, type RealCluster } from "./cluster.ts";
import { type Answer, tryAsk } from "./http.ts";

/** How much load, and of what. */
export interface LoadPlan {
  readonly sessionCount: number;
  readonly keyCount: number;
  readonly seed: number;
  /** mean pause between two operations of a session, ms */
  readonly thinkMs: number;
  /** of its own for each load on one cluster: an oracle knows only its own writes */
  readonly bucket?: string;
  /** fallbacks may stand in: then a read need not meet every write; default: owners alone answer */
  readonly isSloppy?: boolean;
}

/** What the load met. */
export interface LoadCounts {
  operationCount: number;
  appliedCount: number;
  failedCount: number;
  /** the longest that one session's operation failed before it went through, ms */
  longestFailureMs: number;
  longestFailureText: string;
  readonly latenciesMs: number[];
}

interface Seen {
  readonly context: string;
  readonly saw: readonly number[];
}

type Verb = "read" | "follow" | "blind-sibling" | "blind-overwrite" | "delete";

/** Load on the nodes that `nodes` names, until `stop`. */
export class OracleLoad {
  readonly oracle: Oracle = new Oracle();
  readonly counts: LoadCounts = {
    operationCount: 0,
    appliedCount: 0,
    failedCount: 0,
    longestFailureMs: 0,
    longestFailureText: "",
    latenciesMs: [],
  };
  readonly #cluster: RealCluster;
  readonly #plan: LoadPlan;
  readonly #nodes: () => readonly number[];
  readonly #bucket: string;
  readonly #isSloppy: boolean;
  #state: number;
  #nextId = 1;
  #isStopped = false;
  #sessions: readonly Promise<void>[] = [];

  constructor(cluster: RealCluster, plan: LoadPlan, nodes: () => readonly number[]) {
    this.#cluster = cluster;
    this.#plan = plan;
    this.#nodes = nodes;
    this.#bucket = plan.bucket ?? "oracle";
    this.#isSloppy = plan.isSloppy === true;
    this.#state = plan.seed;
  }

  /** Begins. */
  start(): void {
    this.#sessions = Array.from({ length: this.#plan.sessionCount }, () => this.#session());
  }

  /** Ends; resolves when the last operation has. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#sessions);
  }

  /** A test that fails leaves no load behind. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** Reads every key from all replicas through a node, and has it judged. Answers the keys that could not be read. */
  async judge(node: number, when: string): Promise<readonly string[]> {
    const unread: string[] = [];
    for (let i = 0; i < this.#plan.keyCount; i += 1) {
      const key = `k${i}`;
      const answer = await this.#readAll(`${this.#cluster.url(node)}/v1/kv/${this.#bucket}/${key}?r=all`);
      if (answer === undefined) unread.push(key);
      else this.oracle.onFinal(key, answer.status === 200 ? idsOf(answer.body) : [], when);
    }
    return unread;
  }

  async #readAll(url: string): Promise<Answer | undefined> {
    for (let tries = 0; tries < 100; tries += 1) {
      const answer = await tryAsk(url);
      if (answer?.status === 200 || answer?.status === 404) return answer;
      await pause(100);
    }
    return undefined;
  }

  async #session(): Promise<void> {
    const seen = new Map<string, Seen>();
    while (!this.#isStopped) {
      await pause(this.#random() * 2 * this.#plan.thinkMs);
      const key = `k${Math.floor(this.#random() * this.#plan.keyCount)}`;
      const dice = this.#random();
      const verb: Verb =
        dice < 0.45
          ? "read"
          : dice < 0.8
            ? "follow"
            : dice < 0.86
              ? "blind-sibling"
              : dice < 0.93
                ? "blind-overwrite"
                : "delete";
      await this.#untilDone(key, verb, seen);
    }
  }

  /** Tries again, as a new operation through another node, until one goes through. */
  async #untilDone(key: string, verb: Verb, seen: Map<string, Seen>): Promise<void> {
    let failedSinceMs: number | undefined;
    for (let tries = 0; tries < 400; tries += 1) {
      const node = this.#pick();
      const startedMs = performance.now();
      const failure = await this.#once(node, { key, verb, seen });
      const endedMs = performance.now();
      this.counts.operationCount += 1;
      if (failure === undefined) {
        this.counts.latenciesMs.push(endedMs - startedMs);
        return;
      }
      this.counts.failedCount += 1;
      failedSinceMs ??= startedMs;
      if (endedMs - failedSinceMs > this.counts.longestFailureMs) {
        this.counts.longestFailureMs = endedMs - failedSinceMs;
        this.counts.longestFailureText = `${verb} ${key} through n${node + 1}: ${failure}`;
      }
      await pause(20);
      if (this.#isStopped) return;
    }
  }

  /** Undefined when it went through, else what was answered. */
  async #once(
    node: number,
    { key, verb, seen }: { readonly key: string; readonly verb: Verb; readonly seen: Map<string, Seen> },
  ): Promise<string | undefined> {
    const url = `${this.#cluster.url(node)}/v1/kv/${this.#bucket}/${key}?sloppy=${this.#isSloppy}`;
    if (verb === "read") return this.#read(url, key, seen);
    const known = verb === "blind-sibling" || verb === "blind-overwrite" ? undefined : seen.get(key);
    const isOverwrite = verb === "blind-overwrite" || (verb === "delete" && known === undefined);
    const id = this.#nextId;
    this.#nextId += 1;
    const record: WriteRecord = {
      id,
      key,
      kind: verb === "delete" ? "delete" : "put",
      saw: isOverwrite ? undefined : (known?.saw ?? []),
      invokedAt: performance.now(),
      returnedAt: Number.POSITIVE_INFINITY,
      outcome: "unknown",
    };
    this.oracle.begin(record);
    const headers: Record<string, string> = known === undefined ? {} : { "gyre-context": known.context };
    const isSibling = known === undefined && !isOverwrite;
    const answer = await tryAsk(isSibling ? `${url}&blind=sibling` : url, {
      method: verb === "delete" ? "DELETE" : "PUT",
      ...(verb === "delete" ? {} : { body: JSON.stringify({ id, padding: "x".repeat(id % 500) }) }),
      headers,
    });
    if (answer === undefined) return "no answer";
    if (answer.body["outcome"] === "unknown") return answer.text;
    record.returnedAt = performance.now();
    record.outcome = answer.status === 200 ? "applied" : "not_applied";
    if (answer.status === 413) {
      // siblings are at their limit: read, and resolve with the next write
      await this.#read(url, key, seen);
      return undefined;
    }
    if (answer.status !== 200) return answer.text;
    this.counts.appliedCount += 1;
    seen.delete(key);
    return undefined;
  }

  async #read(url: string, key: string, seen: Map<string, Seen>): Promise<string | undefined> {
    const invokedAt = performance.now();
    const answer = await tryAsk(url);
    if (answer === undefined) return "no answer";
    if (answer.status !== 200 && answer.status !== 404) return answer.text;
    const saw = answer.status === 200 ? idsOf(answer.body) : [];
    this.oracle.onRead({ key, invokedAt, returnedAt: performance.now(), saw, isStrict: !this.#isSloppy });
    const context = answer.headers.get("gyre-context");
    if (context !== null) seen.set(key, { context, saw });
    return undefined;
  }

  #pick(): number {
    const nodes = this.#nodes();
    return nodes[Math.floor(this.#random() * nodes.length)] ?? 0;
  }

  #random(): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return this.#state / 2 ** 32;
  }
}

function idsOf(body: Readonly<Record<string, unknown>>): readonly number[] {
  const siblings = body["siblings"];
  const values: readonly unknown[] = Array.isArray(siblings)
    ? siblings.map((one: { readonly value: unknown }) => one.value)
    : [body["value"]];
  return values.flatMap((value) =>
    typeof value === "object" && value !== null && "id" in value ? [Number(value.id)] : [],
  );
}
