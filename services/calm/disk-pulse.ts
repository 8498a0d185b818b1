/**
 * The pulse of a node's disk: writes of clients are watched as they come, and when none comes a small one of its own is made.
 * What follows from it is for others: gossip tells them to ask this node last. Must never end the node: a disk that errs
 * does that by itself, one that is slow comes back.
 */
import { CANARY_IDLE_MS, DISK_LOOK_MS } from "../base/load-limits.ts";
import type { Clock, Log, Timer } from "../base/ports.ts";
import { DiskPulseCore, type DiskState } from "./disk-pulse-core.ts";

/** What the pulse works with. */
export interface DiskPulseParts {
  readonly clock: Pick<Clock, "monotonicMs" | "setTimer">;
  readonly log: Pick<Log, "info" | "warn">;
  /** A small durable write; rejects as the store does. */
  readonly writeCanary: () => Promise<void>;
  /** the longest delay of the event loop of late, ms */
  readonly loopDelayMs: () => number;
  /** told of each change */
  readonly onState: (state: DiskState) => void;
}

/** The pulse of one disk. */
export class DiskPulse {
  readonly #parts: DiskPulseParts;
  readonly #core = new DiskPulseCore();
  #timer: Timer | undefined;
  #canaryMs = 0;
  /** canaries since the start */
  canaryCount = 0;

  constructor(parts: DiskPulseParts) {
    this.#parts = parts;
  }

  get state(): DiskState {
    return this.#core.state;
  }

  /** In words, for health checks. */
  get words(): string {
    const { state, medianMs, stallMs } = this.#core;
    if (state === "well") return "writes become durable in time";
    const wait = stallMs > 0 ? `; nothing has become durable for ${Math.round(stallMs)} ms` : "";
    return `${state}: a write takes ${Math.round(medianMs)} ms${wait}`;
  }

  /** At the last look, ms. */
  get medianMs(): number {
    return this.#core.medianMs;
  }

  /** At the last look, ms. */
  get stallMs(): number {
    return this.#core.stallMs;
  }

  /** Begins to look once a second, and to write when nobody does. */
  start(): void {
    this.#canaryMs = this.#parts.clock.monotonicMs();
    this.#later();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** A write was handed to the store: to be told to `ended`. Monotonic ms. */
  began(): number {
    const nowMs = this.#parts.clock.monotonicMs();
    this.#core.began(nowMs);
    return nowMs;
  }

  /** The write that began then has ended. `isDurable`: it is kept; false: the store refused it, or failed. */
  ended(beganMs: number, isDurable: boolean): void {
    if (isDurable) this.#core.becameDurable(beganMs, this.#parts.clock.monotonicMs());
    else this.#core.wasRefused(beganMs);
  }

  #later(): void {
    this.#timer = this.#parts.clock.setTimer(DISK_LOOK_MS, () => {
      this.#look();
      this.#later();
    });
  }

  #look(): void {
    const { clock, log, loopDelayMs, onState } = this.#parts;
    const nowMs = clock.monotonicMs();
    const before = this.#core.state;
    const state = this.#core.look(nowMs, loopDelayMs());
    if (state !== before) {
      const facts = {
        event: `calm.disk-${state}`,
        putMs: Math.round(this.medianMs),
        stallMs: Math.round(this.stallMs),
      };
      if (state === "well") log.info(facts);
      else log.warn(facts);
      onState(state);
    }
    const pauseMs = state === "well" ? CANARY_IDLE_MS : DISK_LOOK_MS;
    if (nowMs - this.#canaryMs >= pauseMs && this.#core.isSilentSince(nowMs - pauseMs / 2))
      void this.#writeCanary(nowMs);
  }

  async #writeCanary(nowMs: number): Promise<void> {
    this.#canaryMs = nowMs;
    this.canaryCount += 1;
    const beganMs = this.began();
    let isDurable = true;
    try {
      await this.#parts.writeCanary();
    } catch {
      // A full disk has no room for it, which says nothing of its speed; a broken one has ended the node by now.
      isDurable = false;
    }
    this.ended(beganMs, isDurable);
  }
}
