/**
 * How fast transfers may go: a token bucket for the bytes that leave or are taken in, a bound on the pages at a time, and the
 * event loop's turn in between. The rate is the share of its full one that background work has just now. Must never hold up a
 * page that writes wait for. Sources: Dynamo §6.5; research: gossip-ring §B.7.
 */
import {
  MAX_TRANSFER_PAGES,
  MAX_WAITING_TRANSFER_PAGES,
  MIN_TRANSFER_BYTES_PER_SECOND,
  TRANSFER_BYTES_PER_SECOND,
  TRANSFER_PACE_MS,
  TRANSFER_PAGE_BYTES,
  TRANSFER_SLICE_MS,
} from "../base/limits.ts";
import type { Clock } from "../base/ports.ts";

/** What pacing works with. */
export interface PaceParts {
  readonly clock: Clock;
  /** 0 … 1: how much of the full rate background work may take now. Asked twice a second at most. */
  readonly share: () => number;
  /** default: `TRANSFER_BYTES_PER_SECOND` */
  readonly bytesPerSecond?: number;
  /** however small the share is; default: `MIN_TRANSFER_BYTES_PER_SECOND` */
  readonly lowestBytesPerSecond?: number;
}

/** bytes that may leave at once after a rest */
const BURST_BYTES = MAX_TRANSFER_PAGES * TRANSFER_PAGE_BYTES;

/** The pace of all pages that leave one node, or come to it. */
export class TransferPace {
  readonly #clock: Clock;
  readonly #share: () => number;
  readonly #fullRate: number;
  readonly #lowestRate: number;
  readonly #waiting: (() => void)[] = [];
  #rate: number;
  #runningCount = 0;
  /** below 0 while what was sent is not paid for */
  #tokens: number = BURST_BYTES;
  #filledMs: number;
  #lookedMs: number;

  constructor(parts: PaceParts) {
    const { clock, share, bytesPerSecond = TRANSFER_BYTES_PER_SECOND } = parts;
    const { lowestBytesPerSecond = MIN_TRANSFER_BYTES_PER_SECOND } = parts;
    this.#clock = clock;
    this.#share = share;
    this.#fullRate = bytesPerSecond;
    this.#lowestRate = Math.min(lowestBytesPerSecond, bytesPerSecond);
    this.#rate = bytesPerSecond;
    this.#filledMs = clock.monotonicMs();
    this.#lookedMs = this.#filledMs;
  }

  /** Bytes a second that may leave now. */
  get bytesPerSecond(): number {
    return this.#rate;
  }

  /** Makes one page when its time has come; `busy` when too many wait. Rejects as `make`. */
  async run<T extends { readonly sizeBytes: number }>(make: () => Promise<T>): Promise<T | "busy"> {
    if (this.#runningCount >= MAX_TRANSFER_PAGES) {
      if (this.#waiting.length >= MAX_WAITING_TRANSFER_PAGES) return "busy";
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#runningCount += 1;
    }
    try {
      await this.#paid();
      const made = await make();
      this.#tokens -= made.sizeBytes;
      return made;
    } finally {
      // whoever waited longest takes the place as it is
      const next = this.#waiting.shift();
      if (next === undefined) this.#runningCount -= 1;
      else next();
    }
  }

  /** Pays for bytes to come, if all that came before is paid for; 0, or after how many ms to ask again. */
  pay(bytes: number): number {
    const waitMs = this.#owedMs();
    if (waitMs === 0) this.#tokens -= bytes;
    return waitMs;
  }

  /** It came to more than was paid for, or, below 0, to less. */
  payMore(bytes: number): void {
    this.#tokens -= bytes;
  }

  async #paid(): Promise<void> {
    for (let waitMs = this.#owedMs(); waitMs > 0; waitMs = this.#owedMs()) {
      await new Promise<void>((resolve) => this.#clock.setTimer(waitMs, resolve));
    }
  }

  #owedMs(): number {
    this.#fill();
    return this.#tokens < 0 ? Math.max(1, (-this.#tokens / this.#rate) * 1_000) : 0;
  }

  #fill(): void {
    const nowMs = this.#clock.monotonicMs();
    this.#tokens = Math.min(BURST_BYTES, this.#tokens + ((nowMs - this.#filledMs) / 1_000) * this.#rate);
    this.#filledMs = nowMs;
    if (nowMs - this.#lookedMs < TRANSFER_PACE_MS) return;
    this.#lookedMs = nowMs;
    this.#rate = Math.min(this.#fullRate, Math.max(this.#lowestRate, this.#fullRate * this.#share()));
  }
}

/** Gives the event loop its turn whenever a piece of work has run for its slice. */
export class WorkSlices {
  readonly #clock: Clock;
  #startedMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startedMs = clock.monotonicMs();
  }

  /** The slice is used up: `rest` is due. */
  get isOver(): boolean {
    return this.#clock.monotonicMs() - this.#startedMs >= TRANSFER_SLICE_MS;
  }

  /** Resolves in the next turn of the event loop. */
  async rest(): Promise<void> {
    await new Promise<void>((resolve) => this.#clock.defer(resolve));
    this.#startedMs = this.#clock.monotonicMs();
  }
}
