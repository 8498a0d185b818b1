/** Seeded chance for tests: one number in, the same draws out, on every machine. Must never be used where secrets are drawn. */

/** Draws by xorshift over 32 bits, after Marsaglia (2003), started from a mixed seed. */
export interface SeededDraws {
  /** an integer in [0, 2^32) */
  u32(): number;
  /** an integer in [0, bound) */
  below(bound: number): number;
  bytes(count: number): Uint8Array;
}

/** The draws of a seed (any integer). */
export function seededDraws(seed: number): SeededDraws {
  let state = Math.imul(seed ^ 0x5bd1e995, 0x9e3779b1) ^ (seed >>> 16) || 0x6d2b79f5;
  const u32 = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return Math.imul(state, 0x2c1b3c6d) >>> 0;
  };
  for (let warmUp = 0; warmUp < 4; warmUp += 1) u32();
  return {
    u32,
    below: (bound) => u32() % bound,
    bytes(count) {
      const bytes = new Uint8Array(count);
      for (let at = 0; at < count; at += 1) bytes[at] = u32() >>> 24;
      return bytes;
    },
  };
}
