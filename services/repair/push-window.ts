/**
 * How many objects an exchange sends beside each other. Must never hold up the only one, however large it is.
 */
import { EXCHANGE_PUSH_BYTES, EXCHANGE_PUSHES } from "../base/limits.ts";

/** What is being sent beside each other: bounded in objects and bytes, one object of any size at least. */
export class PushWindow {
  readonly #underWay = new Set<Promise<void>>();
  #sizeBytes = 0;

  /** Resolves when so many bytes more may be under way. */
  async roomFor(sizeBytes: number): Promise<void> {
    while (
      this.#underWay.size >= EXCHANGE_PUSHES ||
      (this.#underWay.size > 0 && this.#sizeBytes + sizeBytes > EXCHANGE_PUSH_BYTES)
    ) {
      await Promise.race(this.#underWay);
    }
  }

  /** One more; it must not reject. */
  add(sizeBytes: number, sending: Promise<void>): void {
    this.#sizeBytes += sizeBytes;
    const counted: Promise<void> = sending.then(() => {
      this.#underWay.delete(counted);
      this.#sizeBytes -= sizeBytes;
    });
    this.#underWay.add(counted);
  }

  /** Resolves when all of them have ended. */
  async drained(): Promise<void> {
    await Promise.all(this.#underWay);
  }
}
