/**
 * Sessions under an oracle for clusters whose links come and go: each reads at least what it has seen, writes with what it read or
 * beside it, and takes every answer for what it is: nothing is tried again. Must never judge by itself: the oracle does.
 */
import { Oracle, type WriteRecord } from "../sim/oracle.ts";
import type { SeededDraws } from "../support/seeded.ts";
import { PATIENCE_MS, pause, type RealCluster } from "./cluster.ts";
import { type Answer, tryAsk, valuesOf } from "./http.ts";

/** How much load, and of what. */
export interface SplitPlan {
  /** of its own for each load on one cluster: an oracle knows only its own writes */
  readonly bucket: string;
  readonly sessionCount: number;
  readonly keyCount: number;
  readonly draws: SeededDraws;
  /** mean pause between two operations of a session, ms */
  readonly thinkMs: number;
  /** what reads and writes are asked with, as queries: one of them each time */
  readonly knobs: readonly string[];
  /** with each of these every read meets every write */
  readonly isStrict: boolean;
  /** operations that look at nothing first and stand beside what is there, of a hundred */
  readonly blindPercent: number;
}

/** What the sessions were told. */
export interface SplitCounts {
  applied: number;
  notApplied: number;
  unknown: number;
  found: number;
  failedReads: number;
  /** reads that demanded a version which this very session had written */
  ownReads: number;
}

/** What a session knows of a key. */
interface Seen {
  /** what a write builds on: the last read; undefined: it has written since */
  readonly basis: { readonly context: string; readonly saw: readonly number[] } | undefined;
  /** what every read must show, or newer */
  readonly demanded: { readonly context: string; readonly ids: readonly number[]; readonly isOwn: boolean };
}

/** Where a key is, and who asks. */
interface Call {
  readonly url: string;
  readonly key: string;
  readonly seen: Map<string, Seen>;
}

const PERCENT = 100;
/** Of the operations that could follow on a read. */
const READ_PERCENT = 45;
/** Reads that demand nothing: quorums alone must show them everything. */
const PLAIN_READ_PERCENT = 50;

/** Load through all nodes, until `stop`. */
export class SplitLoad {
  readonly oracle: Oracle = new Oracle();
  readonly counts: SplitCounts = { applied: 0, notApplied: 0, unknown: 0, found: 0, failedReads: 0, ownReads: 0 };
  readonly #cluster: RealCluster;
  readonly #plan: SplitPlan;
  readonly #sessions: Promise<unknown>;
  #nextId = 1;
  #isStopped = false;

  constructor(cluster: RealCluster, plan: SplitPlan) {
    this.#cluster = cluster;
    this.#plan = plan;
    this.#sessions = Promise.all(Array.from({ length: plan.sessionCount }, () => this.#session()));
  }

