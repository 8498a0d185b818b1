/** Reads that meet bytes that cannot be read: what may be answered, and what must be remembered. */
import { describe, expect, test } from "vitest";
import type { LogEngine } from "../../../storage/log-engine.ts";
import { loadManifest } from "../../../storage/manifest.ts";
import type { SimDisk } from "../../sim/sim-disk.ts";
import { openTiny, simDisk } from "../../support/log-store.ts";
import { addressOf, digestOfWrite, nthAddress, settle, writeOf } from "../../support/storage-fixtures.ts";
import { type PlacedRecord, recordsOf } from "../../support/store-surgery.ts";

const roomy = { segmentBytes: 8192 };
const a = addressOf({ partition: 1, low: 77n, key: "aaaa" });
const b = addressOf({ partition: 1, low: 77n, key: "bbbb" });
const KEY_AT = 48;

function recordsOfKey(disk: SimDisk, key: string): PlacedRecord[] {
  return recordsOf(disk).filter((record) => record.key === key);
}

function spoil(disk: SimDisk, record: PlacedRecord | undefined, at: number): void {
  if (record === undefined) throw new Error("no such record");
  disk.flipBit(record.path, { offset: record.offset + at, bit: 0 });
}

async function meet(engine: LogEngine, n: number): Promise<void> {
  await expect(Promise.resolve().then(() => engine.get(nthAddress(n)))).rejects.toMatchObject({
    code: "CORRUPT_RECORD",
  });
  await settle();
}

describe("a key that shares its hash", () => {
  async function stored(): Promise<{ readonly disk: SimDisk; readonly engine: LogEngine }> {
    const disk = simDisk();
    const engine = await openTiny(disk, roomy);
    await engine.put(writeOf(a, 1, 50));
    await engine.put(writeOf(b, 2, 50));
    return { disk, engine };
  }

  test("is never answered from an older record when its newest cannot be read", async () => {
    const { disk, engine } = await stored();
    await engine.put(writeOf(a, 3, 50));
    await engine.put(writeOf(nthAddress(0), 4, 50));
    await engine.close();
    spoil(disk, recordsOfKey(disk, "aaaa").at(-1), KEY_AT + 1);
    const again = await openTiny(disk, roomy);
    await expect(Promise.resolve(again.get(a))).rejects.toMatchObject({ code: "CORRUPT_RECORD" });
    expect(again.isSuspect(1)).toBe(true);
  });

  test("is an error while an unreadable record behind its own may be its newest", async () => {
    const { disk, engine } = await stored();
    spoil(disk, recordsOfKey(disk, "bbbb")[0], 100);
    await expect(Promise.resolve(engine.get(a))).rejects.toMatchObject({ code: "CORRUPT_RECORD" });
  });

  test("is answered when its record is proved to be newer than the one that cannot be read", async () => {
    const { disk, engine } = await stored();
    spoil(disk, recordsOfKey(disk, "aaaa")[0], 100);
    expect(await engine.get(b)).toMatchObject({ digest: digestOfWrite(2) });
    expect(engine.isSuspect(1)).toBe(true);
    await settle();
    await engine.close();
    const again = await openTiny(disk, roomy);
    // by its seq as well, from another segment
    await again.put(writeOf(b, 5, 50));
    expect(await again.get(b)).toMatchObject({ digest: digestOfWrite(5) });
  });
});

describe("the records of a partition that cannot be read", () => {
  test("are named by their hashes until they are put again; one that was given up makes it suspect no more", async () => {
    const disk = simDisk();
    const engine = await openTiny(disk, roomy);
    for (let n = 0; n < 8; n += 1) await engine.put(writeOf(nthAddress(n), n, 50));
    expect(engine.unreadableIn(0)).toEqual([]);
    for (const n of [0, 4]) {
      spoil(disk, recordsOfKey(disk, `key-${n}`)[0], 100);
      await meet(engine, n);
    }
    expect([...engine.unreadableIn(0)].sort()).toEqual([nthAddress(0).hash, nthAddress(4).hash].sort());
    expect([engine.unreadableIn(1), engine.isSuspect(0)]).toEqual([[], true]);
    const [least = 0n, most = 0n] = engine.unreadableIn(0);
    const within = (fromHash: bigint, beforeHash: bigint | undefined, limit = 9): readonly bigint[] =>
      engine.unreadableIn(0, { fromHash, beforeHash, limit });
    expect([within(0n, undefined), within(0n, undefined, 1), within(0n, most)]).toEqual([
      [least, most],
      [least],
      [least],
    ]);
    expect([within(least, least + 1n), within(least + 1n, undefined), within(least + 1n, most)]).toEqual([
      [least],
      [most],
      [],
    ]);

    await engine.clearSuspect(0);
    await meet(engine, 0);
    expect(engine.isSuspect(0)).toBe(false);
    await engine.put(writeOf(nthAddress(0), 9, 50));
    expect(engine.unreadableIn(0)).toEqual([nthAddress(4).hash]);

    // a start finds it anew, and so does whoever repairs
    await settle();
    await engine.close();
    const again = await openTiny(disk, roomy);
    await meet(again, 4);
    expect([again.isSuspect(0), again.unreadableIn(0)]).toEqual([true, [nthAddress(4).hash]]);
  });
});

