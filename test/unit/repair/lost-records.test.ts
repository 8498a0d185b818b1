/** When a record that cannot be read counts as lost, and what is told of it. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ANTI_ENTROPY_UNREADABLE_ROUNDS, MAX_LOST_HASHES_TOLD } from "../../../services/base/limits.ts";
import { LostRecords } from "../../../services/repair/lost-records.ts";
import { EventLog } from "../../support/replica-fixture.ts";

interface Bench {
  readonly lost: LostRecords;
  readonly log: EventLog;
  unreadable: readonly bigint[];
}

function bench(): Bench {
  const log = new EventLog();
  const here: Bench = { log, unreadable: [], lost: new LostRecords(log, () => here.unreadable) };
  return here;
}

describe("records that cannot be read", () => {
  test("are lost after so many rounds in which nobody brought them, and are told of once, by hash", () => {
    const here = bench();
    here.unreadable = [255n, 16n];
    for (let round = 1; round < ANTI_ENTROPY_UNREADABLE_ROUNDS; round += 1) {
      expect([here.lost.judge(3), here.lost.doubtfulCount, here.lost.count]).toEqual(["again", 2, 0]);
    }
    expect([here.lost.judge(3), here.lost.doubtfulCount, here.lost.count]).toEqual(["lost", 0, 2]);
    expect(here.lost.judge(3)).toBe("lost");
    expect(here.log.facts).toEqual([
      {
        event: "anti-entropy.records-lost",
        partition: 3,
        count: 2,
        hashes: ["00000000000000ff", "0000000000000010"],
      },
    ]);
  });

  test("fill no log, however many they are", () => {
    const here = bench();
    here.unreadable = Array.from({ length: 1_000 }, (_, at) => BigInt(at + 1));
    for (let round = 0; round < ANTI_ENTROPY_UNREADABLE_ROUNDS; round += 1) here.lost.judge(3);
    expect(here.log.facts).toMatchObject([{ count: 1_000 }]);
    expect(JSON.stringify(here.log.facts).length).toBeLessThan(100 + 20 * MAX_LOST_HASHES_TOLD);
  });

  test("each have all their rounds, whenever they were found; who was brought is out of it", () => {
    const reached = new Map<string, number>();
    fc.assert(
      fc.property(fc.array(fc.uniqueArray(fc.bigInt(1n, 6n)), { minLength: 1, maxLength: 20 }), (rounds) => {
        const here = bench();
        /** rounds in a row that each hash has been unreadable for */
        const streaks = new Map<bigint, number>();
        const told = new Set<bigint>();
        for (const unreadable of rounds) {
          here.unreadable = unreadable;
          const verdict = here.lost.judge(3);
          reached.set(verdict, (reached.get(verdict) ?? 0) + 1);
          for (const hash of [...streaks.keys()]) if (!unreadable.includes(hash)) streaks.delete(hash);
          for (const hash of [...told]) if (!unreadable.includes(hash)) told.delete(hash);
          for (const hash of unreadable) streaks.set(hash, (streaks.get(hash) ?? 0) + 1);
          if (verdict === "lost") for (const hash of unreadable) told.add(hash);
          // never too early, and never whole with something that is neither readable nor told of
          for (const hash of told) expect(streaks.get(hash)).toBeGreaterThanOrEqual(ANTI_ENTROPY_UNREADABLE_ROUNDS);
          expect(here.lost.count).toBe(told.size);
          if (verdict === "whole") expect(unreadable).toEqual([]);
          if (verdict === "again") expect(here.lost.doubtfulCount).toBe(unreadable.length - told.size);
        }
      }),
    );
    // each verdict was reached: a law of none proves nothing
    expect([...reached.keys()].toSorted()).toEqual(["again", "lost", "whole"]);
  });
});
