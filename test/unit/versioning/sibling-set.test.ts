/** What writes do to a set, and what their writers may be told. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MAX_CONTEXT_ENTRIES } from "../../../services/base/limits.ts";
import { contextOf, covers, EMPTY_CONTEXT, greatestCounter } from "../../../services/versioning/causal-context.ts";
import {
  contextAfterWrite,
  EMPTY,
  holds,
  merge,
  put,
  reduceLww,
  remove,
} from "../../../services/versioning/sibling-set.ts";
import type { CausalContext, Dot, Sibling, SiblingSet } from "../../../services/versioning/types.ts";

const dotOf = (actor: number, counter: number): Dot => ({ actor, counter });
const siblingOf = (dot: Dot): Sibling => ({ dot, expiresAtMs: 0, contentType: "text/plain", bytes: Buffer.from("v") });
const putAt = (set: SiblingSet, dot: Dot, context: CausalContext): SiblingSet =>
  put(set, { context, sibling: siblingOf(dot) });
const dotsOf = (set: SiblingSet): readonly Dot[] => set.siblings.map((sibling) => sibling.dot);

const [A1, A5, A9, B3, B7, C2] = [dotOf(1, 1), dotOf(1, 5), dotOf(1, 9), dotOf(2, 3), dotOf(2, 7), dotOf(3, 2)];

describe("a put", () => {
  test("replaces the siblings that its context covers and stands beside the others", () => {
    const two = putAt(putAt(EMPTY, A1, EMPTY_CONTEXT), A5, EMPTY_CONTEXT);
    expect(dotsOf(two)).toEqual([A5, A1]);
    expect(dotsOf(putAt(two, A9, contextOf([], [A1])))).toEqual([A9, A5]);
    expect(dotsOf(putAt(two, A9, two.clock))).toEqual([A9]);
  });

  test("keeps siblings newest first, by counter and then by actor", () => {
    const set = putAt(putAt(putAt(EMPTY, B3, EMPTY_CONTEXT), dotOf(4, 3), EMPTY_CONTEXT), C2, EMPTY_CONTEXT);
    expect(dotsOf(set)).toEqual([dotOf(4, 3), B3, C2]);
  });

  test("enters the vector with its own dot and detaches what the client alone has seen", () => {
    const set = putAt(EMPTY, A1, contextOf([], [B7]));
    expect(set.clock).toEqual({ vector: [A1], detached: [B7] });
  });

  test("of a dot that was seen before is a bug and stops the process", () => {
    const set = putAt(EMPTY, A5, EMPTY_CONTEXT);
    expect(() => putAt(set, A5, EMPTY_CONTEXT)).toThrow("a dot is minted once");
    expect(() => putAt(set, A1, EMPTY_CONTEXT)).toThrow("a dot is minted once");
  });
});

describe("a delete", () => {
  test("leaves a clock and no siblings", () => {
    const gone = remove(putAt(EMPTY, A1, EMPTY_CONTEXT), { context: contextOf([A1]), dot: A5 });
    expect(gone).toEqual({ clock: contextOf([A5]), siblings: [] });
  });

  test("leaves what its context does not cover", () => {
    const two = putAt(putAt(EMPTY, A1, EMPTY_CONTEXT), A5, EMPTY_CONTEXT);
    expect(dotsOf(remove(two, { context: contextOf([], [A5]), dot: A9 }))).toEqual([A1]);
  });

  test("wins over the value that it removed, in whatever order the two arrive", () => {
    const value = putAt(EMPTY, A1, EMPTY_CONTEXT);
    const gone = remove(value, { context: value.clock, dot: A5 });
    expect(dotsOf(merge(value, gone))).toEqual([]);
    expect(dotsOf(merge(gone, value))).toEqual([]);
  });

  test("does not touch a write that its context has not seen", () => {
    const value = putAt(EMPTY, A1, EMPTY_CONTEXT);
    const unmet = putAt(EMPTY, B3, EMPTY_CONTEXT);
    const gone = remove(value, { context: value.clock, dot: A5 });
    expect(dotsOf(merge(gone, unmet))).toEqual([B3]);
  });

  test("is followed by a re-create that carries its context", () => {
    const gone = remove(putAt(EMPTY, A1, EMPTY_CONTEXT), { context: contextOf([A1]), dot: A5 });
    const again = putAt(EMPTY, B7, gone.clock);
    expect(dotsOf(merge(gone, again))).toEqual([B7]);
  });
});

describe("the context returned to a writer", () => {
  const returned = (before: SiblingSet, given: CausalContext, dot: Dot): CausalContext =>
    contextAfterWrite({ before, after: putAt(before, dot, given), given, dot });

  test("is the whole clock when only the new sibling stands", () => {
    const before = putAt(EMPTY, A1, contextOf([B3]));
    expect(returned(before, before.clock, A5)).toEqual(contextOf([A5, B3]));
  });

  test("is the whole clock when a delete left nothing", () => {
    const before = putAt(EMPTY, A1, contextOf([B3]));
    const after = remove(before, { context: before.clock, dot: A5 });
    expect(contextAfterWrite({ before, after, given: before.clock, dot: A5 })).toEqual(after.clock);
  });

  test("is what was given and the detached dot when something unread stands", () => {
    const before = putAt(EMPTY, A1, EMPTY_CONTEXT);
    expect(returned(before, EMPTY_CONTEXT, A5)).toEqual(contextOf([], [A5]));
    expect(covers(returned(before, EMPTY_CONTEXT, A5), A1)).toBe(false);
  });

  test("takes the dot into the vector when the writer had seen all of that actor", () => {
    const read = putAt(EMPTY, A1, EMPTY_CONTEXT);
    const before = merge(read, putAt(EMPTY, B3, EMPTY_CONTEXT));
    expect(returned(before, read.clock, A5)).toEqual(contextOf([A5]));
  });

  test("forgets its oldest detached dots before it outgrows a token", () => {
    let set = putAt(EMPTY, A1, EMPTY_CONTEXT);
    let context: CausalContext = EMPTY_CONTEXT;
    for (let counter = 2; counter < MAX_CONTEXT_ENTRIES + 50; counter += 1) {
      const dot = dotOf(1, counter);
      const after = putAt(set, dot, context);
      context = contextAfterWrite({ before: set, after, given: context, dot });
      set = after;
      expect(covers(context, dot)).toBe(true);
    }
    expect(context.detached).toHaveLength(MAX_CONTEXT_ENTRIES);
    expect(covers(context, A1)).toBe(false);
    expect(dotsOf(set)).toHaveLength(2);
  });

  test("never has more entries than allowed, and always its own dot, however many actors wrote the key", () => {
    const actors = Array.from({ length: MAX_CONTEXT_ENTRIES }, (_, at) => dotOf(at + 10, 100 + at));
    const seen = contextOf(actors);
    const many = { clock: contextOf([...actors, dotOf(900, 50)]), siblings: [] };
    const sizeOf = (context: CausalContext): number => context.vector.length + context.detached.length;
    // A slow clock: the new dot is older than all that is known.
    const dot = dotOf(5, 7);
    const alone = returned(many, many.clock, dot);
    const besideSeen = returned(merge(many, putAt(EMPTY, B3, EMPTY_CONTEXT)), seen, dot);
    const besideUnread = returned(merge(many, putAt(EMPTY, A1, EMPTY_CONTEXT)), seen, dotOf(1, 200));
    for (const context of [alone, besideSeen, besideUnread]) expect(sizeOf(context)).toBe(MAX_CONTEXT_ENTRIES);
    expect([covers(alone, dot), covers(besideSeen, dot), covers(besideUnread, dotOf(1, 200))]).toEqual([
      true,
      true,
      true,
    ]);
    expect(covers(besideUnread, A1)).toBe(false);
    expect(covers(besideSeen, B3)).toBe(false);
  });
});

describe("last write wins", () => {
  test("keeps the greatest dot, and nothing when a newer delete is known", () => {
    const both = merge(putAt(EMPTY, A5, EMPTY_CONTEXT), putAt(EMPTY, B3, EMPTY_CONTEXT));
    expect(dotsOf(reduceLww(both))).toEqual([A5]);
    const gone = remove(EMPTY, { context: EMPTY_CONTEXT, dot: B7 });
    expect(dotsOf(reduceLww(merge(both, gone)))).toEqual([]);
    expect(dotsOf(reduceLww(merge(both, remove(EMPTY, { context: EMPTY_CONTEXT, dot: C2 }))))).toEqual([A5]);
  });

  test("settles equal counters by actor", () => {
    const both = merge(putAt(EMPTY, dotOf(1, 5), EMPTY_CONTEXT), putAt(EMPTY, dotOf(2, 5), EMPTY_CONTEXT));
    expect(dotsOf(reduceLww(both))).toEqual([dotOf(2, 5)]);
  });

  test("ends in the newest write, or in nothing when that was a delete, in whatever order the writes meet", () => {
    const write = fc.record({ at: fc.nat(2), isDelete: fc.boolean(), isBlind: fc.boolean(), ahead: fc.nat(3) });
    const delivery = fc.record({ from: fc.nat(2), to: fc.nat(2) });
    fc.assert(
      fc.property(fc.array(fc.oneof(write, delivery), { minLength: 1, maxLength: 20 }), (steps) => {
        const sets: SiblingSet[] = [EMPTY, EMPTY, EMPTY];
        const writes: { readonly dot: Dot; readonly isDelete: boolean }[] = [];
        const at = (index: number): SiblingSet => sets[index] ?? EMPTY;
        for (const step of steps) {
          if ("from" in step) {
            sets[step.to] = reduceLww(merge(at(step.to), at(step.from)));
            continue;
          }
          const before = at(step.at);
          const dot = dotOf(step.at + 1, greatestCounter(before.clock) + 1 + step.ahead);
          const context = step.isBlind ? EMPTY_CONTEXT : before.clock;
          writes.push({ dot, isDelete: step.isDelete });
          sets[step.at] = reduceLww(step.isDelete ? remove(before, { context, dot }) : putAt(before, dot, context));
        }
        const settled = sets.reduce((a, b) => reduceLww(merge(a, b)), EMPTY);
        const last = writes.toSorted((a, b) => b.dot.counter - a.dot.counter || b.dot.actor - a.dot.actor)[0];
        expect(dotsOf(settled)).toEqual(last === undefined || last.isDelete ? [] : [last.dot]);
      }),
      { numRuns: 2_000 },
    );
  });
});

test("holding a dot is exact", () => {
  const set = putAt(EMPTY, A5, EMPTY_CONTEXT);
  expect(holds(set, A5)).toBe(true);
  expect(holds(set, A1)).toBe(false);
});
