/** Failures of the disk that nobody waits for at that moment: they reach someone once, and never the process. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openTiny, simDisk, TINY_GARBAGE } from "../../support/log-store.ts";
import { HandClock, nthAddress, settle, writeOf } from "../../support/storage-fixtures.ts";

let unhandled: unknown[] = [];
const note = (error: unknown): void => {
  unhandled.push(error);
};

beforeEach(() => {
  unhandled = [];
  process.on("unhandledRejection", note);
});
afterEach(() => {
  process.off("unhandledRejection", note);
});

describe("a scan of cold records", () => {
  test("is rejected once when no file can be opened", async () => {
    const disk = simDisk();
    const start = { segmentBytes: 2 ** 20, clock: new HandClock("turn-done") };
    const engine = await openTiny(disk, start);
    for (let n = 0; n < 400; n += 1) await engine.put(writeOf(nthAddress(n * 4), n, 50));
    await engine.close();
    const again = await openTiny(disk, start);
    const heal = disk.inject({ on: ["open"], path: ".log", code: "EMFILE" });
    await expect(again.scan(0, 0n, 300)).rejects.toMatchObject({ code: "EMFILE" });
    await settle(10);
    expect(unhandled).toEqual([]);
    heal();
    expect((await again.scan(0, 0n, 300)).entries).toHaveLength(300);
  });
});

describe("compaction that cannot learn the free space", () => {
  const start = { isCompactionAutomatic: true, garbageSegments: 0 };

  test("fails the store when it runs by itself", async () => {
    const disk = simDisk();
    const engine = await openTiny(disk, start);
    for (let n = 0; n < 3; n += 1) await engine.put(writeOf(nthAddress(n), n, 200));
    disk.beforeOperation = (_n, name, path) => {
      // the sealing of a segment wakes the compactor
      if (name === "rename" && path.includes(".idx")) disk.inject({ on: ["freeBytes"], code: "EIO" });
      return undefined;
    };
    for (let n = 0; n < 30; n += 1) await engine.put(writeOf(nthAddress(n % 3), n, 200)).catch(() => undefined);
    await settle(10);
    expect(unhandled).toEqual([]);
    expect(engine.failure).toMatchObject({ code: "STORE_FAILED" });
  });

  test("fails the store when it is asked for", async () => {
    const disk = simDisk();
    const engine = await openTiny(disk);
    for (let n = 0; n < 30; n += 1) await engine.put(writeOf(nthAddress(n % 3), n, 200));
    await settle();
    disk.inject({ on: ["freeBytes"], code: "EIO" });
    await engine.compact(TINY_GARBAGE);
    expect(engine.failure).toMatchObject({ code: "STORE_FAILED" });
    await settle(10);
    expect(unhandled).toEqual([]);
  });
});
