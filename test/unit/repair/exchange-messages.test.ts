import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MAX_EXCHANGE_ROOTS, MAX_LISTED_STATES } from "../../../services/base/limits.ts";
import {
  type ExchangeAnswer,
  type ExchangeQuestion,
  encodeAnswer,
  encodeQuestion,
  parseAnswer,
  parseQuestion,
} from "../../../services/repair/exchange-messages.ts";
import {
  encodeRoots,
  encodeVerdicts,
  parseRoots,
  parseVerdicts,
  type RootVerdict,
} from "../../../services/repair/roots-messages.ts";
import { carried } from "../../support/transfer-fixture.ts";

const u64 = fc.bigInt(0n, (1n << 64n) - 1n);
const bytes = (length: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((some) => Buffer.from(some));
const states = fc.array(fc.record({ hash: u64, state: u64 }), { maxLength: 20 });
const pair = fc.record({
  partition: fc.nat(4_095),
  ownSlot: fc.nat(6),
  peerSlot: fc.nat(6),
  isFiltered: fc.boolean(),
});
const question: fc.Arbitrary<ExchangeQuestion> = fc.oneof(
  fc.record({ kind: fc.constant("inner" as const), inner: bytes(128) }),
  fc.record({ kind: fc.constant("leaves" as const), at: fc.nat(0xffff), leaves: bytes(256) }),
  fc.record({ kind: fc.constant("list" as const), fromHash: u64, toHash: u64, leaves: bytes(32), states }),
  fc.record({ kind: fc.constant("states" as const), hashes: fc.array(u64, { maxLength: 20 }) }),
  fc.record({
    kind: fc.constant("fetch" as const),
    hashes: fc.array(u64, { maxLength: 20 }),
    cursor: fc.option(bytes(30), { nil: undefined }),
  }),
);
const answer: fc.Arbitrary<ExchangeAnswer> = fc.oneof(
  fc.record({ kind: fc.constant("inner" as const), bits: fc.nat(0xffff) }),
  fc.record({ kind: fc.constant("leaves" as const), bits: bytes(32) }),
  fc.record({ kind: fc.constant("listed" as const), states, throughHash: u64 }),
  fc.record({ kind: fc.constant("states" as const), states: fc.array(u64, { maxLength: 20 }) }),
  fc.record({
    kind: fc.constant("objects" as const),
    objects: bytes(40),
    next: fc.option(bytes(30), { nil: undefined }),
    word: fc.option(fc.record({ floor: fc.maxSafeNat(), rules: u64 }), { nil: undefined }),
  }),
  fc.record({
    kind: fc.constant("refused" as const),
    reason: fc.constantFrom("malformed", "moved", "busy", "stopping"),
  }),
);

describe("what holders say to each other", () => {
  it("arrives as it was said", () => {
    fc.assert(
      fc.property(pair, question, (between, asked) => {
        expect(parseQuestion(carried(encodeQuestion(between, asked)))).toEqual({ pair: between, question: asked });
      }),
    );
    fc.assert(
      fc.property(answer, (said) => {
        expect(parseAnswer(carried(encodeAnswer(said)))).toEqual(said);
      }),
    );
  });

  it("is nothing when it is anything else, and never an error", () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        for (const parse of [parseQuestion, parseAnswer, parseRoots]) expect(parse(value)).toBeUndefined();
        expect(parseVerdicts(value, 1)).toBeUndefined();
      }),
    );
  });

  it.each([
    ["inner hashes of another length", { kind: "inner", inner: new Uint8Array(127) }],
    ["seventeen inner nodes", { kind: "leaves", at: 0x1_0000, leaves: new Uint8Array(128) }],
    [
      "half a state",
      { kind: "list", range: new Uint8Array(16), leaves: new Uint8Array(32), states: new Uint8Array(8) },
    ],
    ["leaves of another length", { kind: "list", range: new Uint8Array(16), leaves: new Uint8Array(31), states: [] }],
    ["no range", { kind: "list", range: new Uint8Array(8), leaves: new Uint8Array(32), states: new Uint8Array(0) }],
    ["too many hashes", { kind: "states", hashes: new Uint8Array((MAX_LISTED_STATES + 1) * 8) }],
    ["another kind", { kind: "drop", hashes: new Uint8Array(8) }],
  ])("is refused with %s", (_, fields) => {
    expect(parseQuestion({ partition: 1, ownSlot: 0, peerSlot: 1, isFiltered: false, ...fields })).toBeUndefined();
  });

  it("needs a partition and slots", () => {
    expect(parseQuestion({ kind: "states", hashes: new Uint8Array(8), partition: -1, ownSlot: 0, peerSlot: 1 })).toBe(
      undefined,
    );
  });
});

describe("roots", () => {
  const item = fc.record({
    partition: fc.nat(4_095),
    ownSlot: fc.nat(6),
    peerSlot: fc.nat(6),
    isFiltered: fc.boolean(),
    root: u64,
  });

  it("cost twelve bytes each, and one for the answer", () => {
    fc.assert(
      fc.property(fc.array(item, { maxLength: MAX_EXCHANGE_ROOTS }), (items) => {
        const body = encodeRoots(items);
        expect(body.roots).toHaveLength(12 * items.length);
        expect(parseRoots(carried(body))).toEqual(items);
      }),
    );
    const verdicts: readonly RootVerdict[] = ["equal", "differs", "not_held", "suspect"];
    expect(parseVerdicts(carried(encodeVerdicts(verdicts)), 4)).toEqual(verdicts);
  });

  it("are not believed when there are too many, or half of one", () => {
    expect(parseRoots({ roots: new Uint8Array((MAX_EXCHANGE_ROOTS + 1) * 12) })).toBeUndefined();
    expect(parseRoots({ roots: new Uint8Array(13) })).toBeUndefined();
    expect(parseVerdicts({ verdicts: new Uint8Array(3) }, 4)).toBeUndefined();
    expect(parseVerdicts({ verdicts: Uint8Array.of(4) }, 1)).toBeUndefined();
  });
});
