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

  test("which is not tried again by each edit: to find no handle may take seconds", async () => {
    const disk = simDisk();
    const engine = await openTiny(disk, { manifestBytes: 800 });
    for (let through = 1_000; through <= 40_000; through += 1_000) await engine.leaseCounters(through);
    const heal = takeHandles(disk);
    let triedCount = 0;
    disk.beforeOperation = (_n, name, path) => {
      if (name === "create" && path.startsWith("MANIFEST")) triedCount += 1;
      return undefined;
    };
    for (let through = 41_000; through <= 100_000; through += 1_000) await engine.leaseCounters(through);
    expect(triedCount).toBeGreaterThan(1);
    expect(triedCount).toBeLessThan(30);
    heal();
    for (let through = 101_000; through <= 120_000; through += 1_000) await engine.leaseCounters(through);
    expect((await openTiny(disk.kill())).identity.leasedThrough).toBe(120_000);
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

  test("a put over a key that cannot be looked at is refused as not kept, and takes place once it can be", async () => {
    const made = simDisk();
    const before = await openTiny(made);
    for (let n = 0; n < 12; n += 1) await before.put(writeOf(nthAddress(n), n));
    await before.close();
    const disk = made.copy();
    const engine = await openTiny(disk, { segmentBytes: 64 * 1024, firstSegmentMs: 10_000 });
    const heal = takeHandles(disk);
    await engine.put(writeOf(nthAddress(100), 100));
    const over = [101, 111, 121].map((serial) => engine.put(writeOf(nthAddress(0), serial)));
    // one that comes while another of its key is being judged has no judgement of its own
    for (const put of over) await expect(put).rejects.toMatchObject({ code: "STORE_BUSY" });
    await engine.put(writeOf(nthAddress(102), 102));
    expect([engine.failure, engine.stats().putCount]).toEqual([undefined, 2]);
    heal();
    expect(await readOutcome(engine, 0)).toBe(textOf(0));
    await engine.put(writeOf(nthAddress(0), 103));
    expect(await readOutcome(engine, 0)).toBe(textOf(103));
  });

  test("a compaction that finds none for an index ends without it, and closes each file once", async () => {
    const disk = simDisk();
    const engine = await openTiny(disk, { groupRecords: 1 });
    // what lives is scattered among what does not
    for (let n = 0; n < 60; n += 1) await engine.put(writeOf(nthAddress(n % 5 === 0 ? n : 1), n));
    await settle(20);
    const before = engine.stats().segmentCount;
    const open = new Map<string, number>();
    let least = 0;
    disk.beforeOperation = (_n, name, path) => {
      const change = name === "open" || name === "create" ? 1 : name === "close" ? -1 : 0;
      // of what is made now: what was open before may be closed, too
      if (name === "create" || open.has(path)) open.set(path, (open.get(path) ?? 0) + change);
      least = Math.min(least, open.get(path) ?? 0);
      return undefined;
    };
    disk.inject({ on: ["create"], path: ".idx", code: "EMFILE" });
    await engine.compact(TINY_GARBAGE);
    expect([engine.failure, least, open.size > 0]).toEqual([undefined, 0, true]);
    expect(engine.stats().segmentCount).toBeLessThan(before);
    await engine.close();
    const again = await openTiny(disk.copy());
    for (let key = 0; key < 60; key += 5) expect(await readOutcome(again, key)).toBe(textOf(key));
    expect(await readOutcome(again, 1)).toBe(textOf(59));
  });

  test("what is removed may come back: the store goes on, says so, and the next start removes it again", async () => {
    const disk = simDisk();
    const events: string[] = [];
    const engine = await openTiny(disk, { groupRecords: 1, events });
    for (let n = 0; n < 60; n += 1) await engine.put(writeOf(nthAddress(n % 7), n));
    await settle(20);
    // those of what is made come first, and are for names that stay
    let removed = 0;
    disk.beforeOperation = (_n, name, path) => {
      if (name === "unlink" && path.endsWith(".log")) {
        removed += 1;
        if (removed === 1) disk.inject({ on: ["fsyncDirectory"], path: "segments", code: "EMFILE", times: 1 });
      }
      return undefined;
    };
    await engine.compact(TINY_GARBAGE);
    expect([engine.failure, removed > 0]).toEqual([undefined, true]);
    expect(events).toContain("storage.removal-not-durable");
    const after = await openTiny(disk.crash({ pages: "dropped", names: "dropped" }));
    for (let key = 0; key < 7; key += 1)
      expect(await readOutcome(after, key)).toBe(textOf(key + 7 * (key < 4 ? 8 : 7)));
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
