/** The state table of gossip-ring notes §A.4, row by row: what is believed, what is said (earlier, same, later life), what to do. */
import { describe, expect, test } from "vitest";
import type { MemberState, Rumor } from "../../../../gossip/core/messages.ts";
import { type Decision, decisionOn } from "../../../../gossip/core/rumor-rules.ts";

const LIFE = { generation: 2, incarnation: 5 };
const EARLIER = { generation: 2, incarnation: 4 };
const LATER = { generation: 2, incarnation: 6 };
const REBORN = { generation: 3, incarnation: 1 };
const BEFORE = { generation: 1, incarnation: 9 };

type Row = readonly [said: Rumor["kind"], before: Decision, same: Decision, later: Decision, reborn: Decision];

const TABLE: Readonly<Record<MemberState, readonly Row[]>> = {
  alive: [
    ["alive", "drop", "drop", "adopt", "adopt"],
    ["suspect", "answer", "adopt", "adopt", "adopt"],
    ["dead", "drop", "adopt", "adopt", "adopt"],
    ["left", "drop", "adopt", "adopt", "adopt"],
  ],
  suspect: [
    ["alive", "drop", "drop", "adopt", "adopt"],
    ["suspect", "drop", "confirm", "adopt", "adopt"],
    ["dead", "drop", "adopt", "adopt", "adopt"],
    ["left", "drop", "adopt", "adopt", "adopt"],
  ],
  dead: [
    ["alive", "accuse", "accuse", "adopt", "adopt"],
    ["suspect", "drop", "drop", "raise", "raise"],
    ["dead", "drop", "drop", "raise-and-pass-on", "raise-and-pass-on"],
    ["left", "drop", "adopt", "adopt", "adopt"],
  ],
  left: [
    ["alive", "accuse", "accuse", "accuse", "adopt"],
    ["suspect", "drop", "drop", "raise", "adopt"],
    ["dead", "drop", "drop", "raise", "adopt"],
    ["left", "drop", "drop", "raise", "raise"],
  ],
};

describe.each(Object.entries(TABLE))("of a member taken for %s", (state, rows) => {
  const local = { state: state as MemberState, life: LIFE };

  test.each(rows)(
    "%s: earlier %s, same %s, later %s, of a later generation %s",
    (said, before, same, later, reborn) => {
      expect(decisionOn(local, said, EARLIER)).toBe(before);
      expect(decisionOn(local, said, BEFORE)).toBe(before);
      expect(decisionOn(local, said, LIFE)).toBe(same);
      expect(decisionOn(local, said, LATER)).toBe(later);
      expect(decisionOn(local, said, REBORN)).toBe(reborn);
    },
  );
});

test("of a member not known, a suspicion makes us ask and anything else is stored", () => {
  expect(decisionOn(undefined, "suspect", LIFE)).toBe("ask");
  for (const said of ["alive", "dead", "left"] as const) expect(decisionOn(undefined, said, LIFE)).toBe("insert");
});
