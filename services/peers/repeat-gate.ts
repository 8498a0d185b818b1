/** Lets the first of many equal events through, and then one a minute with the number of those held back. */

const REPEAT_MS = 60_000;
const MAX_KEYS = 1_024;

/** Remembers at most 1,024 keys; beyond that it forgets them all, and events pass anew. */
export class RepeatGate {
  readonly #seen = new Map<string, { passedMs: number; heldBackCount: number }>();

  /** The number held back since the last that passed, or undefined when this one is to be held back. */
  pass(key: string, nowMs: number): number | undefined {
    const seen = this.#seen.get(key);
    if (seen === undefined) {
      if (this.#seen.size >= MAX_KEYS) this.#seen.clear();
      this.#seen.set(key, { passedMs: nowMs, heldBackCount: 0 });
      return 0;
    }
    if (nowMs - seen.passedMs < REPEAT_MS) {
      seen.heldBackCount += 1;
      return undefined;
    }
    const { heldBackCount } = seen;
    seen.passedMs = nowMs;
    seen.heldBackCount = 0;
    return heldBackCount;
  }
}
