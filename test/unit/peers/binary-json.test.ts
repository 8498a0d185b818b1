import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeBody, encodeBody } from "../../../services/peers/binary-json.ts";

/** This many arrays, each the only element of the one before, around a 1. */
const nested = (depth: number): Uint8Array => Uint8Array.of(...new Uint8Array(depth).fill(0x91), 0x01);

const leaf = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.integer(),
  // MessagePack's small integers have no negative zero
  fc.double({ noNaN: true }).map((double) => (double === 0 ? 0 : double)),
  fc.string({ unit: "grapheme" }),
  fc.uint8Array(),
);
const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    leaf,
    fc.array(tie("value")),
    fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), tie("value")),
  ),
}));

test("nothing is drawn by chance, however many names of one length have been met", () => {
  const random = Math.random;
  Math.random = () => {
    throw new Error("chance");
  };
  try {
    for (let name = 100; name < 400; name += 1) {
      const body = { [`k${name}`]: name };
      expect(decodeBody(encodeBody(body))).toEqual({ kind: "body", body });
    }
  } finally {
    Math.random = random;
  }
});

test("the bytes of a body are its own, whatever is encoded after it, small, large or not at all", () => {
  const bodies = [{ a: 1 }, { b: "x".repeat(100_000) }, { c: "y".repeat(100_001) }, { d: 2 }];
  const kept = bodies.map((body) => encodeBody(body));
  expect(() => encodeBody({ e: 1n })).toThrow("BigInt");
  kept.push(encodeBody({ f: 3 }));
  expect(kept.map((bytes) => decodeBody(bytes))).toEqual([...bodies, { f: 3 }].map((body) => ({ kind: "body", body })));
  // and no more than theirs is held with them
  expect(kept[0]?.buffer.byteLength).toBe(kept[0]?.length);
});

test("bodies survive the wire (3,000 random ones)", () => {
  fc.assert(
    fc.property(value, (body) => {
      const decoded = decodeBody(encodeBody(body));
      expect(decoded.kind === "body" ? decoded.body : decoded).toEqual(body);
    }),
    { numRuns: 3_000 },
  );
});

test("random bytes, and bodies cut or changed, are a value or corrupt, and never throw (3,000 each)", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      expect(["body", "corrupt"]).toContain(decodeBody(bytes).kind);
    }),
    { numRuns: 3_000 },
  );
  fc.assert(
    fc.property(value, fc.nat(), fc.nat({ max: 255 }), (body, at, byte) => {
      const bytes = encodeBody(body).slice();
      expect(decodeBody(bytes.subarray(0, at % bytes.length)).kind).toBe("corrupt");
      bytes[at % bytes.length] = byte;
      expect(["body", "corrupt"]).toContain(decodeBody(bytes).kind);
    }),
    { numRuns: 3_000 },
  );
});

test.each([
  ["an array that claims four billion elements", [0xdd, 0xff, 0xff, 0xff, 0xff, 0x01], "truncated"],
  ["a map that claims four billion entries", [0xdf, 0xff, 0xff, 0xff, 0xff], "truncated"],
  ["a binary that claims four gigabytes", [0xc6, 0xff, 0xff, 0xff, 0xff], "truncated"],
  ["nesting of 33 arrays", [...nested(33)], "too_deep"],
  ["an extension type", [0xd4, 0x01, 0x00], "malformed"],
  ["the byte that means nothing", [0xc1], "malformed"],
  ["two values", [0x01, 0x02], "trailing_bytes"],
  ["nothing", [], "truncated"],
])("%s is corrupt", (_what, bytes, reason) => {
  expect(decodeBody(Uint8Array.from(bytes))).toEqual({ kind: "corrupt", reason });
});

test("nesting of 32 arrays passes", () => {
  expect(decodeBody(nested(32)).kind).toBe("body");
});

test("a key that would poison a prototype is corrupt", () => {
  const bytes = Uint8Array.from([0x81, 0xa9, ...new TextEncoder().encode("__proto__"), 0x01]);
  expect(decodeBody(bytes).kind).toBe("corrupt");
});

test("what cannot be carried is the sender's bug and throws there", () => {
  expect(() => encodeBody({ count: 1n })).toThrow(/bigint|unsupported/i);
  expect(() => encodeBody(() => 1)).toThrow(/Unrecognized|function/i);
});
