/** What is left behind, and what is told, when a segment cannot be made. */
import { describe, expect, test } from "vitest";
import type { SimDisk } from "../../sim/sim-disk.ts";
import { openTiny, simDisk } from "../../support/log-store.ts";
import { HandClock, nthAddress, settle, writeOf } from "../../support/storage-fixtures.ts";
import { segmentPaths } from "../../support/store-surgery.ts";

const oneManifest = { manifestBytes: 2 ** 20 };

/** Fails the next edit of the manifest that names a segment: the one behind the segment's directory entry. */
function failNextNaming(disk: SimDisk, code: string): void {
  let isArmed = false;
  disk.beforeOperation = (_n, name, path) => {
    if (!isArmed && name === "fsyncDirectory" && path === "segments") {
      isArmed = true;
      disk.inject({ on: ["write"], path: "MANIFEST", code, times: 1 });
    }
    return undefined;
  };
}

/** Opens and closes of segments that were not matched. */
function countOpenSegments(disk: SimDisk): () => number {
  let open = 0;
  const before = disk.beforeOperation;
  disk.beforeOperation = (n, name, path) => {
    if (path.endsWith(".log") && (name === "open" || name === "create")) open += 1;
    if (path.endsWith(".log") && name === "close") open -= 1;
    return before?.(n, name, path);
  };
  return () => open;
}

describe("a segment whose naming fails", () => {
  test("is left where it is when the edit may have reached the disk: it would name a file that is not there", async () => {
    const disk = simDisk();
    const engine = await openTiny(disk, oneManifest);
    await engine.put(writeOf(nthAddress(1), 1, 100));
    failNextNaming(disk, "EIO");
    const openCount = countOpenSegments(disk);
    for (let n = 2; n <= 12; n += 1) await engine.put(writeOf(nthAddress(n), n, 200)).catch(() => undefined);
    await settle(10);
    expect(engine.failure).toMatchObject({ code: "STORE_FAILED" });
    expect(segmentPaths(disk)).toHaveLength(2);
    expect(openCount()).toBe(0);
    const again = await openTiny(disk.kill(), oneManifest);
    expect(again.suspectPartitions()).toEqual([]);
  });

  test("is removed and closed when the edit left no trace for want of space", async () => {
    const disk = simDisk();
    const engine = await openTiny(disk, oneManifest);
    failNextNaming(disk, "ENOSPC");
    const openCount = countOpenSegments(disk);
    await expect(engine.put(writeOf(nthAddress(1), 1, 100))).rejects.toMatchObject({ code: "DISK_FULL" });
    await settle();
    expect(segmentPaths(disk)).toEqual([]);
    expect(openCount()).toBe(0);
    await engine.put(writeOf(nthAddress(1), 1, 100));
    expect(engine.failure).toBeUndefined();
  });
});

describe("the segment that is made ahead", () => {
  test("fails the store when it cannot be made durable: an fsync that failed is never tried again", async () => {
    const disk = simDisk();
    const engine = await openTiny(disk, oneManifest);
    await engine.put(writeOf(nthAddress(1), 1, 100));
    disk.inject({ on: ["fdatasync"], path: ".log", code: "EIO", times: 1 });
    // far enough in the segment: the next one is made ahead
    await engine.put(writeOf(nthAddress(2), 2, 500));
    await settle(10);
    expect(engine.failure).toMatchObject({ code: "STORE_FAILED" });
  });

  test("is not tried at every commit while there is no space for it, but at once for a writer that needs it", async () => {
    const disk = simDisk();
    const clock = new HandClock();
    const engine = await openTiny(disk, { ...oneManifest, clock });
    await engine.put(writeOf(nthAddress(1), 1, 200));
    const makeRoom = disk.inject({ on: ["create"], path: ".log", code: "ENOSPC" });
    let attempts = 0;
    disk.beforeOperation = (_n, name, path) => {
      if (name === "create" && path.endsWith(".log")) attempts += 1;
      return undefined;
    };
    for (let n = 2; n <= 5; n += 1) {
      await engine.put(writeOf(nthAddress(n), n, 8));
      await settle();
    }
    expect(attempts).toBe(1);
    clock.advance(1_000);
    await engine.put(writeOf(nthAddress(6), 6, 8));
    await settle();
    expect(attempts).toBe(2);
    makeRoom();
    await engine.put(writeOf(nthAddress(7), 7, 800));
    expect(attempts).toBe(3);
  });

  test("is filled piece by piece with rests in between, but without them once a writer waits for it", async () => {
    const disk = simDisk();
    const clock = new HandClock();
    const segmentBytes = 4 * 2 ** 20;
    const engine = await openTiny(disk, { ...oneManifest, segmentBytes, clock });
    await engine.put(writeOf(nthAddress(0), 0, 100));
    let pieces = 0;
    disk.beforeOperation = (_n, name, path) => {
      if (name === "fdatasync" && path.endsWith(".log")) pieces += 1;
      return undefined;
    };
    await engine.put(writeOf(nthAddress(1), 1, segmentBytes / 8));
    await settle(10);
    expect(pieces).toBe(1);
    clock.advance(4);
    await settle(10);
    expect(pieces).toBe(2);
    // no time passes: whoever waits does not wait for rests
    for (let n = 2; n < 9; n += 1) await engine.put(writeOf(nthAddress(n), n, segmentBytes / 8));
    expect(pieces).toBeGreaterThanOrEqual(8);
    expect(segmentPaths(disk)).toHaveLength(2);
  });

  test("does not keep a store from closing", async () => {
    const disk = simDisk();
    const engine = await openTiny(disk, { ...oneManifest, segmentBytes: 4 * 2 ** 20 });
    await engine.put(writeOf(nthAddress(1), 1, 2 ** 20));
    await settle(10);
    await engine.close();
    expect(segmentPaths(disk)).toHaveLength(1);
    expect((await openTiny(disk, oneManifest)).recovery.mode).toBe("clean");
  });

  test("is tried again when there was no space for it", async () => {
    const disk = simDisk();
    const engine = await openTiny(disk, oneManifest);
    await engine.put(writeOf(nthAddress(1), 1, 100));
    disk.inject({ on: ["write"], path: ".log", code: "ENOSPC", skip: 1, times: 1 });
    await engine.put(writeOf(nthAddress(2), 2, 500));
    await settle(10);
    await engine.put(writeOf(nthAddress(3), 3, 500));
    expect(engine.failure).toBeUndefined();
  });
});
