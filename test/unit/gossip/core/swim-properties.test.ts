/** Laws of one core: whatever the order of what it hears, whatever is heard twice. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { compareLives } from "../../../../gossip/core/life.ts";
import type { Rumor } from "../../../../gossip/core/messages.ts";
import { decisionOn } from "../../../../gossip/core/rumor-rules.ts";
import { aliveOf, life, SwimRig } from "../../../support/swim-rig.ts";

const QUIET = { probeIntervalMs: 1_000, gossipIntervalMs: 1e7, recontactIntervalMs: 1e8, syncIntervalMs: 1e9 };
const LAST_INCARNATION = 4;

/**
 * What can be said of one member: incarnations 1 to 4 in each of three generations; a farewell only of the last, since a member
 * that leaves never refutes again.
 */
const rumor: fc.Arbitrary<Rumor> = fc
  .record({
    kind: fc.constantFrom("alive", "suspect", "dead", "left"),
    generation: fc.integer({ min: 1, max: 3 }),
    incarnation: fc.integer({ min: 1, max: LAST_INCARNATION - 1 }),
    from: fc.constantFrom("b", "c", "d"),
  })
  .map(({ kind, generation, incarnation, from }): Rumor => {
    if (kind === "alive") return aliveOf("a", life(generation, incarnation));
    if (kind === "left") return { kind, nodeId: "a", life: life(generation, LAST_INCARNATION) };
    return { kind, nodeId: "a", life: life(generation, incarnation), from };
  });

function shuffled<T>(list: readonly T[], order: readonly number[]): readonly T[] {
  return list
    .map((item, index) => ({ item, at: order[index % Math.max(1, order.length)] ?? index }))
    .toSorted((x, y) => x.at - y.at)
    .map(({ item }) => item);
}

/** Hears all, then waits until no suspicion is left: a doubt becomes death, as it must when nobody objects. */
function endOf(rumors: readonly Rumor[]): readonly unknown[] {
  const rig = new SwimRig("abcd", QUIET).started();
  for (const one of rumors) rig.hear("b", [one]);
  rig.pass(100_000, "bcd");
  const member = rig.core.member("a");
  return [member?.state, member?.life];
}

test("the last word on a member is the same in any order, however often each is heard", () => {
  fc.assert(
    fc.property(
      fc.array(rumor, { minLength: 1, maxLength: 8 }),
      fc.array(fc.nat(1_000), { minLength: 1, maxLength: 16 }),
      (rumors, order) => {
        // The member itself stands for its latest life: it was the last to speak, or is gone.
        expect(endOf(shuffled([...rumors, ...rumors], order))).toEqual(endOf(rumors));
      },
    ),
    { numRuns: 400 },
  );
});

test("a stored life never goes back, and the gone never return at or below theirs", () => {
  fc.assert(
    fc.property(fc.array(rumor, { maxLength: 30 }), (rumors) => {
      const rig = new SwimRig("abcd", QUIET).started();
      for (const one of rumors) {
        const before = rig.core.member("a");
        rig.hear("b", [one]);
        const after = rig.core.member("a");
        if (before === undefined || after === undefined) throw new Error("the member is known");
        expect(compareLives(after.life, before.life)).toBeGreaterThanOrEqual(0);
        const wasGone = before.state === "dead" || before.state === "left";
        const isBack = after.state === "alive" || after.state === "suspect";
        if (wasGone && isBack) expect(compareLives(after.life, before.life)).toBeGreaterThan(0);
      }
    }),
  );
});

test("at most one suspicion runs for a member, and exactly one while it is suspect", () => {
  fc.assert(
    fc.property(fc.array(rumor, { maxLength: 30 }), (rumors) => {
      const rig = new SwimRig("abcd", QUIET).started();
      const quiet = rig.timers.size;
      for (const one of rumors) {
        rig.hear("b", [one]);
        expect(rig.timers.size - quiet).toBe(rig.state("a") === "suspect" ? 1 : 0);
      }
    }),
  );
});

test("the hash of a table is a function of what is in it", () => {
  fc.assert(
    fc.property(fc.array(rumor, { maxLength: 12 }), (rumors) => {
      const rig = new SwimRig("abcd", QUIET).started();
      for (const one of rumors) rig.hear("b", [one]);
      const copy = new SwimRig("", QUIET).started();
      const table = rig.core.table(rig.nowMs).slice(1);
      copy.act((core) => core.assume(table, 0));
      expect(copy.core.membersHash).toBe(rig.core.membersHash);
    }),
  );
});

test("nothing that is said makes a member live again that said farewell, short of a new generation", () => {
  fc.assert(
    fc.property(rumor, (one) => {
      const decision = decisionOn({ state: "left", life: life(2, LAST_INCARNATION) }, one.kind, one.life);
      expect(decision === "adopt").toBe(one.life.generation > 2 && one.kind !== "left");
    }),
  );
});
