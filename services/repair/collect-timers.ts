/**
 * When collecting does what: background work over and over, with rests that leave the foreground its share. Must never run
 * anything after it was stopped, nor let an error of background work escape.
 */
import { StoreClosedError } from "../../storage/errors.ts";
import { COLLECT_AGAIN_MS } from "../base/limits.ts";
import type { Clock, Log, Random, Timer } from "../base/ports.ts";

/** What the timers work with. */
export interface CollectTimerParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** 0 … 1: the share of its full pace that background work has now */
  readonly share: () => number;
}

/** A step of background work counts as at least so long, and is followed by a rest of at least so long. */
export const STEP_REST_MS: number = 1;
/** A rest for the foreground's sake is never longer: until a node has caught up it hides what it holds. */
const LONGEST_REST_MS = 200;
const LEAST_SHARE = 0.01;

/** Rests after a step, so that the foreground comes first; false: the node stops. */
export type StepRest = () => Promise<boolean>;

/** The timers of one node's collecting. */
export class CollectTimers {
  readonly #parts: CollectTimerParts;
  readonly #timers = new Set<Timer>();
  readonly #pauses = new Map<Timer, () => void>();
  #isStopped = true;

  constructor(parts: CollectTimerParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#isStopped = false;
  }

  /** Ends all waiting at once. */
  stop(): void {
    this.#isStopped = true;
    for (const timer of this.#timers) timer.cancel();
    for (const [timer, goOn] of this.#pauses) {
      timer.cancel();
      goOn();
    }
    this.#timers.clear();
    this.#pauses.clear();
  }

  /** `run` answers how long to wait before it is run again; about: nodes that start together drift apart. */
  every(firstMs: number, run: () => Promise<number>): void {
    this.after(firstMs, () => {
      void this.guarded(run).then((againMs) =>
        this.every((againMs ?? COLLECT_AGAIN_MS) * (0.9 + this.#parts.random.float() / 5), run),
      );
    });
  }

  after(ms: number, run: () => void): void {
    if (this.#isStopped) return;
    const timer = this.#parts.clock.setTimer(ms, () => {
      this.#timers.delete(timer);
      run();
    });
    this.#timers.add(timer);
  }

  /** Undefined when it failed: that is logged. */
  async guarded<T>(run: () => Promise<T>): Promise<T | undefined> {
    try {
      return await run();
    } catch (error) {
      // A store that is closed or has failed tells so itself.
      if (this.#isStopped || error instanceof StoreClosedError) return undefined;
      this.#parts.log.warn({ event: "collect.failed", error });
      return undefined;
    }
  }

  /** Work in steps begins: call what is answered after each of them. It rests until the step's time is the share of both. */
  steps(): StepRest {
    const { clock } = this.#parts;
    let beganMs = clock.monotonicMs();
    return async () => {
      if (this.#isStopped) return false;
      await this.pause(this.#restMs(clock.monotonicMs() - beganMs));
      beganMs = clock.monotonicMs();
      return !this.#isStopped;
    };
  }

  /** Resolves after so many ms, or at once when this is stopped. */
  pause(ms: number): Promise<void> {
    if (this.#isStopped) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#parts.clock.setTimer(ms, () => {
        this.#pauses.delete(timer);
        resolve();
      });
      this.#pauses.set(timer, resolve);
    });
  }

  #restMs(tookMs: number): number {
    const share = Math.max(LEAST_SHARE, this.#parts.share());
    const restMs = Math.max(STEP_REST_MS, tookMs) * (1 / share - 1);
    return Math.min(LONGEST_REST_MS, Math.max(STEP_REST_MS, restMs));
  }
}
