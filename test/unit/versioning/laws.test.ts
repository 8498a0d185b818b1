/** Laws of contexts and of merge, on any canonical values. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  addDot,
  advance,
  clockFlawOf,
  compare,
  contextOf,
  covers,
  includes,
  join,
} from "../../../services/versioning/causal-context.ts";
import { encodeSet } from "../../../services/versioning/object-codec.ts";
import { merge, reduceLww } from "../../../services/versioning/sibling-set.ts";
import type { CausalContext, SiblingSet } from "../../../services/versioning/types.ts";
import { anyContext, anyDot, anySet } from "../../support/version-arbitraries.ts";

/** A dot names its body for ever: sets that are merged take their bodies from one place. */
function withNamedBodies(set: SiblingSet): SiblingSet {
  return {
    clock: set.clock,
    siblings: set.siblings.map(({ dot }) => ({
      dot,
      expiresAtMs: 0,
      contentType: "text/plain",
      bytes: Buffer.from(`${dot.actor}:${dot.counter}`),
    })),
  };
}

const anyNamedSet = anySet.map(withNamedBodies);
const lww = (a: SiblingSet, b: SiblingSet): SiblingSet => reduceLww(merge(a, b));

describe("contexts", () => {
  test("join is commutative, associative and idempotent", () => {
    fc.assert(
      fc.property(anyContext, anyContext, anyContext, (a, b, c) => {
        expect(join(a, b)).toEqual(join(b, a));
        expect(join(join(a, b), c)).toEqual(join(a, join(b, c)));
        expect(join(a, a)).toEqual(a);
      }),
    );
  });

  test("a join covers what either covers, and nothing else", () => {
    fc.assert(
      fc.property(anyContext, anyContext, anyDot, (a, b, dot) => {
        expect(covers(join(a, b), dot)).toBe(covers(a, dot) || covers(b, dot));
      }),
    );
  });

  test("an added dot is covered, and no other dot is", () => {
    fc.assert(
      fc.property(anyContext, anyDot, anyDot, (context, added, other) => {
        const isSame = other.actor === added.actor && other.counter === added.counter;
        expect(covers(addDot(context, added), other)).toBe(isSame || covers(context, other));
      }),
    );
  });

  test("advancing claims everything of the actor up to the dot", () => {
    fc.assert(
      fc.property(anyContext, anyDot, anyDot, (context, dot, other) => {
        const isBelow = other.actor === dot.actor && other.counter <= dot.counter;
        expect(covers(advance(context, dot), other)).toBe(isBelow || covers(context, other));
      }),
    );
  });

  test("every operation keeps the canonical form", () => {
    const flawless = (context: CausalContext): void => expect(clockFlawOf(context)).toBeUndefined();
    fc.assert(
      fc.property(anyContext, anyContext, anyDot, (a, b, dot) => {
        for (const context of [a, join(a, b), addDot(a, dot), advance(a, dot)]) flawless(context);
      }),
    );
  });

  test("the order of entries given does not matter", () => {
    fc.assert(
      fc.property(fc.array(anyDot, { maxLength: 30 }), fc.array(anyDot, { maxLength: 30 }), (vector, detached) => {
        expect(contextOf(vector.toReversed(), detached.toReversed())).toEqual(contextOf(vector, detached));
      }),
    );
  });

  test("comparing agrees with inclusion, and a join includes both", () => {
    fc.assert(
      fc.property(anyContext, anyContext, (a, b) => {
        const order = compare(a, b);
        expect(order === "before" || order === "equal").toBe(includes(b, a));
        expect(order === "after" || order === "equal").toBe(includes(a, b));
        expect(includes(join(a, b), a) && includes(join(a, b), b)).toBe(true);
      }),
    );
  });

  test("a long vector is searched as a short one is walked", () => {
    fc.assert(
      fc.property(fc.uniqueArray(anyDot, { minLength: 17, maxLength: 60, selector: (dot) => dot.actor }), (entries) => {
        const long = contextOf(entries);
        for (const entry of entries) {
          expect(covers(long, entry)).toBe(true);
          expect(covers(long, { actor: entry.actor, counter: entry.counter + 1 })).toBe(false);
          expect(covers(long, { actor: entry.actor + 6, counter: 1 })).toBe(
            entries.some((other) => other.actor === entry.actor + 6),
          );
        }
      }),
      { numRuns: 30 },
    );
  });
});

describe("merge", () => {
  test.each([
    { name: "siblings", rule: merge, settle: (set: SiblingSet) => set },
    { name: "last write wins", rule: lww, settle: reduceLww },
  ])("is commutative, associative and idempotent: $name", ({ rule, settle }) => {
    fc.assert(
      fc.property(anyNamedSet.map(settle), anyNamedSet.map(settle), anyNamedSet.map(settle), (a, b, c) => {
        expect(encodeSet(rule(a, b))).toEqual(encodeSet(rule(b, a)));
        expect(encodeSet(rule(rule(a, b), c))).toEqual(encodeSet(rule(a, rule(b, c))));
        expect(encodeSet(rule(a, a))).toEqual(encodeSet(a));
      }),
      { numRuns: 2_000 },
    );
  });

  test("a set merged with its own past is itself", () => {
    fc.assert(
      fc.property(anyNamedSet, anyNamedSet, (a, b) => {
        const later = merge(a, b);
        expect(encodeSet(merge(later, a))).toEqual(encodeSet(later));
      }),
    );
  });
});
