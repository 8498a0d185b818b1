/**
 * Calm: how busy this node is, looked at ten times a second, and what follows from it for all rooms: the share of
 * background work. Must never refuse or slow down anything itself: it says numbers, others act on them.
 */
import { GOVERNOR_LOOK_MS, GOVERNOR_MIN_SAMPLES, GOVERNOR_PATIENCE_MS, LOAD_SAMPLE_MS } from "../base/limits.ts";
import type { Clock, LoadMeter, Timer } from "../base/ports.ts";
import { GovernorCore } from "./governor-core.ts";
import { LatencyWindow } from "./latency-window-core.ts";

/** What calm works with. */
export interface CalmParts {
  readonly clock: Pick<Clock, "monotonicMs" | "setTimer">;
  /** undefined: nobody measures, and background work always has its full pace */
  readonly load: LoadMeter | undefined;
}

/** What is seen of a node's load, for people and metrics. */
export interface CalmView {
  /** 0 < share ≤ 1 of background work's full pace */
  readonly backgroundShare: number;
  /** above 1: clients feel it too much */
  readonly pressure: number;
  /** at the last look, of requests of single keys; undefined: too few to tell */
  readonly readP99Ms: number | undefined;
  readonly writeP99Ms: number | undefined;
  readonly targetsMs: { readonly read: number; readonly write: number };
  /** the longest of the last look */
  readonly loopDelayMs: number;
  /** 0 … 1, of the last look */
  readonly loopUtilisation: number;
}

/** The load of one node. */
export class Calm {
  readonly #parts: CalmParts;
  readonly #governor = new GovernorCore();
  readonly #reads = new PatientWindow();
  readonly #writes = new PatientWindow();
  #timer: Timer | undefined;
  #lookedMs = 0;
  #longestDelayMs = 0;
  #utilisationSum = 0;
  #sampleCount = 0;
  #last: Pick<CalmView, "readP99Ms" | "writeP99Ms" | "loopDelayMs" | "loopUtilisation"> = {
    readP99Ms: undefined,
    writeP99Ms: undefined,
    loopDelayMs: 0,
    loopUtilisation: 0,
  };

  constructor(parts: CalmParts) {
    this.#parts = parts;
  }

  /** Begins to look, where somebody measures. */
  start(): void {
    const { clock, load } = this.#parts;
    if (load === undefined) return;
    this.#lookedMs = clock.monotonicMs();
    load.read();
    this.#sampleLater(load);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** 0 < share ≤ 1: how much of its full pace background work may take now. A plain function, to be passed on. */
  readonly backgroundShare = (): number => this.#governor.share;

  /** A request of one key was answered so long after its headers had come. On the hot path: a few array writes. */
  readonly answered = (work: "read" | "write", latencyMs: number): void => {
    (work === "read" ? this.#reads : this.#writes).latencies.observe(latencyMs);
  };

  view(): CalmView {
    const { share, pressure, targetsMs } = this.#governor;
    return { backgroundShare: share, pressure, targetsMs, ...this.#last };
  }

  #sampleLater(load: LoadMeter): void {
    this.#timer = this.#parts.clock.setTimer(LOAD_SAMPLE_MS, () => {
      this.#sample(load);
      this.#sampleLater(load);
    });
  }

  #sample(load: LoadMeter): void {
    const { loopDelayMs, utilisation } = load.read();
    this.#longestDelayMs = Math.max(this.#longestDelayMs, loopDelayMs);
    this.#utilisationSum += utilisation;
    this.#sampleCount += 1;
    const nowMs = this.#parts.clock.monotonicMs();
    if (nowMs - this.#lookedMs >= GOVERNOR_LOOK_MS) this.#look(nowMs);
  }

  #look(nowMs: number): void {
    this.#last = {
      readP99Ms: this.#reads.p99Ms(nowMs),
      writeP99Ms: this.#writes.p99Ms(nowMs),
      loopDelayMs: this.#longestDelayMs,
      loopUtilisation: this.#utilisationSum / Math.max(1, this.#sampleCount),
    };
    const { loopUtilisation: utilisation, ...rest } = this.#last;
    this.#governor.look({ nowMs, utilisation, ...rest });
    this.#lookedMs = nowMs;
    this.#longestDelayMs = 0;
    this.#utilisationSum = 0;
    this.#sampleCount = 0;
  }
}

/** A window that waits for enough latencies, and forgets those that are old. */
class PatientWindow {
  readonly latencies = new LatencyWindow();
  #sinceMs = 0;

  /** p99 since the last answer of this method; undefined while there are too few to tell. */
  p99Ms(nowMs: number): number | undefined {
    const isEnough = this.latencies.count >= GOVERNOR_MIN_SAMPLES;
    const p99Ms = isEnough ? this.latencies.quantileMs(0.99) : undefined;
    if (isEnough || nowMs - this.#sinceMs >= GOVERNOR_PATIENCE_MS) {
      this.latencies.clear();
      this.#sinceMs = nowMs;
    }
    return p99Ms;
  }
}