  /** Ends; resolves when the last operation has. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#sessions;
  }

  /** A test that fails leaves no load behind. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** Has every key judged, as read from all replicas through every node. Throws when one cannot be read. */
  async judge(): Promise<void> {
    const nodes = Array.from({ length: this.#cluster.size }, (_, node) => node);
    await Promise.all(nodes.map((node) => this.#judgeThrough(node)));
  }

  async #judgeThrough(node: number): Promise<void> {
    for (let i = 0; i < this.#plan.keyCount; i += 1) {
      const answer = await this.#readAll(this.#url(node, `k${i}`, "r=all&sloppy=false"));
      this.oracle.onFinal(`k${i}`, idsOf(answer), `n${node + 1}`);
    }
  }

  async #readAll(url: string): Promise<Answer> {
    const endsAt = performance.now() + PATIENCE_MS;
    for (;;) {
      const answer = await tryAsk(url);
      if (answer?.status === 200 || answer?.status === 404) return answer;
      if (performance.now() > endsAt) throw new Error(`cannot be read: ${url}: ${answer?.text ?? "no answer"}`);
      await pause(100);
    }
  }

  async #session(): Promise<void> {
    const { draws, keyCount, thinkMs, knobs, blindPercent } = this.#plan;
    const seen = new Map<string, Seen>();
    while (!this.#isStopped) {
      await pause(draws.below(2 * thinkMs));
      const key = `k${draws.below(keyCount)}`;
      const query = knobs[draws.below(knobs.length)] ?? "";
      const call = { url: this.#url(draws.below(this.#cluster.size), key, query), key, seen };
      const basis = seen.get(key)?.basis;
      if (draws.below(PERCENT) < blindPercent) await this.#write(call, undefined);
      else if (basis === undefined || draws.below(PERCENT) < READ_PERCENT) await this.#read(call);
      else await this.#write(call, basis);
    }
  }

  #url(node: number, key: string, query: string): string {
    return `${this.#cluster.url(node)}/v1/kv/${this.#plan.bucket}/${key}?${query}`;
  }

  async #read({ url, key, seen }: Call): Promise<void> {
    const isPlain = this.#plan.draws.below(PERCENT) < PLAIN_READ_PERCENT;
    const demanded = isPlain ? undefined : seen.get(key)?.demanded;
    const invokedAt = performance.now();
    const answer = await tryAsk(url, demanded === undefined ? {} : { headers: { "gyre-context": demanded.context } });
    if (answer?.status !== 200 && answer?.status !== 404) {
      this.counts.failedReads += 1;
      return;
    }
    const saw = idsOf(answer);
    const must = demanded === undefined ? {} : { demanded: demanded.ids };
    this.oracle.onRead({ key, invokedAt, returnedAt: performance.now(), saw, isStrict: this.#plan.isStrict, ...must });
    if (demanded?.isOwn === true) this.counts.ownReads += 1;
    const context = answer.headers.get("gyre-context");
    if (answer.status !== 200 || context === null) return;
    this.counts.found += 1;
    // without strict quorums a plain read may be older than what this session has seen: it demands that as before
    const next = isPlain && !this.#plan.isStrict ? seen.get(key)?.demanded : undefined;
    seen.set(key, { basis: { context, saw }, demanded: next ?? { context, ids: saw, isOwn: false } });
  }

  async #write({ url, key, seen }: Call, basis: Seen["basis"]): Promise<void> {
    const record = this.#begin(key, basis?.saw ?? []);
    const answer = await tryAsk(basis === undefined ? `${url}&blind=sibling` : url, {
      method: "PUT",
      body: JSON.stringify(record.id),
      headers: basis === undefined ? {} : { "gyre-context": basis.context },
    });
    this.#settle(record, answer);
    const context = answer?.headers.get("gyre-context");
    if (record.outcome !== "applied" || typeof context !== "string") return;
    seen.set(key, { basis: undefined, demanded: { context, ids: [record.id], isOwn: true } });
  }

  #begin(key: string, saw: readonly number[]): WriteRecord {
    const id = this.#nextId;
    this.#nextId += 1;
    const pending = { invokedAt: performance.now(), returnedAt: Number.POSITIVE_INFINITY, outcome: "unknown" } as const;
    const record: WriteRecord = { id, key, kind: "put", saw, ...pending };
    this.oracle.begin(record);
    return record;
  }

  #settle(record: WriteRecord, answer: Answer | undefined): void {
    const isRefused = answer?.body["outcome"] === "not_applied";
    if (answer?.status !== 200 && !isRefused) {
      this.counts.unknown += 1;
      return;
    }
    // whoever was shown it before has made it `applied`
    if (isRefused && record.outcome === "applied") {
      const detail = `write ${record.id} was shown to somebody before it was answered not_applied`;
      this.oracle.violations.push({ rule: "dishonest-not-applied", key: record.key, detail });
    }
    record.returnedAt = performance.now();
    record.outcome = isRefused ? "not_applied" : "applied";
    if (isRefused) this.counts.notApplied += 1;
    else this.counts.applied += 1;
  }
}

function idsOf(answer: Answer): readonly number[] {
  return answer.status === 200 ? valuesOf(answer).map(Number) : [];
}
