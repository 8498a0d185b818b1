/** The marks of collected partitions: what raises them, what they mean, and their bytes. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CollectFloors } from "../../../services/repair/collect-floors-core.ts";
import { HolderCore } from "../../../services/repair/collect-holder-core.ts";
import { encodeFloors, restoreFloors } from "../../../services/repair/collect-marks-codec.ts";

const at = (floor: number) => ({ floor, expiryMs: floor / 10 });
const HEAD = {
  promised: 77,
  rules: { standard: 3, named: [["carts", 2]] as const, raised: [["carts", 1]] as const },
};

describe("marks", () => {
  test("only grow: a floor is noted once, and above the last one", () => {
    const floors = new CollectFloors(4);
    expect([floors.note(1, at(100)), floors.note(1, at(100)), floors.note(1, at(50)), floors.note(1, at(200))]).toEqual(
      [true, false, false, true],
    );
    expect(floors.marksOf(1)).toEqual({ noted: at(200), reaped: at(0), heard: at(0) });
  });

  test("let nothing be reaped that was not noted here", () => {
    const floors = new CollectFloors(4);
    floors.note(1, at(100));
    expect([floors.reap(1, at(150)), floors.reap(1, at(100)), floors.lineOf(1)]).toEqual([false, true, 100]);
    expect(floors.lineOf(2)).toBe(0);
  });

  test("of a peer are a proof to finish for who took part in it, and to catch up with for who did not", () => {
    const floors = new CollectFloors(4);
    floors.note(1, at(100));
    expect([floors.hear(1, at(0)), floors.hear(1, at(100)), floors.hear(1, at(150))]).toEqual([
      "even",
      "reap",
      "behind",
    ]);
    expect([floors.isBehind(1), floors.lineOf(1)]).toEqual([true, 150]);
    // what it would note now would pass for something that it is not
    expect(floors.note(1, at(200))).toBe(false);
    floors.catchUp(1, at(150));
    expect([floors.isBehind(1), floors.marksOf(1), floors.hear(1, at(150))]).toEqual([
      false,
      { noted: at(150), reaped: at(150), heard: at(150) },
      "even",
    ]);
  });

  test("are behind no more when nobody has that proof any more", () => {
    const floors = new CollectFloors(4);
    floors.note(1, at(100));
    floors.reap(1, at(100));
    floors.hear(1, at(150));
    floors.unhear(1);
    expect([floors.isBehind(1), floors.lineOf(1)]).toEqual([false, 100]);
  });

  test("that cannot be read are in doubt, durably, until what is held was compared, or there was no proof", () => {
    const lost = (): CollectFloors => {
      const floors = new CollectFloors(4);
      floors.note(1, at(100));
      floors.lose(1);
      const again = new CollectFloors(4);
      restoreFloors(again, encodeFloors(floors, HEAD));
      return again;
    };
    const floors = lost();
    expect([floors.marked(), floors.isBehind(1), floors.isHidden(1), floors.lineOf(1)]).toEqual([[1], true, true, 0]);
    expect([floors.note(1, at(200)), floors.reap(1, at(100)), floors.hear(1, at(150))]).toEqual([
      false,
      false,
      "behind",
    ]);
    floors.catchUp(1, at(150));
    expect([floors.isBehind(1), floors.marksOf(1)]).toEqual([
      false,
      { noted: at(150), reaped: at(150), heard: at(150) },
    ]);
    const alone = lost();
    alone.unhear(1);
    expect([alone.marked(), alone.isBehind(1)]).toEqual([[], false]);
    const compared = lost();
    compared.catchUp(1, at(0));
    expect([compared.marked(), compared.isBehind(1)]).toEqual([[], false]);
  });

  test("go with the slot", () => {
    const core = new HolderCore(new CollectFloors(4));
    core.wasEqual(1, 100);
    core.note(1, at(100), { slot: 2, isSuspect: false, isMoving: false });
    expect([core.slotChanged(1), core.slotChanged(2)]).toEqual([true, false]);
    expect([core.floors.marked(), core.floors.lineOf(1)]).toEqual([[], 0]);
  });

  test("read back as written, with the rules that they were noted under", () => {
    const marks = fc.uniqueArray(
      fc.record({ partition: fc.nat(63), floor: fc.integer({ min: 1, max: 2 ** 52 }), isReaped: fc.boolean() }),
      { selector: ({ partition }) => partition },
    );
    fc.assert(
      fc.property(marks, (all) => {
        const floors = new CollectFloors(64);
        for (const { partition, floor, isReaped } of all) {
          floors.note(partition, { floor, expiryMs: floor % 1_000 });
          if (isReaped) floors.reap(partition, { floor, expiryMs: floor % 1_000 });
        }
        const again = new CollectFloors(64);
        expect(restoreFloors(again, encodeFloors(floors, HEAD))).toEqual(HEAD);
        expect(again).toEqual(floors);
      }),
    );
  });

  test("that are damaged are none, and never throw", () => {
    const floors = new CollectFloors(8);
    floors.note(3, at(100));
    const bytes = encodeFloors(floors, HEAD);
    for (let byte = 0; byte < bytes.length; byte += 1) {
      const damaged = Buffer.from(bytes);
      damaged[byte] = (damaged[byte] ?? 0) ^ 0x21;
      expect(restoreFloors(new CollectFloors(8), damaged)).toBeUndefined();
      expect(restoreFloors(new CollectFloors(8), bytes.subarray(0, byte))).toBeUndefined();
    }
    const other = new CollectFloors(2);
    expect([restoreFloors(other, bytes), other.marked()]).toEqual([undefined, []]);
  });
});

describe("a holder", () => {
  const here = { slot: 2, isSuspect: false, isMoving: false };
  const look = { partition: 1, slot: 2, floor: 100 };
  const asked = { mark: at(100), members: "abc", rules: 7n };
  const facts = { members: "abc", rules: 7n, wallMicros: 1_000_000 };

  test("notes only what this life looked at in this tenure of the slot", () => {
    const core = new HolderCore(new CollectFloors(4));
    expect(core.note(1, at(100), here)).toBe(false);
    core.wasEqual(1, 100);
    expect(core.note(1, at(101), here)).toBe(false);
    core.slotChanged(1);
    expect(core.note(1, at(100), here)).toBe(false);
    core.wasEqual(1, 100);
    expect(core.note(1, at(100), { ...here, isSuspect: true })).toBe(false);
    expect(core.note(1, at(100), here)).toBe(true);
  });

  test.each([
    ["another slot", { ...here, slot: 1 }, "not_held"],
    ["no slot", { ...here, slot: -1 }, "not_held"],
    ["a suspect copy", { ...here, isSuspect: true }, "suspect"],
    ["a slot on the move", { ...here, isMoving: true }, "moving"],
  ] as const)("with %s has no word on the roots, and forgets what it looked at before", (_what, now, verdict) => {
    const core = new HolderCore(new CollectFloors(4));
    core.wasEqual(1, 100);
    expect(core.obstacleTo(look, now)).toBe(verdict);
    expect(core.note(1, at(100), here)).toBe(false);
  });

  test("says when a later floor was noted, and when it is behind", () => {
    const core = new HolderCore(new CollectFloors(4));
    expect(core.obstacleTo(look, here)).toBeUndefined();
    core.floors.note(1, at(100));
    expect(core.obstacleTo(look, here)).toBe("later");
    core.floors.hear(1, at(300));
    expect(core.obstacleTo(look, here)).toBe("behind");
  });

  test("refuses who knows other members, a time ahead of its own, and what it has not promised in this life", () => {
    const core = new HolderCore(new CollectFloors(4));
    const ahead = { ...asked, mark: at(2_000_000) };
    expect(core.refusalOf("promise", asked, facts)).toBeUndefined();
    expect(core.refusalOf("promise", ahead, facts)).toBe("has a clock that is behind");
    expect(core.refusalOf("promise", { ...asked, members: "ab" }, facts)).toBe("knows other members");
    expect(core.refusalOf("promise", { ...asked, rules: 8n }, facts)).toBe("knows other bucket settings");
    expect(core.refusalOf("note", { ...asked, rules: 8n }, facts)).toBe("knows other bucket settings");
    expect(core.refusalOf("promise", asked, { ...facts, members: undefined })).toBe("is no member");
    expect(core.refusalOf("look", asked, facts)).toBe("has started anew");
    core.hasPromised(100);
    expect(core.refusalOf("look", asked, facts)).toBeUndefined();
    // all have noted: that binds whatever has changed since
    expect(core.refusalOf("reap", { ...ahead, members: "" }, facts)).toBeUndefined();
  });
});
