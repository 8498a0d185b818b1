/** Spreads waits without chance: so that requests which were refused in one moment do not come back in one. Pure. */

/** The fractional part of the golden ratio: its multiples spread evenly however many are taken. */
const STEP = (Math.sqrt(5) - 1) / 2;

/** A sequence of fractions in [0, 1), each far from the ones before. */
export class Stagger {
  #at = 0;

  /** The next fraction. */
  next(): number {
    this.#at = (this.#at + STEP) % 1;
    return this.#at;
  }
}
