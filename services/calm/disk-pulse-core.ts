/**
 * Whether the disk keeps up, as writes on the data path tell: how long they take, and how long nothing has become durable
 * while something should. Pure. Must never take a late event loop for a slow disk, nor a refusal for a sign of life: a store
 * refuses at once when its queue is full, most of all while its disk hangs. Sources: Gray failure (Huang et al. 2017: watch
 * what clients feel, not a timer beside it); reliability notes §4 O14.
 */
import {
  DISK_BAD_LOOKS,
  DISK_GOOD_LOOKS,
  DISK_SLOW_PUT_MS,
  DISK_STALL_MS,
  PULSE_LATE_LOOP_MS,
} from "../base/load-limits.ts";
import { LatencyWindow } from "./latency-window-core.ts";

/** `slow`: worth a warning; `degraded`: for so long that others had better ask this node last. */
export type DiskState = "well" | "slow" | "degraded";

/** The pulse of one disk; times are of the monotonic clock, in milliseconds. */
export class DiskPulseCore {
  readonly #window = new LatencyWindow();
  #state: DiskState = "well";
  /** how many of those that wait began in which millisecond, the oldest first; whole ones, for fractions cost three times as much */
  readonly #waiting = new Map<number, number>();
  /** when something last became durable */
  #durableMs = 0;
  #badCount = 0;
  #goodCount = 0;
  #medianMs = 0;
  #stallMs = 0;

  get state(): DiskState {
    return this.#state;
  }

  /** Of the writes that became durable between the last two looks, ms; 0: there were none. */
  get medianMs(): number {
    return this.#medianMs;
  }

  /** For how long nothing had become durable at the last look although something waited, ms. */
  get stallMs(): number {
    return this.#stallMs;
  }

  /** Whether nothing is under way and nothing has become durable since `sinceMs`: then only a write of its own tells anything. */
  isSilentSince(sinceMs: number): boolean {
    return this.#waiting.size === 0 && this.#durableMs <= sinceMs;
  }

  /** A write was handed to the store. */
  began(nowMs: number): void {
    const atMs = Math.floor(nowMs);
    this.#waiting.set(atMs, (this.#waiting.get(atMs) ?? 0) + 1);
  }

  /** The one that began then became durable. */
  becameDurable(beganMs: number, nowMs: number): void {
    this.#waitsNoMore(beganMs);
    this.#durableMs = nowMs;
    this.#window.observe(nowMs - beganMs);
  }

  /** The one that began then was refused, or failed: it waits no more, and says nothing of the disk. */
  wasRefused(beganMs: number): void {
    this.#waitsNoMore(beganMs);
  }

  /** Looks, once a second; `loopDelayMs`: the longest delay of the event loop since the last look. */
  look(nowMs: number, loopDelayMs: number): DiskState {
    const durableCount = this.#window.count;
    this.#medianMs = this.#window.quantileMs(0.5);
    this.#stallMs = this.#stallAt(nowMs);
    this.#window.clear();
    if (this.#stallMs > DISK_STALL_MS || this.#medianMs > DISK_SLOW_PUT_MS) {
      // Whoever was late itself cannot tell.
      if (loopDelayMs < PULSE_LATE_LOOP_MS) this.#isBad();
    } else if (durableCount > 0) this.#isGood();
    return this.#state;
  }

  /** Of two that wait the older one counts: when it is refused, the other has waited no longer for that. */
  #stallAt(nowMs: number): number {
    const [oldestMs] = this.#waiting.keys();
    return oldestMs === undefined ? 0 : Math.max(0, nowMs - Math.max(oldestMs, this.#durableMs));
  }

  #waitsNoMore(beganMs: number): void {
    const atMs = Math.floor(beganMs);
    const count = this.#waiting.get(atMs) ?? 0;
    if (count > 1) this.#waiting.set(atMs, count - 1);
    else this.#waiting.delete(atMs);
  }

  #isBad(): void {
    this.#goodCount = 0;
    this.#badCount += 1;
    if (this.#badCount >= DISK_BAD_LOOKS) this.#state = "degraded";
    else if (this.#state === "well") this.#state = "slow";
  }

  #isGood(): void {
    this.#badCount = 0;
    this.#goodCount += 1;
    if (this.#state === "slow" || this.#goodCount >= DISK_GOOD_LOOKS) this.#state = "well";
  }
}
