/**
 * How long the reader of a client wants what it reads at this node's own disk: until its time is up, or its client has gone. Pure.
 * Must never tell anyone twice.
 */
import type { ReadTerm } from "../replica/contract.ts";

/** One read's term. */
export class ClientTerm implements ReadTerm {
  readonly byMs: number;
  #isOver = false;
  #run: (() => void) | undefined;

  constructor(byMs: number) {
    this.byMs = byMs;
  }

  whenOver(run: () => void): void {
    if (this.#isOver) run();
    else this.#run = run;
  }

  /** Its client has gone. */
  end(): void {
    this.#isOver = true;
    const run = this.#run;
    this.#run = undefined;
    run?.();
  }
}
