/** With whom a holder that is behind catches up. */
import { describe, expect, test } from "vitest";
import { rulesOf } from "../../../services/repair/collect-rules-core.ts";
import { sourceOf, type ToldHolder } from "../../../services/repair/collect-sources-core.ts";
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
    const source = sourceOf(own, holders);
    expect(typeof source === "string" ? source : source.slot).toBe(expected);
  });

  test("goes up to the higher of what it heard and what that one has reaped", () => {
    expect(sourceOf(own, [told(0, { floor: 300, reaped: at(200) }), told(2)])).toMatchObject({
      slot: 0,
      mark: at(200),
    });
    expect(sourceOf(own, [told(0, { floor: 300, reaped: at(50) }), told(2)])).toMatchObject({ slot: 0, mark: at(100) });
  });
});
