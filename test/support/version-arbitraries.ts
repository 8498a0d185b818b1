/** Random dots, contexts and sibling sets, canonical by construction. */
import fc from "fast-check";
import { addDot, contextOf, covers } from "../../services/versioning/causal-context.ts";
import { compareByAge, isSameDot, MAX_ACTOR, MAX_COUNTER } from "../../services/versioning/dot.ts";
import type { CausalContext, Dot, Sibling, SiblingSet } from "../../services/versioning/types.ts";

const actor: fc.Arbitrary<number> = fc.oneof(
  { weight: 5, arbitrary: fc.integer({ min: 1, max: 5 }) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: MAX_ACTOR }) },
);
const counter: fc.Arbitrary<number> = fc.oneof(
  { weight: 5, arbitrary: fc.integer({ min: 1, max: 9 }) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: MAX_COUNTER }) },
);

/** Mostly small and so often equal; sometimes anywhere in the range. */
export const anyDot: fc.Arbitrary<Dot> = fc.record({ actor, counter }, { noNullPrototype: true });

/** Vectors of up to 6 entries and a few detached dots. */
export const anyContext: fc.Arbitrary<CausalContext> = fc
  .tuple(fc.array(anyDot, { maxLength: 6 }), fc.array(anyDot, { maxLength: 4 }))
  .map(([vector, detached]) => contextOf(vector, detached));

const anyBody: fc.Arbitrary<Omit<Sibling, "dot">> = fc.record(
  {
    expiresAtMs: fc.oneof(fc.constant(0), fc.nat(), fc.constant(MAX_COUNTER)),
    contentType: fc.oneof(
      fc.constantFrom("application/json", "text/plain; charset=utf-8", ""),
      fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 20 }).map((codes) => String.fromCharCode(...codes)),
    ),
    bytes: fc.uint8Array({ maxLength: 40 }),
  },
  { noNullPrototype: true },
);

/** Sets of up to 5 siblings whose clocks cover them. */
export const anySet: fc.Arbitrary<SiblingSet> = fc
  .tuple(anyContext, fc.array(fc.tuple(anyDot, anyBody), { maxLength: 5 }))
  .map(([context, drawn]) => {
    const siblings: Sibling[] = [];
    let clock = context;
    for (const [dot, body] of drawn) {
      if (siblings.some((other) => isSameDot(other.dot, dot))) continue;
      if (!covers(clock, dot)) clock = addDot(clock, dot);
      siblings.push({ dot, ...body });
    }
    siblings.sort((a, b) => compareByAge(b.dot, a.dot));
    return { clock, siblings };
  });
