/** The chance of the hand-over's world, and its hashes: all from numbers, the same on every machine. */

/** Draws of 0 … 1 that follow from the seed (mulberry32). */
export function drawsOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** What a copy comes to. */
export function rootOf(registers: Int32Array): string {
  let hash = 7;
  for (const value of registers) hash = (Math.imul(hash, 31) + value) | 0;
  return `${hash}`;
}

/** Where a position stands on the walk of a partition. */
export function hashOf(seed: number, partition: number, position: number): number {
  let mixed = Math.imul(seed ^ Math.imul(partition + 1, 0x9e3779b1) ^ Math.imul(position + 1, 0x85ebca6b), 0xc2b2ae35);
  mixed ^= mixed >>> 15;
  return Math.imul(mixed, 0x27d4eb2f) >>> 0;
}
