/** What senders and receivers of hints say to each other: whole round trips, and nothing malformed gets through. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { HINT_OFFER_KEYS } from "../../../services/base/hint-limits.ts";
import {
  encodeDelivery,
  encodeFlags,
  encodeFlushMark,
  encodeFlushReply,
  encodeOffer,
  encodeReply,
  type HintState,
  parseDelivery,
  parseFlags,
  parseFlushMark,
  parseFlushReply,
  parseOffer,
  parseReply,
} from "../../../services/handoff/hint-messages.ts";
import { locationOf } from "../../support/replica-fixture.ts";
import { nodeIdOf } from "../../support/sim-peers.ts";
import { carried } from "../../support/transfer-fixture.ts";

const Q = 64;
const keyText = fc.string({ minLength: 1, maxLength: 40 });
const slot = fc.nat({ max: 6 });
const credit = { keys: 5, bytes: 1_000, pauseMs: 20 };

describe("messages of hints", () => {
  test("arrive as they were sent: offers, deliveries, answers", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            key: keyText,
            slot,
            digest: fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }),
            object: fc.uint8Array({ maxLength: 60 }),
          }),
          { minLength: 1, maxLength: 20 },
        ),
        fc.array(fc.constantFrom<HintState>("held", "lacking", "elsewhere", "later", "bad"), { maxLength: 20 }),
        (keys, states) => {
          const sent = keys.map((one) => ({ ...one, location: locationOf("carts", one.key) }));
          const bytesOf = (view: Uint8Array): string => Buffer.from(view).toString("hex");
          const offered = parseOffer(carried(encodeOffer(sent)), Q) ?? [];
          expect(offered.map((one) => [bytesOf(one.location.key), one.location.hash, one.slot, one.digest])).toEqual(
            sent.map((one) => [bytesOf(one.location.key), one.location.hash, one.slot, one.digest]),
          );
          const taken = parseDelivery(carried(encodeDelivery(sent)), Q) ?? [];
          expect(taken.map((one) => [bytesOf(one.location.key), one.slot, bytesOf(one.object)])).toEqual(
            sent.map((one) => [bytesOf(one.location.key), one.slot, bytesOf(one.object)]),
          );
          const moved = new Map([[3, nodeIdOf("n9")]]);
          expect(parseReply(carried(encodeReply({ states, moved, credit })), states.length)).toEqual({
            states,
            moved,
            credit,
          });
        },
      ),
    );
  });

  test("of flags and of what is left arrive too", () => {
    expect(parseFlags(carried(encodeFlags([1, 63])), Q)).toEqual([1, 63]);
    const left = new Map([[nodeIdOf("n4"), 12]]);
    expect(parseFlushReply(carried(encodeFlushReply({ mark: 12.5, left })))).toEqual({ mark: 12.5, left });
    expect(parseFlushReply(carried(encodeFlushReply({ mark: 12.5, run: 7, left })))).toEqual({
      mark: 12.5,
      run: 7,
      left,
    });
    expect(parseFlushMark(carried(encodeFlushMark({ mark: 12.5, run: 7 })))).toEqual({ mark: 12.5, run: 7 });
    expect([parseFlushMark({ mark: 1, run: -1 }), parseFlushMark({ run: 7 })]).toEqual([{ mark: 1 }, undefined]);
  });

  test("with any byte changed or cut are refused or understood, never more", () => {
    const offer = encodeOffer([{ location: locationOf("carts", "a"), slot: 1, digest: 5n }]);
    const bytes = bytesIn(offer, "keys");
    fc.assert(
      fc.property(
        fc.nat({ max: bytes.length - 1 }),
        fc.nat({ max: 255 }),
        fc.nat({ max: bytes.length }),
        (at, byte, end) => {
          const damaged = Buffer.from(bytes);
          damaged[at] = byte;
          for (const keys of [damaged, damaged.subarray(0, end)]) {
            for (const parsed of [parseOffer({ keys }, Q), parseDelivery({ objects: keys }, Q)]) {
              for (const { location, slot: of } of parsed ?? []) {
                expect(of).toBeLessThan(7);
                expect(location.partition).toBeLessThan(Q);
              }
            }
          }
        },
      ),
    );
  });

  test.each([
    ["no object", 7],
    ["no bytes", { keys: "text" }],
    ["a digest of nothing", { keys: Buffer.from([1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 97]) }],
    ["a slot that cannot be", { keys: Buffer.from([7, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 97]) }],
    ["a key of no length", { keys: Buffer.from([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]) }],
    ["a length beyond its end", { keys: Buffer.from([1, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 97]) }],
  ])("with %s are refused", (_, body) => {
    expect(parseOffer(body, Q)).toBeUndefined();
  });

  test("with more keys than an offer may name are refused", () => {
    const one = { location: locationOf("carts", "a"), slot: 1, digest: 5n };
    const many = Array.from({ length: HINT_OFFER_KEYS + 1 }, () => one);
    expect(parseOffer(encodeOffer(many.slice(1)), Q)).toHaveLength(HINT_OFFER_KEYS);
    expect(parseOffer(encodeOffer(many), Q)).toBeUndefined();
  });

  test.each([
    ["too few states", { states: Buffer.from([0]), moved: [], ...credit }],
    ["an unknown state", { states: Buffer.from([0, 9]), moved: [], ...credit }],
    ["a pause of for ever", { states: Buffer.from([0, 1]), moved: [], ...credit, pauseMs: 1e9 }],
    ["a partition that cannot be", { states: Buffer.from([0, 1]), moved: [[99_999, "n1"]], ...credit }],
    ["a node that cannot be", { states: Buffer.from([0, 1]), moved: [[1, "n 1"]], ...credit }],
  ])("answers with %s are no answers", (_, body) => {
    expect(parseReply(body, 2)).toBeUndefined();
  });

  test("flags of partitions that are not there are refused", () => {
    expect(parseFlags({ partitions: [1, 64] }, Q)).toBeUndefined();
    expect(parseFlags({ partitions: [1.5] }, Q)).toBeUndefined();
    expect(parseFlushReply({ mark: -1, left: [] })).toBeUndefined();
    expect(parseFlushReply({ mark: 1, left: [["n1", -1]] })).toBeUndefined();
  });
});

function bytesIn(body: unknown, name: string): Buffer {
  const value: unknown = typeof body === "object" && body !== null ? Reflect.get(body, name) : undefined;
  if (!(value instanceof Uint8Array)) throw new Error("no bytes");
  return Buffer.from(value);
}
