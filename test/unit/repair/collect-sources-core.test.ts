/** With whom a holder that is behind catches up. */
import { describe, expect, test } from "vitest";
import { rulesOf } from "../../../services/repair/collect-rules-core.ts";
import { sourcesOf, type ToldHolder, verdictOn } from "../../../services/repair/collect-sources-core.ts";
import { nodeIdOf } from "../../support/sim-peers.ts";

const at = (floor: number) => ({ floor, expiryMs: 0 });
const RULES = rulesOf({ standard: 3, named: [["few", 2]] }, 3);

function told(slot: number, what: Partial<ToldHolder> = {}): ToldHolder {
  const node = nodeIdOf(`n${slot}`);
  return { node, slot, isHeard: true, hasSameRules: true, floor: 100, reaped: at(100), ...what };
}

const own = { slot: 1, heard: at(100), rules: RULES };

describe("the holder of slot 1 that is behind, where a bucket has two replicas", () => {
  const cases: readonly (readonly [string, readonly ToldHolder[], number | "wait" | "nobody"])[] = [
    ["takes the one that took part and has all its keys", [told(2), told(0)], 0],
    ["waits for that one while it is silent", [told(2), told(0, { isHeard: false })], "wait"],
    [
      "takes the other one when that one is behind itself, and no better will come",
      [told(2), told(0, { floor: 50 })],
      2,
    ],
    [
      "waits where one who has the proof knows other settings",
      [told(0, { hasSameRules: false }), told(2, { floor: 0 })],
      "wait",
    ],
    ["takes nobody's silence for a word", [told(0, { isHeard: false }), told(2, { floor: 0 })], "wait"],
    [
      "has nobody when all have told and nobody took part",
      [told(0, { floor: 0 }), told(2, { floor: 60, reaped: at(60) })],
      "nobody",
    ],
    [
      "has nobody where there are no marks",
      [told(0, { floor: 0, reaped: undefined }), told(2, { floor: 0, reaped: undefined })],
      "nobody",
    ],
  ];

  test.each(cases)("%s", (_what, holders, expected) => {
    const plan = sourcesOf(own, holders);
    expect(typeof plan === "string" ? plan : plan.bases[0]?.slot).toBe(expected);
  });

  test("goes up to the higher of what it heard and what that one has reaped", () => {
    const baseOf = (holder: ToldHolder): unknown => {
      const plan = sourcesOf(own, [holder, told(2)]);
      return typeof plan === "string" ? plan : plan.bases[0];
    };
    expect(baseOf(told(0, { floor: 300, reaped: at(200) }))).toMatchObject({ slot: 0, mark: at(200) });
    expect(baseOf(told(0, { floor: 300, reaped: at(50) }))).toMatchObject({ slot: 0, mark: at(100) });
  });

  test("goes on with the next that has all its keys, and asks whoever took part for what that one has lost", () => {
    const plan = sourcesOf({ ...own, slot: 2 }, [told(1), told(0), told(3, { floor: 50 })]);
    expect(plan).toMatchObject({ bases: [{ slot: 0 }, { slot: 1 }], able: [{ slot: 0 }, { slot: 1 }] });
    const alone = sourcesOf(own, [told(2), told(0, { floor: 0 })]);
    expect(alone).toMatchObject({ bases: [{ slot: 2, isWhole: false }], isAnyoneSilent: false });
  });

  test.each([
    ["has not told", { isHeard: false }, true],
    ["goes by other settings", { hasSameRules: false }, true],
    ["is behind itself", { floor: 0 }, false],
  ] as const)("knows whether somebody may know more: one that %s", (_what, what, isAnyoneSilent) => {
    expect(sourcesOf({ ...own, slot: 2 }, [told(0), told(1, what)])).toMatchObject({ isAnyoneSilent });
  });
});

describe("hashes on which nobody who answers has a word", () => {
  test.each([
    ["wait for the silent where what is held may have been deleted", [false, true], true, "wait"],
    ["wait for nobody where nothing is held that may have been", [false, false], true, "keep"],
    ["are kept when all have answered", [true], false, "keep"],
    ["are no matter where there are none", [], true, "keep"],
  ] as const)("%s", (_what, unsure, isAnyoneSilent, verdict) => {
    expect(verdictOn(unsure, isAnyoneSilent)).toBe(verdict);
  });
});
