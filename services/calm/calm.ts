/**
 * Calm: how busy this node is, looked at ten times a second, and what follows from it for all rooms: how much is admitted of
 * each class, and the share of background work. Must never refuse or slow down anything itself: it says numbers, others act
 * on them. Where nobody measures (in simulations) nothing is limited.
 */
import {
  GOVERNOR_LOOK_MS,
  GOVERNOR_MIN_SAMPLES,
  GOVERNOR_PATIENCE_MS,
  LOAD_SAMPLE_MS,
  MEMORY_LOOK_MS,
  SLOW_START_MS,
} from "../base/load-limits.ts";
import type { Clock, LoadMeter, Log, Timer } from "../base/ports.ts";
import { AdmissionLimits, type ApiCounts, type LimitCause, type Work } from "./admission-limits-core.ts";
import { GovernorCore } from "./governor-core.ts";
import { LatencyWindow } from "./latency-window-core.ts";
import type { LoopStrain } from "./loop-strain-core.ts";
import { type MemoryState, memoryShareOf, nextMemoryState } from "./memory-core.ts";
import { slowStartShare } from "./slow-start-core.ts";
import { goesOnWarmingUp } from "./warm-up-core.ts";

/** What calm works with. */
export interface CalmParts {
  readonly clock: Pick<Clock, "monotonicMs" | "setTimer">;
  readonly log: Pick<Log, "info" | "warn">;
  /** undefined: nobody measures */
  readonly load: LoadMeter | undefined;
  /** there are other members that can take what this node does not; a lone node has no slow start */
  readonly hasOthers: () => boolean;
  /** what is to become durable waits for the disk */
  readonly isDiskSlow: () => boolean;
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
  readonly strain: LoopStrain;
  readonly memory: MemoryState;
  /** 0 … 1, and more: of what the process may have */
  readonly memoryShare: number;
  /** 0 < share ≤ 1: less than 1 soon after a start */
  readonly startShare: number;
  /** requests of the class that may be under way */
  readonly limits: { readonly read: number; readonly write: number; readonly list: number };
}

const NO_COUNTS: ApiCounts = { inflightOf: () => 0, refusedOf: () => 0 };

/** The load of one node. */
export class Calm {
  readonly #parts: CalmParts;
  readonly #governor = new GovernorCore();
  readonly #admission = new AdmissionLimits();
  readonly #read = new LatencyWindow();
  readonly #write = new LatencyWindow();
  readonly #reads = new PatientWindow();
  readonly #writes = new PatientWindow();
  #counts: ApiCounts = NO_COUNTS;
  #timer: Timer | undefined;
  #startedMs = 0;
  #isWarmingUp = false;
  #lookedMs = 0;
  #memoryLookedMs = Number.NEGATIVE_INFINITY;
  #memory: MemoryState = "roomy";
  #memoryShare = 0;
  #startShare = 1;
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

