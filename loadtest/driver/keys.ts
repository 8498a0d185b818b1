/**
 * Which key an operation touches. Zipfian ranks after Gray et al., "Quickly Generating Billion-Record Synthetic Databases"
 * (SIGMOD 1994), with YCSB's constant of 0.99, scattered over the keys by FNV-1a so that the popular ones are no neighbours.
 */
import type { KeyDraw } from "../plan.ts";
import type { Chance } from "./chance.ts";

const ZIPFIAN_CONSTANT = 0.99;
const HOT_SHARE = 0.9;
const FNV_OFFSET = 0xcbf29ce484222325n;
const FNV_PRIME = 0x100000001b3n;
const MASK = 0xffffffffffffffffn;

function fnv64(number: number): bigint {
  let hash = FNV_OFFSET;
  let rest = BigInt(number);
  for (let i = 0; i < 8; i += 1) {
    hash = ((hash ^ (rest & 0xffn)) * FNV_PRIME) & MASK;
    rest >>= 8n;
  }
  return hash;
}

/** The key of a record, as YCSB names them. */
export function keyName(record: number): string {
  return `user${fnv64(record)}`;
}

/** Ranks from 0, where rank k comes up in proportion to 1 / (k + 1)^0.99. The number of items may grow. */
export class Zipfian {
  readonly #chance: Chance;
  readonly #alpha: number = 1 / (1 - ZIPFIAN_CONSTANT);
  readonly #zetaOfTwo: number = 1 + 0.5 ** ZIPFIAN_CONSTANT;
  #itemCount = 0;
  #zeta = 0;
  #eta = 0;

  constructor(itemCount: number, chance: Chance) {
    this.#chance = chance;
    this.growTo(itemCount);
  }

  /** More items; costs one power for each that is new. */
  growTo(itemCount: number): void {
    for (let i = this.#itemCount; i < itemCount; i += 1) this.#zeta += 1 / (i + 1) ** ZIPFIAN_CONSTANT;
    this.#itemCount = Math.max(this.#itemCount, itemCount);
    this.#eta = (1 - (2 / this.#itemCount) ** (1 - ZIPFIAN_CONSTANT)) / (1 - this.#zetaOfTwo / this.#zeta);
  }

  /** A rank in 0 … items − 1. */
  next(): number {
    const point = this.#chance();
    const scaled = point * this.#zeta;
    if (scaled < 1 || this.#itemCount === 1) return 0;
    if (scaled < this.#zetaOfTwo) return 1;
    const rank = Math.floor(this.#itemCount * (this.#eta * point - this.#eta + 1) ** this.#alpha);
    return Math.min(rank, this.#itemCount - 1);
  }
}

/** Draws the record that an operation touches. `records()`: how many are there now. */
export function recordDraw(draw: KeyDraw, firstCount: number, chance: Chance): (recordCount: number) => number {
  const zipfian = new Zipfian(firstCount, chance);
  switch (draw) {
    case "zipfian": {
      const order = Array.from({ length: firstCount }, (_, rank) => Number(fnv64(rank) % BigInt(firstCount)));
      return () => order[zipfian.next()] ?? 0;
    }
    case "latest":
      return (recordCount) => {
        zipfian.growTo(recordCount);
        return recordCount - 1 - zipfian.next();
      };
    case "uniform":
      return () => Math.floor(chance() * firstCount);
    case "hot":
      return () => (chance() < HOT_SHARE ? 0 : Math.floor(chance() * firstCount));
  }
}
