/**
 * Whether a request is sent once more, to whom, and after which pause. Somebody else is asked at once where a node took no part:
 * that is going round it, and asks nobody twice. All else is a retry: it waits, for longer each time and never as long as
 * others do, at least as long as the node itself said (`Retry-After`), and is paid for from the client's budget. Pure. Must
 * never decide what may be repeated: that is the outcome's to say. Source: reliability notes §4 O6; API §3.
 */
import { backoffMs } from "./backoff.ts";
import { type KnownNode, NodeOrder } from "./node-order.ts";
import { RetryBudget } from "./retry-budget.ts";

/** How a node did not serve a request. */
export interface Unserved {
  /** nobody took the request */
  readonly isUnsent: boolean;
  /** as in the problem document */
  readonly code: string;
  /** milliseconds, 0 when it said nothing */
  readonly retryAfterMs: number;
  /** monotonic */
  readonly nowMs: number;
}

/** By these a node says that another one is to be asked. */
const STEPS_ASIDE: readonly string[] = ["not_ready", "shutting_down"];

/** What `Retry-After` asks for, milliseconds: nodes say it in seconds. */
export function retryAfterMsOf(headers: Headers): number {
  const text = headers.get("retry-after") ?? "";
  return /^[0-9]{1,9}$/.test(text) ? Number(text) * 1_000 : 0;
}

/** What all requests of one client share. */
export class Retries {
  readonly #order: NodeOrder;
  readonly #budget = new RetryBudget();
  readonly #maxAttempts: number;
  readonly #random: () => number;

  constructor(
    urls: readonly string[],
    how: { readonly maxAttempts: number /** in [0, 1) */; readonly random: () => number },
  ) {
    this.#order = new NodeOrder(urls);
    this.#maxAttempts = how.maxAttempts;
    this.#random = how.random;
  }

  /** A request begins, whose pauses may come to `patienceMs` in all. */
  begin(nowMs: number, patienceMs: number): RetryCourse {
    this.#budget.earn();
    const order = this.#order.forRequest(nowMs, this.#random());
    const parts = { order, budget: this.#budget, maxAttempts: this.#maxAttempts, random: this.#random, patienceMs };
    return new RetryCourse(parts);
  }
}

interface CourseParts {
  readonly order: readonly KnownNode[];
  readonly budget: RetryBudget;
  readonly maxAttempts: number;
  readonly random: () => number;
  readonly patienceMs: number;
}

/** One request's way over the nodes. */
export class RetryCourse {
  readonly #parts: CourseParts;
  #current: KnownNode | undefined;
  /** not asked in this round */
  #left: KnownNode[];
  #isFirstRound = true;
  #attemptCount = 1;
  #pauseCount = 0;
  #pausedMs = 0;

  constructor(parts: CourseParts) {
    this.#parts = parts;
    [this.#current, ...this.#left] = parts.order;
  }

  /** Attempts begun, with the one that is under way. */
  get attemptCount(): number {
    return this.#attemptCount;
  }

  /** Whom this attempt asks. */
  get url(): string {
    return this.#current?.url ?? "";
  }

  /** The node served the request, or told that it is wrong. */
  onServed(): void {
    this.#current?.onServed();
  }

  /** The node could not serve it. */
  onUnable({ isUnsent, code, nowMs, retryAfterMs }: Unserved): void {
    const isAside = isUnsent || STEPS_ASIDE.includes(code);
    this.#current?.onUnable(nowMs, { retryAfterMs, isAside, chance: this.#parts.random() });
  }

  /** Begins another attempt: how long to wait before it, milliseconds. Undefined: there is none. */
  again(why: Unserved): number | undefined {
    const { order, maxAttempts, patienceMs, budget, random } = this.#parts;
    if (this.#attemptCount >= maxAttempts) return undefined;
    if (this.#left.length === 0) {
      this.#left = [...order];
      this.#isFirstRound = false;
    }
    const { nowMs } = why;
    const other = this.#wayRound(why);
    if (other !== undefined) return this.#goOn(other, 0);
    // the soonest of those that may be asked, and of them the first
    const next = this.#left.toSorted((one, another) => one.leaveMs(nowMs) - another.leaveMs(nowMs))[0];
    const pauseMs = (next?.leaveMs(nowMs) ?? 0) + backoffMs(this.#pauseCount + 1, random);
    if (next === undefined || this.#pausedMs + pauseMs > patienceMs || !budget.take()) return undefined;
    this.#pauseCount += 1;
    return this.#goOn(next, pauseMs);
  }

  /** Where nobody took part: one that was not asked yet, nor by others in vain, where it is the nodes that say so. */
  #wayRound({ isUnsent, code, nowMs }: Unserved): KnownNode | undefined {
    if (!this.#isFirstRound) return undefined;
    if (isUnsent) return this.#left[0];
    return STEPS_ASIDE.includes(code) ? this.#left.find((node) => !node.isAside(nowMs)) : undefined;
  }

  #goOn(next: KnownNode, pauseMs: number): number {
    this.#left = this.#left.filter((node) => node !== next);
    this.#current = next;
    this.#attemptCount += 1;
    this.#pausedMs += pauseMs;
    return pauseMs;
  }
}
