/** Bytes that the device does not give back (EIO): an index file is not needed, a page of a segment is lost. */
import { describe, expect, test } from "vitest";
import {
  DROP,
  openDamaged,
  outcomesOf,
  textOf,
  WORN_KEYS,
  WORN_VALUES,
  wornStore,
} from "../../support/damage-fixtures.ts";
import { simDisk, TINY_GARBAGE } from "../../support/log-store.ts";
import { nthAddress, settle, writeOf } from "../../support/storage-fixtures.ts";
import { recordOf, segmentPaths } from "../../support/store-surgery.ts";

describe("bytes that the device does not give back", () => {
  const everywhere = { from: 0, to: 1e9 };
  const pages = { segmentBytes: 16_384 };
  const many = Array.from({ length: 60 }, (_, n) => n);

  test("in index files stop neither a compaction nor a start", async () => {
    const disk = simDisk();
    const engine = await wornStore(disk);
    disk.inject({ on: ["read"], path: ".idx", code: "EIO", range: everywhere });
    const before = segmentPaths(disk).length;
    await engine.compact(TINY_GARBAGE);
    expect(engine.failure).toBeUndefined();
    expect(segmentPaths(disk).length).toBeLessThan(before);
    expect(await outcomesOf(engine, WORN_KEYS)).toEqual(WORN_VALUES);
    await engine.close();
    const again = await openDamaged(disk);
    expect(again.recovery).toMatchObject({ mode: "clean", isNewActor: false, corruptRecordCount: 0 });
    expect(await outcomesOf(again, WORN_KEYS)).toEqual(WORN_VALUES);
  });

  test.each(["header", "value"])(
    "in index files, with rot in the %s of a live record: it is not compacted away as if it were not there",
    async (part) => {
      const disk = simDisk();
      const engine = await wornStore(disk);
      const { path, offset } = recordOf(disk, nthAddress(6).key);
      disk.flipBit(path, { offset: offset + (part === "header" ? 9 : 100), bit: 2 });
      disk.inject({ on: ["read"], path: ".idx", code: "EIO", range: everywhere });
      await engine.compact(TINY_GARBAGE);
      await settle();
      expect(engine.failure).toBeUndefined();
      expect(engine.suspectPartitions()).toContain(nthAddress(6).partition);
      expect(await outcomesOf(engine, WORN_KEYS)).toEqual(
        WORN_VALUES.map((text, n) => (n === 6 ? "CORRUPT_RECORD" : text)),
      );
    },
  );

  test.each(["sealed", "open"])("in a page of a segment that was %s cost that page, and are told of", async (state) => {
    const disk = simDisk();
    const engine = await openDamaged(disk, pages);
    for (const n of many.slice(0, state === "open" ? 25 : 60)) await engine.put(writeOf(nthAddress(n), n, 400));
    const keys = many.slice(0, state === "open" ? 25 : 60);
    if (state === "sealed") await engine.close();
    const image = disk.crash(DROP);
    const [path = ""] = segmentPaths(image);
    image.place(path.replace(".log", ".idx"), undefined);
    const page = { from: 4096, to: 8192 };
    image.inject({ on: ["read"], path, code: "EIO", range: page });
    const again = await openDamaged(image, pages);
    expect(again.suspectPartitions()).toEqual([0, 1, 2, 3]);
    const outcomes = await outcomesOf(again, keys);
    const lost = keys.filter((n) => outcomes[n] !== textOf(n, 400));
    expect(lost.length).toBeGreaterThan(0);
    expect(lost.length).toBeLessThanOrEqual(11);
  });

  test("at the header of a segment do not keep a store from starting", async () => {
    const disk = simDisk();
    const engine = await openDamaged(disk, pages);
    for (const n of many) await engine.put(writeOf(nthAddress(n), n, 400));
    await engine.close();
    const [path = ""] = segmentPaths(disk);
    disk.inject({ on: ["read"], path, code: "EIO", range: { from: 0, to: 512 } });
    const again = await openDamaged(disk, pages);
    expect(again.recovery.mode).toBe("clean");
    expect(await outcomesOf(again, [59])).toEqual([textOf(59, 400)]);
  });

  test("behind an intact record do not cost a compaction that record", async () => {
    const disk = simDisk();
    const engine = await openDamaged(disk, pages);
    for (const n of many) await engine.put(writeOf(nthAddress(n), n, 400));
    for (const n of many.slice(0, 5)) await engine.put(writeOf(nthAddress(n), 100 + n, 400));
    await settle();
    const worn = recordOf(disk, nthAddress(20).key);
    const range = { from: worn.offset, to: worn.offset + 8 };
    disk.inject({ on: ["read"], path: worn.path, code: "EIO", range });
    await engine.compact(0.01);
    await settle();
    expect(many.filter((n) => engine.digestOf(nthAddress(n)) === 0n)).toEqual([20]);
    expect(engine.suspectPartitions()).toEqual([nthAddress(20).partition]);
  });
});
