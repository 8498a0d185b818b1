import { describe, expect, it } from "vitest";
import type { BucketSettings } from "../../../services/base/bucket-settings.ts";
import { slotRulesOf } from "../../../services/node/slot-rules.ts";
import { HandClock } from "../../support/replica-fixture.ts";

const DEFAULTS: BucketSettings = { n: 3, r: 2, w: 2, conflicts: "siblings", blindWrites: "overwrite" };

describe("which keys a slot does not hold", () => {
  it("follows from the fewest replicas of any bucket, as they were a second ago at most", () => {
    const clock = new HandClock();
    const made = new Map<string, BucketSettings>();
    const rules = slotRulesOf(
      {
        defaults: () => DEFAULTS,
        settingsOfKey: (key) => made.get(Buffer.from(key).toString("latin1").split("\0")[0] ?? "") ?? DEFAULTS,
        list: () => [...made].map(([name, settings]) => ({ name, settings })),
      },
      clock,
    );
    expect([0, 1, 2].map((slot) => rules.isAnyExempt(slot))).toEqual([false, false, false]);
    const before = rules.fingerprint();
    made.set("two", { ...DEFAULTS, n: 2 });
    clock.pass(1_000);
    expect([0, 1, 2].map((slot) => rules.isAnyExempt(slot))).toEqual([false, false, true]);
    expect(rules.fingerprint()).not.toBe(before);
    const keys = ["two\0a", "three\0a"].map((key) => Buffer.from(key));
    expect(keys.map((key) => rules.isExempt(key, 2))).toEqual([true, false]);
    expect(keys.map((key) => rules.isExempt(key, 1))).toEqual([false, false]);
  });
});
