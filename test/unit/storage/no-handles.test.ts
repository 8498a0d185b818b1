/** A process that can open no file for a while: what needs one is put off or refused, and the store is not failed by it. */
import { describe, expect, test } from "vitest";
import type { SimDisk } from "../../sim/sim-disk.ts";
import { readOutcome, textOf } from "../../support/crash-store.ts";
import { openTiny, simDisk, TINY_GARBAGE } from "../../support/log-store.ts";
import { HandClock, nthAddress, settle, writeOf } from "../../support/storage-fixtures.ts";

/** From now on no file is opened or made; the function returned ends that. */
function takeHandles(disk: SimDisk): () => void {
  return disk.inject({ on: ["create", "open"], code: "EMFILE" });
}

describe("while no file can be opened", () => {
  test("puts that need the next segment are refused as not kept, and take place once there is a handle", async () => {
    const disk = simDisk();
    const engine = await openTiny(disk, { groupRecords: 1 });
    const heal = takeHandles(disk);
    const kept: number[] = [];
    const refused = new Set<string>();
    for (let n = 0; n < 30; n += 1) {
      await engine.put(writeOf(nthAddress(n), n)).then(
        () => kept.push(n),
        (error: Error & { code?: string }) => refused.add(`${error.code}: ${error.message}`),
      );
    }
    expect([...refused]).toEqual(["STORE_BUSY: no file can be opened just now: nothing was kept"]);
    expect(engine.failure).toBeUndefined();
    heal();
    for (let n = 30; n < 60; n += 1) await engine.put(writeOf(nthAddress(n), n)).then(() => kept.push(n));
    await engine.close();
    const again = await openTiny(disk.copy());
    for (let n = 0; n < 60; n += 1) {
      expect(await readOutcome(again, n)).toBe(kept.includes(n) ? textOf(n) : "absent");
    }
  });

  test("a document keeps what it held, and says why", async () => {
    const disk = simDisk();
    const engine = await openTiny(disk);
    await engine.writeDocument("note", Buffer.from("before"));
    const heal = takeHandles(disk);
    await expect(engine.writeDocument("note", Buffer.from("after"))).rejects.toMatchObject({
      code: "DISK_FULL",
      message: "no file can be opened just now: the write left no trace",
    });
    expect(engine.readDocument("note")).toEqual(new Uint8Array(Buffer.from("before")));
    heal();
    await engine.writeDocument("note", Buffer.from("after"));
    expect((await openTiny(disk.kill())).readDocument("note")).toEqual(new Uint8Array(Buffer.from("after")));
  });

  test("the manifest is not written anew, and grows until it can be", async () => {
    const disk = simDisk();
    const engine = await openTiny(disk, { manifestBytes: 200 });
    const heal = takeHandles(disk);
    for (let through = 1_000; through <= 20_000; through += 1_000) await engine.leaseCounters(through);
    expect(engine.failure).toBeUndefined();
    heal();
    await engine.leaseCounters(30_000);
    expect((await openTiny(disk.kill())).identity.leasedThrough).toBe(30_000);
  });

  test("a compaction is put off, and loses nothing", async () => {
    const disk = simDisk();
    const engine = await openTiny(disk, { groupRecords: 1 });
    for (let n = 0; n < 60; n += 1) await engine.put(writeOf(nthAddress(n % 7), n));
    await settle(20);
    const before = engine.stats().segmentCount;
    const heal = takeHandles(disk);
    await engine.compact(TINY_GARBAGE);
    expect([engine.failure, engine.stats().segmentCount]).toEqual([undefined, before]);
    heal();
    await engine.compact(TINY_GARBAGE);
    expect(engine.stats().segmentCount).toBeLessThan(before);
    for (let key = 0; key < 7; key += 1)
      expect(await readOutcome(engine, key)).toBe(textOf(key + 7 * (key < 4 ? 8 : 7)));
  });

  test("an index that a scrub cannot make anew is told, and is made by the next", async () => {
    const disk = simDisk();
    const clock = new HandClock();
    const events: string[] = [];
    const engine = await openTiny(disk, { segmentBytes: 64 * 1024, clock, events });
    for (let n = 0; n < 5; n += 1) await engine.put(writeOf(nthAddress(n), n));
    await engine.scrub();
    const index = disk.paths().find((path) => path.endsWith(".idx")) ?? "";
    await disk.unlink(index);
    const heal = disk.inject({ on: ["create"], path: ".idx", code: "EMFILE" });
    await engine.scrub();
    expect(events).toContain("storage.index-file-missing");
    expect(engine.failure).toBeUndefined();
    heal();
    expect(await engine.scrub()).toMatchObject({ rebuiltIndexCount: 1 });
  });
});
