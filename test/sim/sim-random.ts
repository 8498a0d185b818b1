/**
 * The random window from a seed: the same seed draws the same for ever, on every machine. Must never be used where
 * nobody may guess. Source: sfc32 (PractRand, C. Doty-Humphrey); seeding by rounds of a 32-bit mixer over the text.
 */
import type { Random } from "../../services/base/ports.ts";

const TWO_TO_32 = 2 ** 32;
const TWO_TO_53 = 2 ** 53;
const WARM_UP_DRAWS = 12;

/** A stream of its own; `seed` is any text. */
export class SimRandom implements Random {
  readonly #seed: string;
  readonly #forks = new Map<string, number>();
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: string) {
    this.#seed = seed;
    this.#a = mixText(seed, 0x9e37_79b9);
    this.#b = mixText(seed, 0x243f_6a88);
    this.#c = mixText(seed, 0xb7e1_5162);
    for (let draw = 0; draw < WARM_UP_DRAWS; draw += 1) this.u32();
  }

  u32(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (this.#c << 21) | (this.#c >>> 11);
    this.#c = (this.#c + sum) | 0;
    return sum >>> 0;
  }

  float(): number {
    return ((this.u32() >>> 11) * TWO_TO_32 + this.u32()) / TWO_TO_53;
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.u32() & 0xff);
  }

  /**
   * Depends on the seed and the label, never on what was drawn before. The n-th fork of one label differs from the
   * others: two starts of a node must not draw the same boot nonce.
   */
  fork(label: string): SimRandom {
    const count = this.#forks.get(label) ?? 0;
    this.#forks.set(label, count + 1);
    return new SimRandom(`${this.#seed}/${label}${count === 0 ? "" : `#${count}`}`);
  }

  /** An integer in [0, `count`). */
  below(count: number): number {
    return Math.floor(this.float() * count);
  }

  /** True with this probability, 0 … 1. Always draws, so that changing a probability shifts nothing. */
  chance(probability: number): boolean {
    return this.float() < probability;
  }

  /** Exponentially distributed with this mean. */
  exponential(mean: number): number {
    return -Math.log(1 - this.float()) * mean;
  }
}

function mixText(text: string, start: number): number {
  let hash = start;
  for (let i = 0; i < text.length; i += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x85eb_ca6b);
    hash = (hash << 13) | (hash >>> 19);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0xc2b2_ae35);
  return (hash ^ (hash >>> 13)) | 0;
}
