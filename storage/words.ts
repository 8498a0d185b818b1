/**
 * One shared scratch to take an unsigned 64-bit bigint apart into two u32 words and to put it together again, so
 * that inner loops never touch a bigint and nothing is boxed. Must never be held across calls: whoever writes it
 * reads it at once.
 */
const scratch64: BigUint64Array<ArrayBuffer> = new BigUint64Array([1n]);

/** The two u32 words of the value last given to `splitU64`, at `lowWord` and `highWord`. */
export const words: Uint32Array<ArrayBuffer> = new Uint32Array(scratch64.buffer);
/** Where the less significant half lies in `words` on this machine. */
export const lowWord: 0 | 1 = words[0] === 1 ? 0 : 1;
/** Where the more significant half lies. */
export const highWord: 0 | 1 = lowWord === 0 ? 1 : 0;

/** Takes an unsigned 64-bit value apart into `words`. */
export function splitU64(value: bigint): void {
  scratch64[0] = value;
}

/** Joins two u32 words to one unsigned 64-bit bigint. */
export function joinU64(high: number, low: number): bigint {
  words[lowWord] = low;
  words[highWord] = high;
  return scratch64[0] ?? 0n;
}
