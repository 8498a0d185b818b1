/** A compaction that goes on by itself rests by the share of background work, and not when someone waits for what it frees. */
import { describe, expect, test } from "vitest";
import { SimDisk } from "../../sim/sim-disk.ts";
import { openTiny } from "../../support/log-store.ts";
import { seededDraws } from "../../support/seeded.ts";
import { HandClock, nthAddress, settle, writeOf } from "../../support/storage-fixtures.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
/** Its time passes by work as well, which fires no timer. */
class BusyClock extends HandClock {
  workedMs = 0;

  override monotonicMs(): number {
    return super.monotonicMs() + this.workedMs;
  }
}

/** A store of 12 MiB of which a quarter has just died, 0.05 above the bound, and that compacts by itself; a write takes so long. */
async function rig(share: number, writeMs = 1, compactionInputs = 8) {
  const disk = new SimDisk({ random: seededDraws(1), capacityBytes: 64 * MIB });
  const clock = new BusyClock();
  const events: string[] = [];
  const limits = {
    segmentBytes: 4 * MIB,
    garbageSegments: 0,
    garbageRatio: 0.2,
    compactionSliceRecords: 4,
    compactionInputs,
  };
  const engine = await openTiny(disk, { ...limits, clock, events, isCompactionAutomatic: true, manifestBytes: MIB });
  engine.paceBackgroundBy(() => share);
  for (let n = 0; n < 192; n += 1) await engine.put(writeOf(nthAddress(n), n, 64 * KIB));
  await settle(50);
  disk.beforeOperation = (_n, name) => {
    if (name === "write") clock.workedMs += writeMs;
    return undefined;
  };
  await engine.dropPartition(0);
  await settle(50);
  const isDone = (): boolean => events.includes("storage.compacted");
  /** the time that it rested until it was done */
  const rested = async (): Promise<number> => {
    for (let ms = 0; ms <= 20_000; ms += 1) {
      if (isDone()) return ms;
      clock.advance(1);
      await settle(5);
    }
    throw new Error("it never ends");
  };
  const roundCount = (): number => events.filter((event) => event === "storage.compacted").length;
  return { disk, clock, engine, isDone, roundCount, rested };
}

describe("a compaction", () => {
  test("rests the longer the smaller the share of background work is, and ends whatever it is", async () => {
    const rests: number[] = [];
    for (const share of [1, 1 / 8, 0]) rests.push(await (await rig(share)).rested());
    const [full = 0, some = 0, none = 0] = rests;
    expect(full).toBeGreaterThan(0);
    expect(some).toBeGreaterThan(2 * full);
    expect(none).toBeGreaterThan(some);
  });

  test("rests no longer when it is asked for", async () => {
    const { engine, isDone } = await rig(0);
    expect(isDone()).toBe(false);
    await engine.compact(0.1);
    expect(isDone()).toBe(true);
    await engine.close();
  });

  test.each([
    ["ok", 0.5, false],
    ["no_puts", 0.92, true],
  ])("rests no longer once puts are refused for want of space: %s", async (level, fullness, isOver) => {
    const { disk, engine, clock, isDone } = await rig(0, 300);
    const { freeBytes, totalBytes } = await disk.freeBytes();
    disk.place("foreign", Buffer.alloc(Math.floor(freeBytes - totalBytes * (1 - fullness))));
    // the disk is looked at
    clock.advance(2_000);
    await settle(100);
    expect([engine.disk.level, isDone()]).toEqual([level, isOver]);
    await engine.close();
  });

  test("rests no longer when a put has found no space", async () => {
    const { disk, engine, isDone } = await rig(0, 300);
    disk.inject({ on: ["write"], code: "ENOSPC", times: 1 });
    await expect(engine.put(writeOf(nthAddress(1), 1_000, KIB))).rejects.toMatchObject({ code: "DISK_FULL" });
    await settle(100);
    expect(isDone()).toBe(true);
    await engine.close();
  });

  test("rests again once it has helped", async () => {
    const { disk, engine, roundCount } = await rig(0, 300, 1);
    disk.inject({ on: ["write"], code: "ENOSPC", times: 1 });
    await expect(engine.put(writeOf(nthAddress(1), 1_000, KIB))).rejects.toMatchObject({ code: "DISK_FULL" });
    await settle(100);
    // of three: the one under way, and the one that is picked with so little space
    expect(roundCount()).toBe(2);
    await engine.close();
  });

  test("is given up by a store that closes while it rests", async () => {
    const { engine, isDone, clock } = await rig(0);
    await engine.close();
    expect([isDone(), clock.timerCount]).toEqual([false, 0]);
  });
});
