/** Objects as bytes: one encoding per set, no bytes that throw, digests from the header alone. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { xxh64 } from "../../../services/base/hash.ts";
import { contextOf, greatestCounter, greatestCounterOf } from "../../../services/versioning/causal-context.ts";
import { decodeSet, digestOf, encodedDigestOf, encodeSet } from "../../../services/versioning/object-codec.ts";
import {
  encodedCounterOf,
  encodedGreatestCounterOf,
  encodedSiblingCountOf,
} from "../../../services/versioning/object-header.ts";
import { EMPTY } from "../../../services/versioning/sibling-set.ts";
import type { SiblingSet } from "../../../services/versioning/types.ts";
import { anySet } from "../../support/version-arbitraries.ts";

const worked: SiblingSet = {
  clock: contextOf([{ actor: 2 ** 40 + 1, counter: 2 ** 50 + 3 }], [{ actor: 7, counter: 9 }]),
  siblings: [
    {
      dot: { actor: 2 ** 40 + 1, counter: 2 ** 50 + 3 },
      expiresAtMs: 258,
      contentType: "a/b",
      bytes: Uint8Array.of(0xca, 0xfe),
    },
  ],
};
const workedHex = [
  "01 00 0001 0001 0001",
  "010000000001 0004000000000003",
  "000000000007 0000000000000009",
  "010000000001 0004000000000003",
  "0000000000000102 0003 00000002",
  "612f62",
  "cafe",
]
  .join("")
  .replaceAll(" ", "");

describe("an encoded object", () => {
  test("is laid out as its format says", () => {
    expect(Buffer.from(encodeSet(worked)).toString("hex")).toBe(workedHex);
    expect(digestOf(worked)).toBe(xxh64(Buffer.from(workedHex, "hex").subarray(2, 8 + 3 * 14)));
  });

  test("decodes to the set that it was made from", () => {
    fc.assert(
      fc.property(anySet, (set) => {
        const decoded = decodeSet(encodeSet(set));
        expect(decoded.kind).toBe("set");
        if (decoded.kind !== "set") return;
        expect(decoded.set.clock).toEqual(set.clock);
        expect(decoded.set.siblings.map((sibling) => ({ ...sibling, bytes: Buffer.from(sibling.bytes) }))).toEqual(
          set.siblings.map((sibling) => ({ ...sibling, bytes: Buffer.from(sibling.bytes) })),
        );
      }),
      { numRuns: 1_000 },
    );
  });

  test("gives its bodies as views, not copies", () => {
    const bytes = encodeSet(worked);
    const decoded = decodeSet(bytes);
    expect(decoded.kind === "set" && decoded.set.siblings[0]?.bytes.buffer).toBe(bytes.buffer);
  });

  test("tells digest, sibling count and counters without being decoded", () => {
    fc.assert(
      fc.property(anySet, fc.integer({ min: 1, max: 6 }), (set, actor) => {
        const bytes = encodeSet(set);
        expect(encodedDigestOf(bytes)).toBe(digestOf(set));
        expect(encodedSiblingCountOf(bytes)).toBe(set.siblings.length);
        expect(encodedCounterOf(bytes, actor)).toBe(greatestCounterOf(set.clock, actor));
        expect(encodedGreatestCounterOf(bytes)).toBe(greatestCounter(set.clock));
      }),
    );
  });

  test("has another digest when clock or dots differ, and the same when only bodies do", () => {
    fc.assert(
      fc.property(anySet, anySet, (a, b) => {
        const dots = (set: SiblingSet): string => JSON.stringify([set.clock, set.siblings.map(({ dot }) => dot)]);
        expect(digestOf(a) === digestOf(b)).toBe(dots(a) === dots(b));
      }),
    );
  });

  test("has a digest even when it is empty", () => {
    expect(digestOf(EMPTY)).not.toBe(0n);
    expect(encodedSiblingCountOf(encodeSet(EMPTY))).toBe(0);
  });

  test("of thousands of dots is decoded in linear time", () => {
    const clock = contextOf(Array.from({ length: 2_000 }, (_, i) => ({ actor: i + 1, counter: 5 })));
    const siblings = clock.vector.map((dot) => ({ dot, expiresAtMs: 0, contentType: "", bytes: new Uint8Array(0) }));
    expect(decodeSet(encodeSet({ clock, siblings: siblings.toReversed() })).kind).toBe("set");
  });
});

describe("bytes that are no object", () => {
  test("are corrupt, whatever they are, and never throw", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const decoded = decodeSet(bytes);
        // What is accepted is exactly what would be written.
        const again = decoded.kind === "set" ? encodeSet(decoded.set) : bytes;
        expect(Buffer.from(again)).toEqual(Buffer.from(bytes));
        expect(encodedDigestOf(bytes)).toBeTypeOf("bigint");
      }),
      { numRuns: 5_000 },
    );
  });

  test("are never taken for another encoding of a set: changed, cut or lengthened ones are corrupt or canonical", () => {
    fc.assert(
      fc.property(anySet, fc.nat(), fc.integer({ min: 1, max: 255 }), (set, where, change) => {
        const bytes = Uint8Array.from(encodeSet(set));
        const at = where % bytes.length;
        expect(decodeSet(bytes.subarray(0, at)).kind).toBe("corrupt");
        expect(decodeSet(Uint8Array.of(...bytes, change)).kind).toBe("corrupt");
        bytes[at] = (bytes[at] ?? 0) ^ change;
        const decoded = decodeSet(bytes);
        if (decoded.kind === "set") expect(Buffer.from(encodeSet(decoded.set))).toEqual(Buffer.from(bytes));
      }),
      { numRuns: 5_000 },
    );
  });

  const flaw = (edit: (bytes: Uint8Array) => void): unknown => {
    const bytes = Uint8Array.from(encodeSet(worked));
    edit(bytes);
    const decoded = decodeSet(bytes);
    return decoded.kind === "corrupt" ? decoded.reason : decoded.kind;
  };

  test.each([
    { name: "a later version", at: 0, byte: 2, reason: "unknown format version" },
    { name: "a set reserved byte", at: 1, byte: 1, reason: "reserved byte is not zero" },
    { name: "a count that the bytes cannot hold", at: 2, byte: 255, reason: "shorter than its counts say" },
    { name: "an actor of zero", at: 27, byte: 0, reason: "a dot out of range" },
    { name: "a counter beyond 2^53", at: 14, byte: 1, reason: "a dot out of range" },
    {
      name: "a sibling that the clock has not seen",
      at: 49,
      byte: 4,
      reason: "a sibling that the clock does not cover",
    },
    { name: "an expiry beyond 2^53", at: 50, byte: 1, reason: "an expiry out of range" },
    { name: "a body longer than the bytes", at: 63, byte: 3, reason: "a body is cut short" },
    { name: "a body shorter than the bytes", at: 63, byte: 1, reason: "bytes after the last body" },
  ])("with $name are refused with the reason", ({ at, byte, reason }) => {
    expect(
      flaw((bytes) => {
        bytes[at] = byte;
      }),
    ).toBe(reason);
  });
});
