import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { xxh64 } from "../../../services/base/hash.ts";
import { parseBucketName } from "../../../services/base/ids.ts";
import {
  isPartitionCount,
  keyBytes,
  locate,
  partitionBitsOf,
  partitionOf,
} from "../../../services/placement/partitioner.ts";

const carts = parseBucketName("carts");
if (carts === undefined) throw new Error("carts is a bucket name");

describe("the partitioner", () => {
  it.each([
    [0n, 10, 0],
    [0xffff_ffff_ffff_ffffn, 10, 1023],
    [0x0040_0000_0000_0000n, 10, 1],
    [0x003f_ffff_ffff_ffffn, 10, 0],
    [0x8000_0000_0000_0000n, 6, 32],
    [0xffff_ffff_ffff_ffffn, 12, 4095],
  ])("takes the top bits of the hash: %s by %i bits is partition %i", (hash, bits, partition) => {
    expect(partitionOf(hash, bits)).toBe(partition);
  });

  it("agrees with shifting the hash, for every hash and partition count", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.integer({ min: 6, max: 12 }), (hash, bits) => {
        expect(partitionOf(hash, bits)).toBe(Number(hash >> BigInt(64 - bits)));
      }),
    );
  });

  it("addresses a key as bucket, zero byte, key", () => {
    const key = Uint8Array.of(0, 0xff, 0x61);
    expect([...keyBytes(carts, key)]).toEqual([0x63, 0x61, 0x72, 0x74, 0x73, 0, 0, 0xff, 0x61]);
  });

  it("locates a key by the hash of its address", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 100 }), (key) => {
        const located = locate({ bucket: carts, key }, 1024);
        const address = Buffer.concat([Buffer.from("carts\0"), key]);
        expect(Buffer.from(located.key)).toEqual(address);
        expect(located.hash).toBe(xxh64(address));
        expect(located.partition).toBe(Number(located.hash >> 54n));
      }),
    );
  });

  it.each([
    ["", 0xef46_db37_51d8_e999n],
    ["abc", 0x44bc_2cf5_ad77_0999n],
  ])("hashes with xxh64, seed 0: the published value of %j", (text, hash) => {
    expect(xxh64(Buffer.from(text))).toBe(hash);
  });

  it.each([
    [64, true],
    [1024, true],
    [4096, true],
    [63, false],
    [96, false],
    [8192, false],
    [1024.5, false],
  ])("takes %d partitions: %s", (count, isOne) => {
    expect(isPartitionCount(count)).toBe(isOne);
    if (isOne) expect(2 ** partitionBitsOf(count)).toBe(count);
    else expect(() => partitionBitsOf(count)).toThrow("power of two");
  });
});
