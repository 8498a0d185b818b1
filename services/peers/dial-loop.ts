/**
 * Tries something for ever: at once when kicked, else after a delay that doubles up to a bound and is drawn anew each
 * time (full jitter), so that a restarted node is not met by everybody in the same instant. Must never attempt within
 * the turn that asks for it: the asker has not finished what the attempt would look at.
 */
import { RECONNECT_MAX_MS, RECONNECT_MIN_MS } from "../base/limits.ts";
import type { Clock, Random, Timer } from "../base/ports.ts";

/** What an attempt came to: try again, look again after a while, or rest until the next kick. */
export type AttemptResult = "failed" | "rest" | { readonly againAfterMs: number };

/** The windows of a loop. */
export interface DialLoopPorts {
  readonly clock: Clock;
  readonly random: Random;
}

/** One loop; at most one attempt runs at a time. */
export class DialLoop {
  readonly #ports: DialLoopPorts;
  readonly #attempt: () => Promise<AttemptResult>;
  #failureCount = 0;
  #timer: Timer | undefined;
  #isRunning = false;
  #isKicked = false;
  #isStopped = false;

  /** `attempt` never rejects. */
  constructor(ports: DialLoopPorts, attempt: () => Promise<AttemptResult>) {
    this.#ports = ports;
    this.#attempt = attempt;
  }

  /** Tries now, with the delays starting anew; right after the attempt that runs, if one does. */
  kick(): void {
    this.#failureCount = 0;
    if (this.#isRunning) this.#isKicked = true;
    else this.#again(0);
  }

  /** Tries after a delay, as after a failed attempt: what an attempt had won was lost soon. */
  retry(): void {
    if (!this.#isRunning) this.#again(this.#nextDelayMs());
  }

  /** Ends the loop for good; an attempt that runs is left alone. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    const result = await this.#attempt();
    this.#isRunning = false;
    const isKicked = this.#isKicked;
    this.#isKicked = false;
    if (isKicked) return this.#again(0);
    if (result === "failed") return this.#again(this.#nextDelayMs());
    if (result === "rest") return;
    this.#failureCount = 0;
    this.#again(result.againAfterMs * (0.5 + this.#ports.random.float()));
  }

  #again(delayMs: number): void {
    if (this.#isStopped) return;
    this.#timer?.cancel();
    this.#timer = this.#ports.clock.setTimer(delayMs, () => void this.#run());
  }

  #nextDelayMs(): number {
    this.#failureCount += 1;
    const capMs = Math.min(RECONNECT_MAX_MS, RECONNECT_MIN_MS * 2 ** Math.min(this.#failureCount, 30));
    return RECONNECT_MIN_MS + this.#ports.random.float() * (capMs - RECONNECT_MIN_MS);
  }
}
