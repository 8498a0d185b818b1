/**
 * How much of their full pace the works behind the scenes may take (hints, read repair, anti-entropy, transfers, scrub, compaction,
 * collection): one share for all of them, halved while clients feel it and given back in small steps. Pure: readings in, a share out.
 * Must never come to nothing: what is only ever put off is never repaired.
 * Sources: Dynamo §6.5 (admission of background tasks by foreground latency); AIMD (Chiu & Jain 1989).
 */
import {
  BACKGROUND_SHARE_AT_START,
  BACKGROUND_SHARE_FLOOR,
  BASELINE_MEMORY_MS,
  FOREGROUND_TARGET_MAX_MS,
  FOREGROUND_TARGET_MIN_MS,
  FOREGROUND_TARGET_UNKNOWN_MS,
  GOVERNOR_START_MS,
  PRESSING_LOOP_DELAY_MS,
  PRESSING_UTILISATION,
} from "../base/load-limits.ts";

/** What is looked at; the latencies are those of clients' requests of single keys. */
export interface GovernorReading {
  readonly nowMs: number;
  /** undefined: too few requests to tell */
  readonly readP99Ms: number | undefined;
  readonly writeP99Ms: number | undefined;
  /** the longest delay of the event loop since the last reading, in milliseconds */
  readonly loopDelayMs: number;
  /** 0 … 1, of the event loop since the last reading */
  readonly utilisation: number;
  /** writes, of whomever, wait for this node's disk */
  readonly isDiskSlow: boolean;
}

/** above this pressure the share is cut, below the other one it grows; between them it stays */
const CUT_ABOVE = 1;
const GROW_BELOW = 0.8;
const CUT_FACTOR = 1 / 2;
const GROWTH = 1 / 16;
/** those who wait for it may be other nodes' clients, whose latencies are not known here */
const SLOW_DISK_PRESSURE = 2;
/** p99 over the quiet p99 that clients are asked to bear */
const BEARABLE_FACTOR = 1.5;
const BASELINE_SLOTS = 15;
/** how far one p99 moves what is taken for the typical one: down a little faster than up */
const LEARNT_DOWN = 1 / 8;
const LEARNT_UP = 1 / 16;

/**
 * What p99 typically was in the quietest while of the last half hour. Not the lowest p99 ever met: of few requests that is
 * mere luck, and whoever is measured by luck never comes up to it.
 */
class Baseline {
  readonly #lowestMs: number[] = [];
  #slotSinceMs = Number.NEGATIVE_INFINITY;
  #typicalMs: number | undefined;

  observe(nowMs: number, seenMs: number): void {
    const before = this.#typicalMs ?? seenMs;
    const p99Ms = before + (seenMs - before) * (seenMs < before ? LEARNT_DOWN : LEARNT_UP);
    this.#typicalMs = p99Ms;
    if (nowMs - this.#slotSinceMs >= BASELINE_MEMORY_MS / BASELINE_SLOTS) {
      this.#slotSinceMs = nowMs;
      this.#lowestMs.push(p99Ms);
      if (this.#lowestMs.length > BASELINE_SLOTS) this.#lowestMs.shift();
    }
    const last = this.#lowestMs.length - 1;
    this.#lowestMs[last] = Math.min(this.#lowestMs[last] ?? p99Ms, p99Ms);
  }

  /** What p99 may come to before background work yields. */
  targetMs(): number {
    const quietMs = this.#lowestMs.reduce((lowest, one) => Math.min(lowest, one), Number.POSITIVE_INFINITY);
    // Before two minutes of them are known it has met little but cold code and its own catching up: not what clients bear.
    const mostMs = this.#lowestMs.length < 2 ? FOREGROUND_TARGET_UNKNOWN_MS : FOREGROUND_TARGET_MAX_MS;
    return Math.min(mostMs, Math.max(FOREGROUND_TARGET_MIN_MS, quietMs * BEARABLE_FACTOR));
  }
}

/** The governor of one node. */
export class GovernorCore {
  readonly #reads = new Baseline();
  readonly #writes = new Baseline();
  #share = 1;
  #pressure = 0;
  #gentleUntilMs = Number.NEGATIVE_INFINITY;

  /** A start: the least part of the full pace, and more as soon as clients are seen to bear it. */
  begin(nowMs: number): void {
    this.#share = BACKGROUND_SHARE_AT_START;
    this.#gentleUntilMs = nowMs + GOVERNOR_START_MS;
  }

  /** 0 < share ≤ 1; 1: full pace. */
  get share(): number {
    return this.#share;
  }

  /** How much clients feel at the last look; above 1 it is too much. */
  get pressure(): number {
    return this.#pressure;
  }

  /** What reads' and writes' p99 may come to, in milliseconds. */
  get targetsMs(): { readonly read: number; readonly write: number } {
    return { read: this.#reads.targetMs(), write: this.#writes.targetMs() };
  }

  /** Looks once; to be called at even intervals. */
  look(reading: GovernorReading): void {
    const { nowMs, readP99Ms, writeP99Ms, loopDelayMs, utilisation, isDiskSlow } = reading;
    this.#pressure = Math.max(
      feltIn(this.#reads, nowMs, readP99Ms),
      feltIn(this.#writes, nowMs, writeP99Ms),
      loopDelayMs / PRESSING_LOOP_DELAY_MS,
      utilisation > PRESSING_UTILISATION ? utilisation / PRESSING_UTILISATION : 0,
      isDiskSlow ? SLOW_DISK_PRESSURE : 0,
    );
    if (this.#pressure > CUT_ABOVE) this.#share *= CUT_FACTOR;
    else if (this.#pressure < GROW_BELOW) this.#share += GROWTH;
    const floor = nowMs < this.#gentleUntilMs ? BACKGROUND_SHARE_AT_START : BACKGROUND_SHARE_FLOOR;
    this.#share = Math.min(1, Math.max(floor, this.#share));
  }
}

function feltIn(baseline: Baseline, nowMs: number, p99Ms: number | undefined): number {
  if (p99Ms === undefined) return 0;
  baseline.observe(nowMs, p99Ms);
  return p99Ms / baseline.targetMs();
}
