/** What is left of versions that come late, or from an older copy, to a partition whose tombstones were collected. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { leftOfStale, withoutStale } from "../../../services/replica/stale-versions.ts";
import { decodeSet, encodeSet } from "../../../services/versioning/object-codec.ts";
import { EMPTY, merge, put, remove } from "../../../services/versioning/sibling-set.ts";
import type { Dot, Sibling, SiblingSet } from "../../../services/versioning/types.ts";
import { anySet } from "../../support/version-arbitraries.ts";

const LINE = 100;
const valueOf = (dot: Dot): Sibling => ({ dot, expiresAtMs: 0, contentType: "text/plain", bytes: Buffer.from("v") });
const old: Dot = { actor: 1, counter: 50 };
const young: Dot = { actor: 2, counter: 150 };
const oldValue = put(EMPTY, { context: EMPTY.clock, sibling: valueOf(old) });
const youngValue = put(EMPTY, { context: EMPTY.clock, sibling: valueOf(young) });
const tombstone = remove(oldValue, { context: oldValue.clock, dot: { actor: 1, counter: 60 } });

function leftOf(set: SiblingSet): SiblingSet | undefined {
  const left = leftOfStale(encodeSet(set), LINE);
  if (left === undefined) return undefined;
  const decoded = decodeSet(left);
  if (decoded.kind === "corrupt") throw new Error(decoded.reason);
  return decoded.set;
}

describe("beside nothing held", () => {
  test("an old value and its tombstone bring nothing", () => {
    expect([leftOf(oldValue), leftOf(tombstone)]).toEqual([undefined, undefined]);
  });

  test("a new value stays as it is, and so does a delete of it", () => {
    const deleted = remove(youngValue, { context: youngValue.clock, dot: { actor: 2, counter: 160 } });
    expect([leftOf(youngValue), leftOf(deleted)]).toEqual([youngValue, deleted]);
  });

  test("of an old value and a new one, the new one is left, with all that was seen", () => {
    const both = merge(oldValue, youngValue);
    expect(leftOf(both)).toEqual({ clock: both.clock, siblings: youngValue.siblings });
  });

  test("a new delete that kept an old value is left without it", () => {
    const other = put(oldValue, { context: EMPTY.clock, sibling: valueOf(young) });
    const removed = remove(other, { context: youngValue.clock, dot: { actor: 2, counter: 170 } });
    expect(removed.siblings).toHaveLength(1);
    expect(leftOf(removed)).toEqual({ clock: removed.clock, siblings: [] });
  });

  test("bytes that are no object are left to whoever stores them", () => {
    const broken = Uint8Array.of(1, 2, 3);
    expect(leftOfStale(broken, LINE) ?? broken).toBe(broken);
  });
});

describe("beside what is held", () => {
  test("what is held or known stays, what is old and unknown goes, what is new stays", () => {
    fc.assert(
      fc.property(anySet, anySet, fc.nat(2 ** 40), (incoming, held, line) => {
        const left = withoutStale(incoming, held, line);
        const merged = merge(held, left);
        const whole = merge(held, incoming);
        expect(merged.clock).toEqual(whole.clock);
        const isKnown = ({ dot }: Sibling): boolean =>
          held.siblings.some((one) => one.dot.counter === dot.counter && one.dot.actor === dot.actor);
        expect(merged.siblings).toEqual(whole.siblings.filter((one) => isKnown(one) || one.dot.counter > line));
      }),
    );
  });
});
