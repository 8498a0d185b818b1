/**
 * How fast a node takes in what others have and it has not, by its own share of background work: each page is paid for before it is
 * asked for, whoever asked first first. Must never let a page that has come wait, but for the one before it: it would take memory,
 * and be older than it need.
 */

import { TRANSFER_PAGE_BYTES } from "../base/limits.ts";
import { MIN_PULLED_BYTES_PER_SECOND, PULLED_KEY_COST_BYTES } from "../base/load-limits.ts";
import type { Clock } from "../base/ports.ts";
import { BUSY_WORDS } from "./exchange-ends-core.ts";
import { TransferPace } from "./transfer-pace.ts";

/** What pacing works with. */
export interface PullParts {
  readonly clock: Clock;
  /** 0 … 1: of its full pace that background work has now */
  readonly share: () => number;
  /** resolves after so many ms, or at once when the node stops */
  readonly pause: (ms: number) => Promise<void>;
  readonly isStopped: () => boolean;
}

/** Whoever waits looks so often whether it still may. */
const LONGEST_WAIT_MS = 1_000;

/** A place in the line of those who wait. */
interface Turn {
  wake: () => void;
}

/** The pace of all pages that one node takes in by comparing itself with others. */
export class PullPace {
  readonly #parts: PullParts;
  readonly #pace: TransferPace;
  readonly #line: Turn[] = [];

  constructor(parts: PullParts) {
    const { clock, share } = parts;
    this.#parts = parts;
    this.#pace = new TransferPace({ clock, share, lowestBytesPerSecond: MIN_PULLED_BYTES_PER_SECOND });
  }

  /** Pays for a page, if that needs no wait: it may be asked for then. */
  payAtOnce(): boolean {
    return this.#line.length === 0 && !this.#parts.isStopped() && this.#pace.pay(TRANSFER_PAGE_BYTES) === 0;
  }

  /** Waits until a page is paid for; or why none is asked for any more. `isOurs`: the exchange may still go on. */
  async pay(isOurs: () => boolean): Promise<string | undefined> {
    const turn: Turn = { wake: () => undefined };
    this.#line.push(turn);
    try {
      for (;;) {
        if (this.#parts.isStopped()) return "this node stops";
        if (!isOurs()) return BUSY_WORDS;
        const isFirst = this.#line[0] === turn;
        const waitMs = isFirst ? this.#pace.pay(TRANSFER_PAGE_BYTES) : LONGEST_WAIT_MS;
        if (waitMs === 0) return undefined;
        const woken = new Promise<void>((resolve) => {
          turn.wake = resolve;
        });
        await Promise.race([woken, this.#parts.pause(Math.min(LONGEST_WAIT_MS, waitMs))]);
      }
    } finally {
      this.#line.splice(this.#line.indexOf(turn), 1);
      this.#line[0]?.wake();
    }
  }

  /** What was paid for did not come. */
  cameNot(): void {
    this.#pace.payMore(-TRANSFER_PAGE_BYTES);
    this.#line[0]?.wake();
  }

  /** A page that was paid for has so many bytes and keys. */
  came(bytes: number, keys: number): void {
    this.#pace.payMore(Math.max(bytes, keys * PULLED_KEY_COST_BYTES) - TRANSFER_PAGE_BYTES);
  }
}
