/**
 * The measured part of a bench. Closed loop: each connection sends its next request when it has its answer, so what a stall keeps
 * from being sent is in no latency. Open loop: requests are planned at a fixed rate, and a latency counts from the planned start, the
 * wait for a free connection included; what was never sent counts as long as it waited. Source: Tene, "How NOT to measure latency"; wrk2.
 */
import { failureOf } from "../../client/client.ts";
import type { NodeAnswer } from "../../client/http-node.ts";
import { type BenchTarget, readKey, writeKey } from "./bench-keys.ts";
import { FailureCounts, Latencies } from "./latencies.ts";

/** How long, how fast, and what. */
export interface BenchLoad {
  readonly durationMs: number;
  /** operations a second that are planned; undefined: closed loop */
  readonly rate: number | undefined;
  /** 0 … 1 */
  readonly writeShare: number;
  readonly pause: (ms: number) => Promise<void>;
  /** in [0, 1) */
  readonly random: () => number;
}

/** What was measured. */
export interface BenchResult {
  readonly seconds: number;
  readonly reads: Latencies;
  readonly writes: Latencies;
  /** how much later than planned requests left although a connection was free: the generator's own fault */
  readonly lateness: Latencies;
  readonly failures: FailureCounts;
  /** of the open loop: operations that were due and never sent; their waits so far */
  readonly unsent: Latencies;
}

/** Loads the target until the time is over or somebody stops it. One request a connection at a time: memory does not grow. */
export async function runBench(target: BenchTarget, load: BenchLoad): Promise<BenchResult> {
  const run = new BenchRun(target, load);
  await run.go();
  return run.result();
}

class BenchRun {
  readonly #target: BenchTarget;
  readonly #load: BenchLoad;
  readonly #startMs: number;
  readonly #reads = new Latencies();
  readonly #writes = new Latencies();
  readonly #lateness = new Latencies();
  readonly #failures = new FailureCounts();
  #next = 0;
  #endMs: number;

  constructor(target: BenchTarget, load: BenchLoad) {
    this.#target = target;
    this.#load = load;
    this.#startMs = target.nowMs();
    this.#endMs = this.#startMs + load.durationMs;
  }

  async go(): Promise<void> {
    const { connectionCount, nowMs, isStopping } = this.#target;
    await Promise.all(Array.from({ length: connectionCount }, () => this.#connection()));
    if (isStopping()) this.#endMs = Math.min(this.#endMs, nowMs());
  }

  result(): BenchResult {
    const { nowMs } = this.#target;
    return {
      seconds: (Math.max(nowMs(), this.#endMs) - this.#startMs) / 1_000,
      reads: this.#reads,
      writes: this.#writes,
      lateness: this.#lateness,
      failures: this.#failures,
      unsent: this.#unsent(),
    };
  }

  async #connection(): Promise<void> {
    const { nowMs, isStopping } = this.#target;
    for (;;) {
      const turn = this.#next;
      const plannedMs = this.#plannedMs(turn);
      if (nowMs() >= this.#endMs || plannedMs >= this.#endMs || isStopping()) return;
      this.#next += 1;
      if (!(await this.#waitFor(plannedMs))) return;
      await this.#operation(turn, this.#load.rate === undefined ? nowMs() : plannedMs);
    }
  }

  /** When the operation is to be sent; of the closed loop: at once. */
  #plannedMs(turn: number): number {
    const { rate } = this.#load;
    return rate === undefined ? 0 : this.#startMs + (turn * 1_000) / rate;
  }

  /** False when the bench was stopped meanwhile. */
  async #waitFor(plannedMs: number): Promise<boolean> {
    const { nowMs, isStopping } = this.#target;
    if (nowMs() >= plannedMs) return true;
    while (nowMs() < plannedMs) {
      if (isStopping()) return false;
      await this.#load.pause(Math.min(LOOK_MS, plannedMs - nowMs()));
    }
    this.#lateness.record(nowMs() - plannedMs);
    return true;
  }

  async #operation(turn: number, fromMs: number): Promise<void> {
    const target = this.#target;
    const { random, writeShare } = this.#load;
    const isWrite = random() < writeShare;
    const key = Math.floor(random() * target.keyCount);
    const answer = await (isWrite ? writeKey(target, turn, key) : readKey(target, turn, key));
    if (isServed(answer)) (isWrite ? this.#writes : this.#reads).record(target.nowMs() - fromMs);
    else this.#failures.add(answer.kind === "lost" ? "no_answer" : failureOf(answer, 1).code);
  }

  /** What is due when the time is over and was not sent has waited at least until then: without it, the worst would be left out. */
  #unsent(): Latencies {
    const waits = new Latencies();
    if (this.#load.rate === undefined) return waits;
    for (let turn = this.#next; this.#plannedMs(turn) < this.#endMs; turn += 1) {
      waits.record(this.#endMs - this.#plannedMs(turn));
    }
    return waits;
  }
}

/** How often a pause looks whether somebody wants to stop, ms. */
const LOOK_MS = 200;

function isServed(answer: NodeAnswer): boolean {
  return answer.kind === "answered" && answer.status === 200;
}