  /** Begins to look, where somebody measures. `warmsUp`: it has been here before, and works for others first. */
  start(warmsUp: boolean): void {
    const { clock, load } = this.#parts;
    if (load === undefined) return;
    this.#isWarmingUp = warmsUp;
    this.#startedMs = clock.monotonicMs();
    this.#governor.begin(this.#startedMs);
    this.#lookedMs = this.#startedMs;
    load.read();
    this.#sampleLater(load);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** 0 < share ≤ 1: how much of its full pace background work may take now. A plain function, to be passed on. */
  readonly backgroundShare = (): number => this.#governor.share;

  /** Clients had better ask others yet; over within seconds. */
  get isWarmingUp(): boolean {
    return this.#isWarmingUp;
  }

  /** Requests are turned away for want of room, or wait for it. A plain function, to be passed on. */
  readonly isShedding = (): boolean => this.#admission.isShedding;

  /** Requests of the class that may be under way now. Asked for every request. */
  limitOf(work: Work): number {
    return this.#admission.of(work);
  }

  /** False: nothing is taken that brings a value, as long as memory is full. */
  takesValues(): boolean {
    return this.#admission.takesValues;
  }

  /** Why there are so few, in words. */
  reasonOf(work: Work): string {
    return this.#admission.reasonOf(work);
  }

  /** The same by its name. */
  causeOf(work: Work): LimitCause {
    return this.#admission.causeOf(work);
  }

  /** A request of one key was answered so long after its headers had come. On the hot path: some array writes. */
  answered(work: "read" | "write", latencyMs: number): void {
    (work === "read" ? this.#read : this.#write).observe(latencyMs);
  }

  /** Looks at these counts from now on. */
  follow(counts: ApiCounts): void {
    this.#counts = counts;
  }

  view(): CalmView {
    const { share, pressure, targetsMs } = this.#governor;
    const limits = { read: this.limitOf("read"), write: this.limitOf("write"), list: this.limitOf("list") };
    return {
      backgroundShare: share,
      pressure,
      targetsMs,
      ...this.#last,
      strain: this.#admission.strain,
      memory: this.#memory,
      memoryShare: this.#memoryShare,
      startShare: this.#startShare,
      limits,
    };
  }

  #sampleLater(load: LoadMeter): void {
    this.#timer = this.#parts.clock.setTimer(LOAD_SAMPLE_MS, () => {
      this.#sample(load);
      this.#sampleLater(load);
    });
  }

  #sample(load: LoadMeter): void {
    const { clock, hasOthers } = this.#parts;
    const nowMs = clock.monotonicMs();
    const { loopDelayMs, utilisation } = load.read();
    this.#longestDelayMs = Math.max(this.#longestDelayMs, loopDelayMs);
    this.#utilisationSum += utilisation;
    this.#sampleCount += 1;
    if (nowMs - this.#memoryLookedMs >= MEMORY_LOOK_MS) this.#lookAtMemory(load, nowMs);
    const sinceStartMs = nowMs - this.#startedMs;
    this.#startShare = sinceStartMs >= SLOW_START_MS ? 1 : slowStartShare(sinceStartMs, hasOthers());
    const sample = { nowMs, loopDelayMs, utilisation, memory: this.#memory, startShare: this.#startShare };
    this.#admission.sample(sample, { read: this.#read, write: this.#write }, this.#counts);
    this.#reads.add(this.#read);
    this.#writes.add(this.#write);
    if (nowMs - this.#lookedMs >= GOVERNOR_LOOK_MS) this.#look(nowMs);
  }

  #lookAtMemory({ memoryLimitBytes, heapLimitBytes, memory }: LoadMeter, nowMs: number): void {
    this.#memoryLookedMs = nowMs;
    this.#memoryShare = memoryShareOf({ memoryLimitBytes, heapLimitBytes, ...memory() });
    const before = this.#memory;
    this.#memory = nextMemoryState(before, this.#memoryShare);
    if (this.#memory === before) return;
    const facts = { event: `calm.memory-${this.#memory}`, sharePercent: Math.round(this.#memoryShare * 100) };
    if (this.#memory === "roomy") this.#parts.log.info(facts);
    else this.#parts.log.warn(facts);
  }

  #look(nowMs: number): void {
    this.#last = {
      readP99Ms: this.#reads.p99Ms(nowMs),
      writeP99Ms: this.#writes.p99Ms(nowMs),
      loopDelayMs: this.#longestDelayMs,
      loopUtilisation: this.#utilisationSum / Math.max(1, this.#sampleCount),
    };
    const { loopUtilisation: utilisation, ...rest } = this.#last;
    // Without clients of its own it hears of nobody's patience.
    const isDiskSlow = this.#parts.isDiskSlow();
    if (!this.#isWarmingUp) this.#governor.look({ nowMs, utilisation, isDiskSlow, ...rest });
    const warmth = { sinceStartMs: nowMs - this.#startedMs, utilisation, hasOthers: this.#parts.hasOthers() };
    this.#isWarmingUp &&= goesOnWarmingUp(warmth);
    this.#lookedMs = nowMs;
    this.#longestDelayMs = 0;
    this.#utilisationSum = 0;
    this.#sampleCount = 0;
  }
}

/** A window that waits for enough latencies, and forgets those that are old. */
class PatientWindow {
  readonly #latencies = new LatencyWindow();
  #sinceMs = 0;

  /** Takes what is in the other window, and empties it. */
  add(window: LatencyWindow): void {
    this.#latencies.take(window);
  }

  /** p99 since the last answer of this method; undefined while there are too few to tell. */
  p99Ms(nowMs: number): number | undefined {
    const isEnough = this.#latencies.count >= GOVERNOR_MIN_SAMPLES;
    const p99Ms = isEnough ? this.#latencies.quantileMs(0.99) : undefined;
    if (isEnough || nowMs - this.#sinceMs >= GOVERNOR_PATIENCE_MS) {
      this.#latencies.clear();
      this.#sinceMs = nowMs;
    }
    return p99Ms;
  }
}
