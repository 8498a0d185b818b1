/**
 * In which partitions the present actor may have minted: records of those must not be removed before a new actor is
 * drawn. Must never forget a partition before the actor has changed.
 */
import { MAX_PARTITIONS } from "../base/limits.ts";

/** The partitions of one actor's dots. */
export class MintPlaces {
  readonly #isTouched: Uint8Array = new Uint8Array(MAX_PARTITIONS);
  #actor: number;

  /** `isNew`: the actor was drawn at this start, and has minted nothing; else it may have minted anywhere. */
  constructor(actor: number, isNew: boolean) {
    this.#actor = actor;
    if (!isNew) this.#isTouched.fill(1);
  }

  /** The actor mints in the partition. */
  note(actor: number, partition: number): void {
    if (actor !== this.#actor) {
      this.#actor = actor;
      this.#isTouched.fill(0);
    }
    this.#isTouched[partition] = 1;
  }

  /** Whether dots of the actor may be in the partition. */
  has(actor: number, partition: number): boolean {
    return actor === this.#actor && this.#isTouched[partition] === 1;
  }
}
