/**
 * Whom to probe next: all live members in a shuffled round, so that the wait for one probe is bounded by two rounds.
 * Must never pick at random with replacement. Source: SWIM §4.3; newcomers at a random place (memberlist).
 */
import type { MemberEntry } from "./member-table.ts";

/** The round of probes. */
export class ProbeOrder {
  readonly #random: () => number;
  #order: MemberEntry[] = [];
  #next = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** Puts a live member at a random place, unless it has one. O(1): whom it displaces goes to the end. */
  add(entry: MemberEntry): void {
    if (entry.isInProbeOrder) return;
    entry.isInProbeOrder = true;
    const at = Math.floor(this.#random() * (this.#order.length + 1));
    const displaced = this.#order[at];
    this.#order[at] = entry;
    if (displaced !== undefined) this.#order.push(displaced);
  }

  /** The next live member, or undefined when there is none. At the end of a round the gone are dropped and the rest shuffled. */
  next(): MemberEntry | undefined {
    for (let round = 0; round < 2; round += 1) {
      while (this.#next < this.#order.length) {
        const entry = this.#order[this.#next];
        this.#next += 1;
        if (entry?.isLive === true) return entry;
      }
      this.#beginRound();
    }
    return undefined;
  }

  #beginRound(): void {
    this.#next = 0;
    for (const entry of this.#order) entry.isInProbeOrder = entry.isLive;
    this.#order = this.#order.filter((entry) => entry.isLive);
    for (let at = this.#order.length - 1; at > 0; at -= 1) {
      const other = Math.floor(this.#random() * (at + 1));
      const [a, b] = [this.#order[at], this.#order[other]];
      if (a === undefined || b === undefined) continue;
      this.#order[at] = b;
      this.#order[other] = a;
    }
  }
}
