/** The one door to the hash library: xxh64, the hash of keys, versions and rings. Source: xxHash, seed 0. */
import xxhash from "xxhash-wasm";

const { h64Raw } = await xxhash();

/** The unsigned 64-bit xxh64 of the bytes. */
export function xxh64(bytes: Uint8Array): bigint {
  return h64Raw(bytes);
}
