/** What handoff notes beside its hints, with a bit turned on the disk: the node starts, and takes the worst for true. */
import { describe, expect, test } from "vitest";
import type { Minted } from "../../../services/replica/contract.ts";
import { HandoffRig, RIG_PARTITIONS, type RigNode } from "../../support/handoff-rig.ts";

const WHOLE_WAY_MS = 120_000;
const HOUR_MS = 3_600_000;
const COUNT = 4;
/** a partition that the keeper holds no slot of: after a crash it flags those that it holds */
const OTHERS = 6;
const UNREADABLE = /^hints\..*-unreadable$/;
/** in the magic, the length and the checksum, and in what is said */
const PLACES = [0, 12, 16, 22];

interface Scene {
  readonly rig: HandoffRig;
  readonly away: RigNode;
  readonly keeper: RigNode;
  readonly minted: readonly Minted[];
}

/** Hints for slot 1, whose holder is away, on the simulated disk of the first fallback. */
async function scene(): Promise<Scene> {
  const rig = await HandoffRig.started({ isOnDisk: true, windowMs: 100 * HOUR_MS });
  const first = rig.nth(7, 0);
  const away = rig.holderOf(first, 1);
  const [keeper] = rig.fallbacksOf(first);
  if (keeper === undefined) throw new Error("no fallback");
  rig.crash(away);
  const minted: Minted[] = [];
  for (let n = 0; n < COUNT; n += 1) {
    const one = await rig.during(rig.write(rig.nth(7, n), 0, "x".repeat(400)));
    minted.push(one);
    const kept = await rig.during(rig.life(keeper).handoff.fallback.store(rig.nth(7, n), 1, one));
    expect(kept.kind).toBe("stored");
  }
  return { rig, away, keeper, minted };
}

/** A bit of the keeper's document turns while it is down; then it starts. What it says of it. */
async function startRotten({ rig, keeper }: Scene, name: string, offset: number): Promise<readonly string[]> {
  keeper.disks.sim.flipBit(`hints/documents/${name}`, { offset, bit: 5 });
  const before = told(keeper).length;
  await rig.start(keeper);
  await rig.pass(10);
  return told(keeper).slice(before);
}

function told(node: RigNode): readonly string[] {
  return node.log.events.filter((event) => UNREADABLE.test(event));
}

function ageMs({ rig, keeper }: Scene): number {
  return rig.life(keeper).handoff.view().targets[0]?.oldestAgeMs ?? Number.NaN;
}

async function areDelivered({ rig, away, minted }: Scene): Promise<boolean> {
  await rig.start(away);
  if (!(await rig.until(() => rig.keptCount() === 0, WHOLE_WAY_MS))) return false;
  for (const [n, { object }] of minted.entries()) if (!(await rig.covers(rig.nth(7, n), 1, object))) return false;
  return true;
}

describe("a node that cannot read", () => {
  test.each(PLACES)(
    "its flags has all partitions flagged, over restarts, until they are compared (byte %i)",
    async (at) => {
      const here = await scene();
      const { rig, keeper } = here;
      await rig.during(rig.life(keeper).handoff.flags.flag([OTHERS]));
      rig.crash(keeper);
      expect(await startRotten(here, "hint-flags", at)).toEqual(["hints.flags-unreadable"]);
      expect(rig.life(keeper).handoff.flags.count).toBe(RIG_PARTITIONS);
      rig.crash(keeper);
      await rig.start(keeper);
      const { flags } = rig.life(keeper).handoff;
      expect(flags.count).toBe(RIG_PARTITIONS);
      await rig.during(flags.clearFlag(OTHERS, flags.flagCountOf(OTHERS)));
      rig.crash(keeper);
      const before = told(keeper).length;
      await rig.start(keeper);
      const after = rig.life(keeper).handoff.flags;
      expect([after.count, after.isFlagged(OTHERS), told(keeper).length]).toEqual([RIG_PARTITIONS - 1, false, before]);
      expect(await areDelivered(here)).toBe(true);
    },
  );

  test.each(PLACES)(
    "its ages has hints as old as its start, gives none up for it, and notes them anew (byte %i)",
    async (at) => {
      const here = await scene();
      const { rig, keeper } = here;
      await rig.pass(2 * HOUR_MS);
      expect(ageMs(here)).toBeGreaterThan(HOUR_MS);
      rig.crash(keeper);
      expect(await startRotten(here, "hint-ages", at)).toEqual(["hints.ages-unreadable"]);
      expect(rig.keptCount()).toBe(COUNT);
      expect(ageMs(here)).toBeLessThan(1_000);
      await rig.pass(HOUR_MS);
      rig.crash(keeper);
      const before = told(keeper).length;
      await rig.start(keeper);
      await rig.pass(10);
      expect([ageMs(here) > HOUR_MS / 2, ageMs(here) < 2 * HOUR_MS, told(keeper).length]).toEqual([true, true, before]);
      expect(await areDelivered(here)).toBe(true);
    },
  );

  test.each(PLACES)(
    "for which slots its hints are counts them, offers them to all, and writes it anew (byte %i)",
    async (at) => {
      const here = await scene();
      const { rig, keeper } = here;
      await rig.during(rig.stop(keeper));
      expect(await startRotten(here, "hint-tallies", at)).toEqual(["hints.tallies-unreadable"]);
      expect(rig.life(keeper).hints.recovery.mode).toBe("clean");
      expect(rig.life(keeper).handoff.hasHintsOf(8)).toBe(false);
      expect(rig.life(keeper).handoff.view()).toMatchObject({ count: COUNT });
      await rig.during(rig.stop(keeper));
      const before = told(keeper).length;
      await rig.start(keeper);
      await rig.pass(10);
      expect(told(keeper).length).toBe(before);
      expect(await areDelivered(here)).toBe(true);
    },
  );
});
