import { describe, expect, test } from "vitest";
import type { ReapEntry } from "../../../storage/engine.ts";
import type { LogEngine } from "../../../storage/index.ts";
import { openTiny, simDisk, TINY_GARBAGE } from "../../support/log-store.ts";
import { digestOfWrite, nthAddress, settle, tombstoneOf, writeOf } from "../../support/storage-fixtures.ts";

/** Entries for the n-th tombstones, by partition. */
function entriesOf(serials: readonly number[], partition: number): ReapEntry[] {
  return serials
    .filter((serial) => serial % 4 === partition)
    .map((serial) => ({ hash: nthAddress(serial).hash, digest: digestOfWrite(1000 + serial) }));
}

async function reapAll(engine: LogEngine, serials: readonly number[]): Promise<void> {
  for (const partition of [0, 1, 2, 3]) await engine.reap(partition, entriesOf(serials, partition));
}

describe("reap marks", () => {
  const serials = Array.from({ length: 60 }, (_, n) => n);

  test("and what they stand for leave the disk and the index altogether, once nothing older is left", async () => {
    const disk = simDisk();
    const events: string[] = [];
    const engine = await openTiny(disk, { events });
    const keeper = nthAddress(999);
    await engine.put(writeOf(keeper, 999, 100));
    for (const serial of serials) await engine.put(writeOf(nthAddress(serial), serial, 120));
    for (const serial of serials) await engine.put(tombstoneOf(nthAddress(serial), 1000 + serial));
    await engine.compact(TINY_GARBAGE);
    const before = engine.stats();
    await reapAll(engine, serials);
    expect(engine.stats()).toMatchObject({ keyCount: 1, tombstoneCount: 0, reapedCount: 60 });
    // the last segment is sealed, or its marks could not be judged
    await engine.put(writeOf(nthAddress(998), 998, 900));
    await settle();
    await engine.compact(TINY_GARBAGE);
    const after = engine.stats();
    expect(after).toMatchObject({ keyCount: 2, tombstoneCount: 0, reapedCount: 0 });
    expect(after.diskBytes).toBeLessThan(4096);
    expect(after.indexBytes).toBeLessThan(before.indexBytes / 4);
    expect(events).toContain("storage.reaped-swept");
    const again = await openTiny(disk.kill());
    expect(again.recovery.recordCount).toBe(2);
    expect(await again.get(keeper)).toMatchObject({ digest: digestOfWrite(999) });
  });

  test("stay as long as an older record lies in a segment that is left alone", async () => {
    const disk = simDisk();
    let engine = await openTiny(disk);
    const victim = nthAddress(0);
    await engine.put(writeOf(victim, 0, 40));
    // so much is alive beside the first record that its segment is not worth compacting
    for (const serial of [4, 8, 12, 16]) await engine.put(writeOf(nthAddress(serial), serial, 130));
    await engine.put(tombstoneOf(victim, 1000));
    for (const serial of [20, 24, 28, 32, 36, 40]) await engine.put(writeOf(nthAddress(serial), serial, 130));
    await engine.reap(0, [{ hash: victim.hash, digest: digestOfWrite(1000) }]);
    for (const serial of [44, 48, 52, 56, 60, 64, 68]) await engine.put(writeOf(nthAddress(serial), serial, 130));
    for (let round = 0; round < 3; round += 1) {
      await engine.compact(0.9);
      expect(engine.stats().reapedCount).toBe(1);
      engine = await openTiny(disk.kill());
      expect(await engine.get(victim)).toBeUndefined();
      expect(engine.digestOf(victim)).toBe(0n);
    }
  });

  test("are swept by the engine itself after reaping, and again only when something has changed", async () => {
    const events: string[] = [];
    const engine = await openTiny(simDisk(), { events, isCompactionAutomatic: true, reapSweepMs: 0 });
    for (const serial of serials) await engine.put(writeOf(nthAddress(serial), serial, 120));
    for (const serial of serials) await engine.put(tombstoneOf(nthAddress(serial), 1000 + serial));
    await reapAll(engine, serials);
    for (let n = 0; n < 12; n += 1) await engine.put(writeOf(nthAddress(2000 + n), n, 300));
    await settle(200);
    expect(engine.stats().reapedCount).toBeLessThan(8);
    const sweeps = events.filter((event) => event === "storage.reaped-swept").length;
    await settle(200);
    expect(events.filter((event) => event === "storage.reaped-swept")).toHaveLength(sweeps);
  });

  test("of tombstones that cannot be read are not written: the partition is suspect, the record stays", async () => {
    const disk = simDisk();
    const made = await openTiny(disk);
    const victim = nthAddress(0);
    await made.put(tombstoneOf(victim, 1000));
    await made.put(writeOf(nthAddress(1), 1));
    await made.close();
    const path = disk.paths().find((name) => name.endsWith(".log")) ?? "";
    disk.poke(path, 64 + 20, Buffer.from([0xff]));
    const engine = await openTiny(disk);
    expect(await engine.reap(0, [{ hash: victim.hash, digest: digestOfWrite(1000) }])).toBe(0);
    expect(engine.suspectPartitions()).toEqual([0]);
    await expect(async () => engine.get(victim)).rejects.toMatchObject({ code: "CORRUPT_RECORD" });
  });
});
