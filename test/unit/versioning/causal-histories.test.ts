/** Sibling sets agree with causal histories over random programs, and the same check finds each planted bug. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { join } from "../../../services/versioning/causal-context.ts";
import { isSameDot } from "../../../services/versioning/dot.ts";
import { merge } from "../../../services/versioning/sibling-set.ts";
import { programs, REAL_RULES, type Rules, runProgram } from "../../support/version-programs.ts";

const replicaCount = fc.integer({ min: 3, max: 5 });
const quiet = fc.record({ replicaCount, steps: programs({ hasRollbacks: false }) });
const forgetful = fc.record({ replicaCount, steps: programs({ hasRollbacks: true }) });

describe("sibling sets agree with causal histories", () => {
  test("nothing is lost, nothing comes back, nothing is falsely dominated, siblings are an antichain", () => {
    fc.assert(
      fc.property(quiet, (program) => {
        expect(runProgram(REAL_RULES, program)).toBeUndefined();
      }),
      { numRuns: 3_000 },
    );
  });

  test("a replica that lost its newest states and goes on as a new actor falsely dominates nothing", () => {
    fc.assert(
      fc.property(forgetful, (program) => {
        expect(runProgram(REAL_RULES, program)).toBeUndefined();
      }),
      { numRuns: 3_000 },
    );
  });
});

const planted: readonly { readonly name: string; readonly rules: Rules }[] = [
  { name: "an actor that is kept after a rollback reuses dots", rules: { ...REAL_RULES, isActorRenewed: false } },
  {
    name: "a merge that lets the last write win",
    rules: {
      ...REAL_RULES,
      merge: (a, b) => {
        const merged = merge(a, b);
        return { clock: merged.clock, siblings: merged.siblings.slice(0, 1) };
      },
    },
  },
  {
    name: "a merge that drops the oldest of three siblings",
    rules: {
      ...REAL_RULES,
      merge: (a, b) => {
        const merged = merge(a, b);
        return { clock: merged.clock, siblings: merged.siblings.slice(0, 2) };
      },
    },
  },
  {
    name: "a merge that keeps what the other side replaced",
    rules: {
      ...REAL_RULES,
      merge: (a, b) => ({
        clock: join(a.clock, b.clock),
        siblings: [
          ...a.siblings,
          ...b.siblings.filter(({ dot }) => !a.siblings.some((own) => isSameDot(own.dot, dot))),
        ],
      }),
    },
  },
  {
    name: "a write that always returns the whole clock",
    rules: { ...REAL_RULES, contextAfterWrite: ({ after }) => after.clock },
  },
  {
    name: "a write that claims all that the minting actor did",
    rules: {
      ...REAL_RULES,
      contextAfterWrite: ({ given, dot }) => join(given, { vector: [dot], detached: [] }),
    },
  },
  {
    name: "a put that forgets detached dots",
    rules: {
      ...REAL_RULES,
      put: (set, write) => {
        const after = REAL_RULES.put(set, write);
        return { clock: { vector: after.clock.vector, detached: [] }, siblings: after.siblings };
      },
    },
  },
];

describe("the check finds each planted bug", () => {
  test.each(planted)("$name is found", ({ rules }) => {
    const details = fc.check(
      fc.property(forgetful, (program) => runProgram(rules, program) === undefined),
      { numRuns: 3_000, endOnFailure: true },
    );
    expect(details.failed).toBe(true);
  });
});
