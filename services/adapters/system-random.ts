/** The random window on the operating system's generator. Must never be seeded: for that there is the simulator's. */
import { randomFillSync } from "node:crypto";
import type { Random } from "../base/ports.ts";

const POOL_WORDS = 1_024;
const TWO_TO_32 = 2 ** 32;
const TWO_TO_53 = 2 ** 53;

/** Unpredictable numbers, drawn from the operating system 4 KiB at a time (about 20 ns each). */
export function createSystemRandom(): Random {
  const pool = new Uint32Array(POOL_WORDS);
  let nextWord = POOL_WORDS;

  const u32 = (): number => {
    if (nextWord === POOL_WORDS) {
      randomFillSync(pool);
      nextWord = 0;
    }
    const word = pool[nextWord] ?? 0;
    pool[nextWord] = 0;
    nextWord += 1;
    return word;
  };

  const random: Random = {
    u32,
    // 53 bits: 21 high ones, 32 low ones
    float: () => ((u32() >>> 11) * TWO_TO_32 + u32()) / TWO_TO_53,
    bytes: (count) => randomFillSync(new Uint8Array(count)),
    // What the operating system draws has no order that a new caller could shift: a fork is the stream itself.
    fork: () => random,
  };
  return random;
}
