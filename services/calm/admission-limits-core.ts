/**
 * How many requests of each class are let in, from all that is known of the node: how long the typical request waits, how
 * late the event loop is, how full memory is, how long ago the start was. Pure: samples in, limits out. Must never limit
 * control work (health, metrics, membership), nor what other nodes ask. Source: DESIGN §10; reliability notes §4.2.
 */
import { BUSY_REQUESTS, FULL_MEMORY_DELETES, SHEDDING_MS, STRAINED_REQUESTS } from "../base/load-limits.ts";
import { ConcurrencyLimit, isTelling } from "./concurrency-core.ts";
import type { LatencyWindow } from "./latency-window-core.ts";
import { type LoopStrain, LoopStrainCore } from "./loop-strain-core.ts";
import type { MemoryState } from "./memory-core.ts";

/** Which work a request is, as the API sorts it. */
export type Work = "control" | "write" | "read" | "list";

/** What keeps a class's limit low: how long its requests wait (or a start shortly before), memory, or the event loop. */
export type LimitCause = "limit" | "memory" | "event_loop";

/** What the API counts. */
export interface ApiCounts {
  /** requests of the class under way now */
  inflightOf(work: Work): number;
  /** requests of the class refused since the start, or made to wait, for want of room: not for what they were themselves */
  refusedOf(work: Work): number;
}

/** One sample, ten a second. */
export interface AdmissionSample {
  readonly nowMs: number;
  readonly loopDelayMs: number;
  readonly utilisation: number;
  readonly memory: MemoryState;
  /** 0 < share ≤ 1, of a node that has just started */
  readonly startShare: number;
}

/** of its limits, while memory is tight: reads give memory back, writes keep some */
const TIGHT_SHARE = { read: 1 / 2, write: 1 / 4 };
const LIST_SHARE = 1 / 2;

/** One class that is limited by how long it takes. */
class MeasuredClass {
  readonly limit = new ConcurrencyLimit();
  readonly #work: Work;
  #refusedBefore = 0;

  constructor(work: Work) {
    this.#work = work;
  }

  /** Answers how many were refused since the last sample, or had to wait for room. */
  sample(nowMs: number, latencies: LatencyWindow, counts: ApiCounts): number {
    const refused = counts.refusedOf(this.#work);
    const refusedCount = refused - this.#refusedBefore;
    this.limit.interval({
      nowMs,
      medianMs: isTelling(latencies.count) ? latencies.quantileMs(0.5) : undefined,
      inflightCount: counts.inflightOf(this.#work),
      refusedCount,
    });
    this.#refusedBefore = refused;
    return refusedCount;
  }
}

/** The limits of one node. */
export class AdmissionLimits {
  readonly #reads = new MeasuredClass("read");
  readonly #writes = new MeasuredClass("write");
  readonly #loop = new LoopStrainCore();
  readonly #limits: Record<Work, number> = {
    control: Number.POSITIVE_INFINITY,
    write: Number.POSITIVE_INFINITY,
    read: Number.POSITIVE_INFINITY,
    list: Number.POSITIVE_INFINITY,
  };
  #strain: LoopStrain = "none";
  #memory: MemoryState = "roomy";
  #sampledMs = 0;
  #shedMs = Number.NEGATIVE_INFINITY;

  /** Requests of the class that may be under way. */
  of(work: Work): number {
    return this.#limits[work];
  }

  /** What the event loop can bear. */
  get strain(): LoopStrain {
    return this.#strain;
  }

  /** Requests of keys were turned away for want of room within the last second, or had to wait for it. */
  get isShedding(): boolean {
    return this.#sampledMs - this.#shedMs < SHEDDING_MS;
  }

  /** False while there is no memory for any. */
  get takesValues(): boolean {
    return this.#memory !== "full";
  }

  /** Why there are so few. */
  causeOf(work: Work): LimitCause {
    if (work === "write" && this.#memory === "full") return "memory";
    if (this.#strain === "data" || (this.#strain === "lists" && work === "list")) return "event_loop";
    return this.#memory === "roomy" ? "limit" : "memory";
  }

  /** The same in words. */
  reasonOf(work: Work): string {
    switch (this.causeOf(work)) {
      case "event_loop":
        return "this node's event loop is late";
      case "memory":
        return work === "write" && this.#memory === "full"
          ? "this node has no memory left for more deletes at a time"
          : "this node's memory is nearly full";
      case "limit":
        return `this node has all the ${work} work that it can do soon`;
    }
  }

  /** Takes one sample; the windows hold the latencies since the last one. */
  sample(
    sample: AdmissionSample,
    latencies: { readonly read: LatencyWindow; readonly write: LatencyWindow },
    counts: ApiCounts,
  ): void {
    const { nowMs, loopDelayMs, utilisation, memory, startShare } = sample;
    const readCount = this.#reads.sample(nowMs, latencies.read, counts);
    const writeCount = this.#writes.sample(nowMs, latencies.write, counts);
    this.#sampledMs = nowMs;
    if (readCount + writeCount > 0) this.#shedMs = nowMs;
    const isBusy = counts.inflightOf("read") + counts.inflightOf("write") >= BUSY_REQUESTS;
    this.#strain = this.#loop.sample(loopDelayMs, utilisation, isBusy);
    this.#memory = memory;
    const share = (work: "read" | "write"): number => startShare * (memory === "roomy" ? 1 : TIGHT_SHARE[work]);
    this.#limits.read = this.#borne(this.#reads.limit.limit * share("read"));
    this.#limits.write =
      memory === "full" ? FULL_MEMORY_DELETES : this.#borne(this.#writes.limit.limit * share("write"));
    this.#limits.list = this.#strain !== "none" || memory !== "roomy" ? 0 : this.#limits.read * LIST_SHARE;
  }

  #borne(limit: number): number {
    return this.#strain === "data" ? STRAINED_REQUESTS : Math.max(STRAINED_REQUESTS, Math.floor(limit));
  }
}
