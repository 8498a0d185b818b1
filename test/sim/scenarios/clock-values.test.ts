/**
 * Named scenario of clocks, the other half: what values with an end and keys where the last write wins promise under clocks that
 * are minutes and hours apart. Number and name: research notes on reliability, §6.4.
 */
import { describe, expect, test } from "vitest";
import type { AntiEntropyStatus } from "../../../services/repair/anti-entropy.ts";
import { play, type Stage } from "../scenario-stage.ts";
import { keepBusy } from "./busy.ts";
import { DatedValues } from "./dated-values.ts";
import { LwwKeys } from "./lww-keys.ts";
import { HOUR_MS, MOST_MS, ScrambledClocks, UNSAID_MS } from "./scrambled-clocks.ts";

const SEEDS = ["a", "b"];
const NODES = [0, 1, 2];
const KEYS = 6;
const LWW_KEYS = 4;
const HEALED_WITHIN_MS = 1_800_000;
/** How far clocks are ahead while values end. */
const APART_MS = [MOST_MS, -MOST_MS, 0];
/** Values of that time, and their lives: none ends before all nodes have been made equal. */
const LATE_COUNT = 12;
const LATE_TTL = { least: 620, most: 780 };
const LATE_MS = LATE_TTL.most * 1_000 + 2 * MOST_MS;
const LOOK_MS = 100_000;
/** Nothing is collected before the last of them has ended everywhere. */
const TOMBSTONE_AGE_MS = HOUR_MS / 2;
const COLLECTED_WITHIN_MS = 3 * HOUR_MS;

/** All clients at work while one clock after the other is moved, and some nodes are killed. */
async function scramble(on: Stage, clocks: ScrambledClocks, dated: DatedValues, newest: LwwKeys): Promise<void> {
  let isOver = false;
  const business = { keyCount: KEYS, thinkMs: 100, isOver: () => isOver };
  const writeDated = async (): Promise<void> => {
    while (!isOver) {
      await on.sleep(on.random.float() * 60);
      const node = on.random.below(3);
      // from those that end at once by every clock to those that outlive the run by the slowest
      if (on.random.chance(0.3)) await dated.write(node, Math.ceil(on.random.float() ** 3 * 600));
      else await dated.readAny(node);
    }
  };
  const clients = [
    ...Array.from({ length: 3 }, () => keepBusy(on, on.client(), business)),
    ...Array.from({ length: 3 }, () => newest.keepBusy(() => isOver)),
    ...Array.from({ length: 2 }, writeDated),
  ];
  for (let jump = 0; jump < 50; jump += 1) {
    const node = on.random.below(3);
    if (jump % 10 === 4) await clocks.strobe(node);
    else clocks.set(node, jump % 20 === 19 ? -HOUR_MS : (on.random.float() * 2 - 1) * MOST_MS);
    if (on.random.chance(0.1)) clocks.restart(node);
    await on.sleep(on.random.float() * 300);
  }
  isOver = true;
  await Promise.all(clients);
}

/** What anti-entropy has moved so far, at each node. */
function movedAt(on: Stage): readonly unknown[] {
  const movedOf = ({ exchanges, pulledKeys, pushedKeys, sentBytes }: AntiEntropyStatus): unknown => {
    return { exchanges, pulledKeys, pushedKeys, sentBytes };
  };
  return NODES.map((node) => movedOf(on.node(node).healing.status()));
}

/** Roots that all nodes together have asked about. */
function comparedAt(on: Stage): number {
  return NODES.reduce((sum, node) => sum + on.node(node).healing.status().comparedRoots, 0);
}

describe("scenario 15: clock-scramble", () => {
  test.each(SEEDS)(
    "siblings do not notice, the last write is the same everywhere, values end by the clocks' error and cost no repair (seed %s)",
    async (seed) => {
      const config = { tombstoneAgeMs: TOMBSTONE_AGE_MS };
      const { stage, told } = await play({ seed: `15${seed} values`, keyCount: KEYS, config }, async (on) => {
        on.isStrict = true;
        const clocks = new ScrambledClocks(on);
        const dated = new DatedValues(on, clocks);
        const newest = new LwwKeys(on, LWW_KEYS);
        await newest.makeBucket();
        await scramble(on, clocks, dated, newest);
        await on.allServe();

        for (const node of NODES) clocks.set(node, APART_MS[node] ?? 0);
        for (let at = 0; at < LATE_COUNT; at += 1) {
          await dated.write(at % 3, LATE_TTL.least + on.random.below(LATE_TTL.most - LATE_TTL.least));
        }
        const endsAt = on.nowMs + LATE_MS;
        // nobody reads: what differs is for hints and anti-entropy to mend
        const areEqual = await on.until(() => on.areRootsEqual(), HEALED_WITHIN_MS);
        const unequal = [...(await newest.judgeHeld())];
        const [equal, moved, compared] = [{ ...dated.counts }, movedAt(on), comparedAt(on)];
        for (let look = 0; on.nowMs < endsAt; look += 1) {
          await dated.readMany(LATE_COUNT);
          // what had ended there is shown there once more, and nowhere else
          if (look === 9) clocks.set(2, -HOUR_MS);
          if (look === 11) clocks.set(2, 0);
          await on.sleep(LOOK_MS);
        }
        const [ended, movedLater, heldCount] = [{ ...dated.counts }, movedAt(on), await dated.heldCount()];
        const comparedCount = comparedAt(on) - compared;

        // Right clocks again: what has ended goes, and does not come back on the way.
        for (const node of NODES) clocks.set(node, 0);
        const waitsUntil = on.nowMs + COLLECTED_WITHIN_MS;
        while ((await dated.heldCount()) > 0 && on.nowMs < waitsUntil) {
          await dated.readMany(LATE_COUNT);
          await on.sleep(LOOK_MS);
        }
        await on.until(() => on.areRootsEqual(), HEALED_WITHIN_MS);
        await dated.readMany(LATE_COUNT);
        const left = { heldCount: await dated.heldCount(), shownCount: dated.counts.shown - ended.shown };
        unequal.push(...(await newest.judgeHeld()));
        await on.finish();
        return { areEqual, unequal, equal, ended, moved, movedLater, comparedCount, heldCount, left, dated, newest };
      });
      const { dated, newest, equal, ended } = told;
      expect(stage.violations).toEqual([]);
      expect(newest.judge.violations).toEqual([]);
      expect(dated.violations).toEqual([]);
      expect(told).toMatchObject({ areEqual: true, unequal: [], left: { heldCount: 0, shownCount: 0 } });
      // values end here and not yet there, and neither reads nor comparisons take that for something to mend
      expect([told.movedLater, ended.repaired]).toEqual([told.moved, equal.repaired]);
      expect(told.comparedCount).toBeGreaterThan(0);
      // by the true time: as far as clocks were behind, and ahead
      expect(ended.lateMs).toBeLessThan(HOUR_MS + UNSAID_MS);
      expect(ended.earlyMs).toBeLessThan(MOST_MS + UNSAID_MS);
      expect(Math.min(ended.lateMs, ended.earlyMs)).toBeGreaterThan(MOST_MS / 2);
      // Where disks are slow, two or three nodes are down at a time for a good part of the ten seconds.
      expect(stage.counts.applied).toBeGreaterThan(80);
      expect(newest.judge.appliedCount).toBeGreaterThan(80);
      expect(Math.min(equal.shown, equal.gone)).toBeGreaterThan(20);
      expect(told.heldCount).toBeGreaterThan(3 * LATE_COUNT);
    },
  );
});
