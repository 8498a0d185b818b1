/**
 * The pages of one pull, each paid for and then asked for; where that needs no wait the next one is under way while one is taken in.
 * Must never leave an answer that nobody waits for, nor a page paid for that did not come.
 */
import type { ExchangeAnswer } from "./exchange-messages.ts";
import type { PullPace } from "./pull-pace.ts";

/** How to ask for them. */
export interface PageParts {
  readonly pace: Pick<PullPace, "pay" | "payAtOnce" | "cameNot">;
  /** for the page that the last one named; undefined: the first */
  readonly ask: (cursor: Uint8Array | undefined) => Promise<ExchangeAnswer | undefined>;
  /** the exchange may still go on */
  readonly isOurs: () => boolean;
}

/** One pull's pages. */
export class PulledPages {
  readonly #parts: PageParts;
  #cursor: Uint8Array | undefined;
  #asked: Promise<ExchangeAnswer | undefined> | undefined;
  #isOver = false;

  constructor(parts: PageParts) {
    this.#parts = parts;
  }

  /** The last page has come. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** The next page; or another answer than one, or in words why none was asked for: then it is over. */
  async next(): Promise<ExchangeAnswer | string | undefined> {
    const { pace, ask, isOurs } = this.#parts;
    const reason = this.#asked === undefined ? await pace.pay(isOurs) : undefined;
    if (reason !== undefined) return reason;
    const asked = this.#asked ?? ask(this.#cursor);
    this.#asked = undefined;
    const answer = await asked;
    if (answer?.kind !== "objects") {
      pace.cameNot();
      return answer;
    }
    this.#cursor = answer.next;
    this.#isOver = answer.next === undefined;
    if (!this.#isOver && pace.payAtOnce()) this.#asked = ask(this.#cursor);
    return answer;
  }

  /** No more is wanted: one that was asked for is waited for. */
  async end(): Promise<void> {
    const asked = this.#asked;
    this.#asked = undefined;
    if (asked !== undefined && (await asked)?.kind !== "objects") this.#parts.pace.cameNot();
  }
}