describe("a page of a scan", () => {
  test("names what could not be read for it, though that is overwritten meanwhile", async () => {
    const disk = simDisk();
    const engine = await openTiny(disk, roomy);
    for (let n = 0; n < 8; n += 1) await engine.put(writeOf(nthAddress(n), n, 50));
    expect(await engine.scan(0, 0n, 9)).not.toHaveProperty("unread");
    spoil(disk, recordsOfKey(disk, "key-4")[0], KEY_AT);
    const scanning = engine.scan(0, 0n, 9);
    await engine.put(writeOf(nthAddress(4), 9, 50));
    const { entries, unread } = await scanning;
    expect(unread).toEqual([nthAddress(4).hash]);
    expect(entries.map(({ hash }) => hash)).not.toContain(nthAddress(4).hash);
    expect([engine.unreadableIn(0), (await engine.scan(0, 0n, 9)).unread]).toEqual([[], undefined]);
  });
});

describe("the suspicion of a partition", () => {
  async function damaged(): Promise<{ readonly disk: SimDisk; readonly engine: LogEngine }> {
    const disk = simDisk();
    const engine = await openTiny(disk, { ...roomy, manifestBytes: 2 ** 20 });
    for (let n = 0; n < 8; n += 1) await engine.put(writeOf(nthAddress(n), n, 50));
    // two keys of partition 0
    for (const n of [0, 4]) spoil(disk, recordsOfKey(disk, `key-${n}`)[0], 100);
    return { disk, engine };
  }

  /** What a start believes that has nothing but the manifest to go by. */
  async function suspectsOnDisk(disk: SimDisk): Promise<readonly number[]> {
    return (await loadManifest(disk.copy()))?.state.suspects.values().toArray() ?? [];
  }

  test("that found no space on disk is written down the next time the damage is met", async () => {
    const { disk, engine } = await damaged();
    disk.inject({ on: ["write"], path: "MANIFEST", code: "ENOSPC", times: 1 });
    await meet(engine, 0);
    expect(engine.suspectPartitions()).toEqual([0]);
    expect(await suspectsOnDisk(disk)).toEqual([]);
    await meet(engine, 0);
    expect(await suspectsOnDisk(disk)).toEqual([0]);
    expect(engine.failure).toBeUndefined();
  });

  test("that found no space on disk is written down when the store is closed", async () => {
    const { disk, engine } = await damaged();
    disk.inject({ on: ["write"], path: "MANIFEST", code: "ENOSPC", times: 1 });
    await meet(engine, 0);
    await engine.close();
    const again = await openTiny(disk, roomy);
    expect(again.recovery.mode).toBe("clean");
    expect(again.suspectPartitions()).toEqual([0]);
  });

  test("that finds no space even then keeps the store from being marked clean", async () => {
    const { disk, engine } = await damaged();
    const free = disk.inject({ on: ["write"], path: "MANIFEST", code: "ENOSPC" });
    await meet(engine, 0);
    await engine.close();
    expect(engine.failure).toBeUndefined();
    free();
    const again = await openTiny(disk, roomy);
    expect(again.recovery.mode).toBe("unclean");
    expect(again.suspectPartitions()).toContain(0);
  });

  test("is written once, however many reads meet the damage at the same time", async () => {
    const { disk, engine } = await damaged();
    let writes = 0;
    disk.beforeOperation = (_n, name, path) => {
      if (name === "write" && path.startsWith("MANIFEST")) writes += 1;
      return undefined;
    };
    await Promise.all([meet(engine, 0), meet(engine, 0), meet(engine, 4)]);
    await meet(engine, 4);
    expect(writes).toBe(1);
  });

  test("stays when new damage is met while it is being cleared, in RAM and on disk", async () => {
    const { disk, engine } = await damaged();
    await meet(engine, 0);
    const clearing = engine.clearSuspect(0);
    await meet(engine, 4);
    await clearing;
    await settle();
    expect(engine.suspectPartitions()).toEqual([0]);
    expect(await suspectsOnDisk(disk)).toEqual([0]);
    await engine.clearSuspect(0);
    expect(engine.suspectPartitions()).toEqual([]);
    expect(await suspectsOnDisk(disk)).toEqual([]);
  });

  test("stays when clearing it finds no space", async () => {
    const { disk, engine } = await damaged();
    await meet(engine, 0);
    disk.inject({ on: ["write"], path: "MANIFEST", code: "ENOSPC", times: 1 });
    await expect(engine.clearSuspect(0)).rejects.toMatchObject({ code: "DISK_FULL" });
    expect(engine.isSuspect(0)).toBe(true);
    expect(await suspectsOnDisk(disk)).toEqual([0]);
  });
});
