/** Values with an end: which are there at a time, and that the laws hold whoever drops the dead ones first. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EMPTY_CONTEXT } from "../../../services/versioning/causal-context.ts";
import { digestOf, encodeSet } from "../../../services/versioning/object-codec.ts";
import { encodedExpiryOf } from "../../../services/versioning/object-header.ts";
import { EMPTY, livingAt, merge, put, reduceLww, remove } from "../../../services/versioning/sibling-set.ts";
import type { Dot, Sibling, SiblingSet } from "../../../services/versioning/types.ts";
import { anySet } from "../../support/version-arbitraries.ts";

/** A dot names its body and its end for ever. Ends are few, so that they meet: 0 = never. */
function withNamedEnds(set: SiblingSet): SiblingSet {
  const siblings = set.siblings.map(({ dot }) => ({
    dot,
    expiresAtMs: ((dot.counter + dot.actor) % 4) * 10,
    contentType: "text/plain",
    bytes: Buffer.from(`${dot.actor}:${dot.counter}`),
  }));
  return { clock: set.clock, siblings };
}

const anyEndingSet = anySet.map(withNamedEnds);
const anyTime = fc.constantFrom(5, 10, 15, 20, 25, 30, 35);
const lww = (a: SiblingSet, b: SiblingSet): SiblingSet => reduceLww(merge(a, b));

function ending(dot: Dot, expiresAtMs: number): Sibling {
  return { dot, expiresAtMs, contentType: "text/plain", bytes: Buffer.from("v") };
}

describe("values with an end", () => {
  test("merge in any order and any number of times to the same set, with and without last write wins", () => {
    fc.assert(
      fc.property(anyEndingSet, anyEndingSet, anyEndingSet, (a, b, c) => {
        for (const join of [merge, lww]) {
          expect(join(a, b)).toEqual(join(b, a));
          expect(join(join(a, b), c)).toEqual(join(a, join(b, c)));
          expect(join(join(a, b), b)).toEqual(join(a, b));
        }
      }),
    );
  });

  test("are the same afterwards whoever dropped the dead ones first", () => {
    fc.assert(
      fc.property(anyEndingSet, anyEndingSet, anyTime, (a, b, nowMs) => {
        const whole = livingAt(merge(a, b), nowMs);
        expect(livingAt(merge(livingAt(a, nowMs), b), nowMs)).toEqual(whole);
        expect(livingAt(merge(livingAt(a, nowMs), livingAt(b, nowMs)), nowMs)).toEqual(whole);
      }),
    );
  });

  test("never come back: what is gone at one time is gone at every later one", () => {
    fc.assert(
      fc.property(anyEndingSet, anyTime, anyTime, (set, x, y) => {
        const [early, late] = [Math.min(x, y), Math.max(x, y)];
        expect(livingAt(livingAt(set, early), late)).toEqual(livingAt(set, late));
        expect(livingAt(set, late).clock).toBe(set.clock);
      }),
    );
  });

  test("that were replaced are replaced for good, though the newer one ends first", () => {
    const first = put(EMPTY, { context: EMPTY_CONTEXT, sibling: ending({ actor: 1, counter: 10 }, 0) });
    const second = put(first, { context: first.clock, sibling: ending({ actor: 2, counter: 11 }, 50) });
    expect(livingAt(merge(first, second), 60).siblings).toEqual([]);
    const other = put(EMPTY, { context: EMPTY_CONTEXT, sibling: ending({ actor: 3, counter: 9 }, 0) });
    expect(livingAt(reduceLww(merge(other, second)), 60).siblings).toEqual([]);
  });

  test("are removed by a delete that saw them like any other, ended or not", () => {
    const held = put(EMPTY, { context: EMPTY_CONTEXT, sibling: ending({ actor: 1, counter: 10 }, 50) });
    const removed = remove(held, { context: held.clock, dot: { actor: 1, counter: 12 } });
    expect(merge(held, removed)).toEqual(removed);
    expect(merge(livingAt(held, 60), removed)).toEqual(removed);
  });

  test("do not change their digest by ending, nor have another one for another end", () => {
    fc.assert(
      fc.property(anyEndingSet, (set) => {
        const endless = { clock: set.clock, siblings: set.siblings.map((one) => ({ ...one, expiresAtMs: 0 })) };
        expect(digestOf(set)).toBe(digestOf(endless));
      }),
    );
  });

  test("tell in their head when the last of them ends, and nothing when one stays", () => {
    fc.assert(
      fc.property(anyEndingSet, (set) => {
        const ends = set.siblings.map((one) => one.expiresAtMs);
        const last = ends.includes(0) ? 0 : Math.max(0, ...ends);
        expect(encodedExpiryOf(encodeSet(set))).toBe(last);
      }),
    );
    expect(encodedExpiryOf(encodeSet(EMPTY))).toBe(0);
    expect(encodedExpiryOf(new Uint8Array(5))).toBe(0);
  });
});
