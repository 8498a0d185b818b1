/** Quorum arithmetic: levels, defaults, distinct slots. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { BucketSettings } from "../../../services/base/bucket-settings.ts";
import type { Knobs } from "../../../services/coordinator/contract.ts";
import {
  levelOf,
  quorumState,
  readNeed,
  slotBit,
  slotCount,
  writeNeed,
} from "../../../services/coordinator/quorum-core.ts";

const SETTINGS: BucketSettings = { n: 3, r: 2, w: 2, conflicts: "siblings", blindWrites: "overwrite" };
const knobs = (changed: Partial<Knobs>): Knobs => ({ sloppy: true, timeoutMs: 1, explain: false, ...changed });

describe("levels", () => {
  test.each([
    { n: 1, one: 1, quorum: 1, all: 1 },
    { n: 2, one: 1, quorum: 2, all: 2 },
    { n: 3, one: 1, quorum: 2, all: 3 },
    { n: 5, one: 1, quorum: 3, all: 5 },
  ])("of $n replicas: one is $one, quorum $quorum, all $all", ({ n, one, quorum, all }) => {
    expect([levelOf("one", n), levelOf("quorum", n), levelOf("all", n)]).toEqual([one, quorum, all]);
  });

  test("two quorums of any n share a slot", () => {
    for (let n = 1; n <= 7; n += 1) expect(2 * levelOf("quorum", n)).toBeGreaterThan(n);
  });
});

describe("what a request needs", () => {
  test.each([
    { asked: {}, read: { total: 2, owners: 0 } },
    { asked: { r: 1 }, read: { total: 1, owners: 0 } },
    { asked: { r: "all" as const }, read: { total: 3, owners: 0 } },
    { asked: { pr: "quorum" as const }, read: { total: 2, owners: 2 } },
    { asked: { r: 1, pr: 3 }, read: { total: 3, owners: 3 } },
  ])("of $asked is $read", ({ asked, read }) => {
    expect(readNeed(knobs(asked), SETTINGS)).toEqual({ kind: "need", ...read });
  });

  test.each([
    { asked: { w: 4 }, problem: { kind: "exceeds", parameter: "w", value: 4 } },
    { asked: { pw: 4 }, problem: { kind: "exceeds", parameter: "pw", value: 4 } },
    { asked: { w: 0 }, problem: { kind: "invalid", parameter: "w", value: 0 } },
    { asked: { w: 1.5 }, problem: { kind: "invalid", parameter: "w", value: 1.5 } },
    { asked: { pw: -1 }, problem: { kind: "invalid", parameter: "pw", value: -1 } },
  ])("of $asked names the parameter", ({ asked, problem }) => {
    expect(writeNeed(knobs(asked), SETTINGS)).toEqual(problem);
  });

  test("of a bucket whose default exceeds its n is n: a default never refuses a request", () => {
    expect(writeNeed(knobs({}), { ...SETTINGS, n: 1 })).toEqual({ kind: "need", total: 1, owners: 0 });
  });
});

describe("slots", () => {
  test("outside the bucket's n have no bit", () => {
    expect([slotBit(-1, 3), slotBit(0, 3), slotBit(2, 3), slotBit(3, 3)]).toEqual([0, 1, 4, 0]);
  });

  test("are counted once, however often they are claimed", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 6 })), (slots) => {
        let mask = 0;
        for (const slot of slots) mask |= slotBit(slot, 7);
        expect(slotCount(mask)).toBe(new Set(slots).size);
      }),
    );
  });

  test.each([
    { have: 0b011, open: 0, state: "reached" },
    { have: 0b001, open: 0b001, state: "impossible" },
    { have: 0b001, open: 0b100, state: "pending" },
    { have: 0, open: 0b100, state: "impossible" },
  ])("have $have and open $open towards two are $state", ({ have, open, state }) => {
    expect(quorumState({ have, open }, 2)).toBe(state);
  });
});
