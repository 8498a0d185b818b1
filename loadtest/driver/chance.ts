/** Numbers that look random and are the same for the same seed. Must never be used for secrets. */

/** A source of numbers in [0, 1). */
export type Chance = () => number;

/** A seeded source (mulberry32: 32 bits of state, good enough to draw keys with). */
export function seeded(seed: number): Chance {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
