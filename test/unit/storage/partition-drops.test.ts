/** Dropping a partition of the log engine: what it costs, what comes back of the disk, and what must never come back of the data. */
import { describe, expect, test } from "vitest";
import { checksum, fileSeed } from "../../../storage/format/checksum.ts";
import { encodeEdit } from "../../../storage/format/manifest-edit.ts";
import type { LogEngine } from "../../../storage/log-engine.ts";
import { loadManifest } from "../../../storage/manifest.ts";
import type { SimDisk } from "../../sim/sim-disk.ts";
import { openAnew } from "../../support/crash-sequences.ts";
import { openTiny, simDisk, TINY_GARBAGE } from "../../support/log-store.ts";
import { seededDraws } from "../../support/seeded.ts";
import {
  addressOf,
  digestOfWrite,
  nthAddress,
  scanAll,
  settle,
  TEST_PARTITIONS,
  tombstoneOf,
  writeOf,
} from "../../support/storage-fixtures.ts";
import { manifestOf, recordOf, recordsOf, segmentPaths } from "../../support/store-surgery.ts";

const DROP = { pages: "dropped", names: "dropped" } as const;

async function filled(disk: SimDisk, keyCount: number, start = {}): Promise<LogEngine> {
  const engine = await openTiny(disk, start);
  for (let n = 0; n < keyCount; n += 1) await engine.put(writeOf(nthAddress(n), n, 100));
  return engine;
}

async function digestsIn(engine: LogEngine, partition: number): Promise<readonly bigint[]> {
  return (await scanAll(engine, partition, 7)).map((entry) => entry.digest);
}

/** A power loss, and a start with another chance. */
function reborn(disk: SimDisk): Promise<LogEngine> {
  return openAnew(disk.crash(DROP));
}

describe("a dropped partition", () => {
  test("costs one write to the manifest, however much the store holds", async () => {
    for (const keyCount of [8, 400]) {
      const disk = simDisk();
      const engine = await filled(disk, keyCount, { segmentBytes: 1 << 20, manifestBytes: 1e6 });
      await settle();
      const calls: string[] = [];
      disk.beforeOperation = (_n, name, path) => {
        calls.push(`${name} ${path}`);
        return undefined;
      };
      await engine.dropPartition(1);
      expect(calls).toEqual([`write ${manifestOf(disk)}`]);
    }
  });

  test("gives its memory back at once, and its disk space by compaction", async () => {
    const disk = simDisk();
    const engine = await filled(disk, 400, { segmentBytes: 8192 });
    const before = engine.stats();
    for (const partition of [0, 1, 2]) await engine.dropPartition(partition);
    const after = engine.stats();
    expect(after.liveBytes).toBe(before.liveBytes / 4);
    expect(after.indexBytes).toBeLessThan(before.indexBytes / 3);
    await engine.compact(TINY_GARBAGE);
    const compacted = engine.stats();
    expect(compacted.diskBytes).toBeLessThan(before.diskBytes / 2);
    expect(compacted.liveBytes).toBe(after.liveBytes);
    expect(recordsOf(disk).filter(({ identity }) => identity.partition !== 3).length).toBeLessThan(80);
    const again = await reborn(disk);
    expect(again.stats().keyCount).toBe(100);
  });

  test("starts a compaction by itself", async () => {
    const disk = simDisk();
    const engine = await filled(disk, 100, { isCompactionAutomatic: true, garbageSegments: 0, garbageRatio: 0.2 });
    await settle();
    const before = engine.stats().diskBytes;
    for (const partition of [0, 1, 2]) await engine.dropPartition(partition);
    await settle(50);
    expect(engine.stats().diskBytes).toBeLessThan(before / 2);
  });

  test("keeps what is put after it, also when no segment is left that has a seq as high as the drop's", async () => {
    const disk = simDisk();
    const engine = await filled(disk, 40);
    for (let partition = 0; partition < TEST_PARTITIONS; partition += 1) await engine.dropPartition(partition);
    await engine.put(writeOf(nthAddress(0), 100, 900));
    await engine.put(writeOf(nthAddress(0), 101, 900));
    await engine.dropPartition(0);
    await engine.compact(TINY_GARBAGE);
    await engine.close();
    // a drop that claims the seqs of a long life, whose records compaction has taken away
    const loaded = await loadManifest(disk);
    if (loaded === undefined) throw new Error("no manifest");
    const place = { manifestSeed: fileSeed(loaded.storeId, "manifest", loaded.number), offset: loaded.goodBytes };
    const edit = encodeEdit([{ kind: "dropped", partition: 1, throughSeq: 2 ** 40 }], place);
    disk.poke(manifestOf(disk), loaded.goodBytes, edit);
    let next = await openTiny(disk, { random: seededDraws(5) });
    await next.put(writeOf(nthAddress(1), 102));
    next = await reborn(disk);
    expect(await digestsIn(next, 1)).toEqual([digestOfWrite(102)]);
    expect(await digestsIn(next, 0)).toEqual([]);
  });

  test("does not come back when index files are gone and every segment is scanned", async () => {
    const disk = simDisk();
    const engine = await filled(disk, 40);
    await engine.dropPartition(2);
    await engine.put(writeOf(nthAddress(2), 100));
    await engine.close();
    for (const path of disk.paths().filter((name) => name.endsWith(".idx"))) await disk.unlink(path);
    await disk.fsyncDirectory("segments");
    const again = await openTiny(disk, { random: seededDraws(5) });
    expect(await digestsIn(again, 2)).toEqual([digestOfWrite(100)]);
    expect(await digestsIn(again, 1)).toHaveLength(10);
  });

  test("does not come back when the manifest is written anew, again and again", async () => {
    const disk = simDisk();
    let engine = await filled(disk, 40);
    await engine.dropPartition(2);
    for (let round = 1; round <= 40; round += 1) await engine.leaseCounters(round * 1000);
    engine = await reborn(disk);
    for (let round = 1; round <= 3; round += 1) {
      expect(await digestsIn(engine, 2)).toEqual([]);
      await engine.close();
      engine = await openTiny(disk.crash(DROP), { random: seededDraws(50 + round) });
    }
    expect(engine.stats().keyCount).toBe(30);
  });

  test("does not come back by a compaction that was copying it", async () => {
    const disk = simDisk();
    const engine = await filled(disk, 60);
    for (let n = 0; n < 60; n += 2) await engine.put(writeOf(nthAddress(n), 100 + n, 100));
    const compacting = engine.compact(TINY_GARBAGE);
    const dropping = engine.dropPartition(1);
    await Promise.all([compacting, dropping]);
    expect(await digestsIn(engine, 1)).toEqual([]);
    const again = await reborn(disk);
    expect(await digestsIn(again, 1)).toEqual([]);
    expect(again.stats().keyCount).toBe(45);
    await again.compact(TINY_GARBAGE);
    expect(again.stats().keyCount).toBe(45);
  });

  test("is no longer suspect, now and after a restart, and not for the rot of what it held", async () => {
    const disk = simDisk();
    const engine = await filled(disk, 40, { segmentBytes: 2048 });
    await engine.close();
    const { path, offset } = recordOf(disk, nthAddress(1).key);
    disk.flipBit(path, { offset: offset + 100, bit: 1 });
    let again = await openTiny(disk, { random: seededDraws(2), segmentBytes: 2048 });
    await expect(Promise.resolve().then(() => again.get(nthAddress(1)))).rejects.toMatchObject({
      code: "CORRUPT_RECORD",
    });
    expect(again.suspectPartitions()).toEqual([1]);
    await again.dropPartition(1);
    expect(again.suspectPartitions()).toEqual([]);
    await again.close();
    for (const name of disk.paths().filter((each) => each.endsWith(".idx"))) await disk.unlink(name);
    await disk.fsyncDirectory("segments");
    again = await openTiny(disk, { random: seededDraws(3), segmentBytes: 2048 });
    expect(again.recovery.corruptRecordCount).toBe(1);
    expect(again.suspectPartitions()).toEqual([]);
    expect(await digestsIn(again, 1)).toEqual([]);
  });

  test("does not keep a tombstone from being dropped that came after it", async () => {
    const disk = simDisk();
    const engine = await openTiny(disk, { mayDropTombstone: () => true });
    const victim = addressOf({ partition: 1, low: 5n, key: "victim" });
    // one segment: the old value, and enough that lives for it to be left alone
    await engine.put(writeOf(victim, 1, 80));
    await engine.put(writeOf(nthAddress(0), 2, 740));
    await engine.dropPartition(1);
    // the next: the tombstone, and what is overwritten in the one after
    await engine.put(tombstoneOf(victim, 3));
    await engine.put(writeOf(nthAddress(10), 4, 800));
    await engine.put(writeOf(nthAddress(10), 5, 800));
    await engine.put(writeOf(nthAddress(11), 6, 900));
    await settle();
    expect(engine.stats().tombstoneCount).toBe(1);
    await engine.compact(0.35);
    expect(recordsOf(disk).filter((record) => record.key === "victim")).toHaveLength(1);
    expect(engine.stats().tombstoneCount).toBe(0);
    const again = await reborn(disk);
    expect(await digestsIn(again, 1)).toEqual([]);
  });

  test("stays whole when the disk is full, and the puts that came after go on", async () => {
    const disk = simDisk();
    const engine = await filled(disk, 8, { segmentBytes: 65_536 });
    await settle();
    const heal = disk.inject({ on: ["write"], code: "ENOSPC", path: "MANIFEST" });
    const dropping = engine.dropPartition(1);
    const put = engine.put(writeOf(nthAddress(1), 90));
    await expect(dropping).rejects.toMatchObject({ code: "DISK_FULL" });
    await put;
    heal();
    expect(await digestsIn(engine, 1)).toHaveLength(2);
    expect(engine.digestOf(nthAddress(1))).toBe(digestOfWrite(90));
    const again = await reborn(disk);
    expect(await digestsIn(again, 1)).toHaveLength(2);
  });

  test("covers no write whose group found no space and gave its seqs back", async () => {
    const disk = simDisk();
    const engine = await filled(disk, 4, { segmentBytes: 65_536 });
    await settle();
    const heal = disk.inject({ on: ["write"], code: "ENOSPC", path: "segments/" });
    const failing = Array.from({ length: 20 }, (_, n) =>
      engine.put(writeOf(addressOf({ partition: 3, low: BigInt(n), key: `x${n}` }), n)),
    );
    const dropping = engine.dropPartition(1);
    for (const end of await Promise.allSettled(failing)) {
      expect(end).toMatchObject({ status: "rejected", reason: { code: "DISK_FULL" } });
    }
    await dropping;
    heal();
    await engine.put(writeOf(nthAddress(1), 90));
    const again = await reborn(disk);
    expect(await digestsIn(again, 1)).toEqual([digestOfWrite(90)]);
  });

  test("fails with the store when the edit cannot be made durable", async () => {
    const disk = simDisk();
    const engine = await filled(disk, 8, { segmentBytes: 65_536 });
    await settle();
    disk.inject({ on: ["write"], code: "EIO", path: "MANIFEST" });
    const put = (): Promise<void> => engine.put(writeOf(nthAddress(1), 90));
    const ends = await Promise.allSettled([engine.dropPartition(1), put()]);
    for (const end of ends) expect(end).toMatchObject({ status: "rejected", reason: { code: "STORE_FAILED" } });
    expect(engine.failure).toMatchObject({ code: "STORE_FAILED" });
  });

  test("bounds the puts that wait for it", async () => {
    const disk = simDisk();
    const engine = await filled(disk, 4, { segmentBytes: 65_536, queueRecords: 3 });
    const dropping = engine.dropPartition(1);
    const puts = [1, 5, 9, 13].map((n) => engine.put(writeOf(nthAddress(n), n)));
    await expect(puts[3]).rejects.toMatchObject({ code: "STORE_BUSY" });
    await Promise.all([dropping, ...puts.slice(0, 3)]);
    expect(await digestsIn(engine, 1)).toHaveLength(3);
  });
});

test("a manifest of version 1 is read, and written anew before anything is dropped", async () => {
  const disk = simDisk();
  const engine = await filled(disk, 8);
  await engine.close();
  const header = Buffer.from(disk.peek(manifestOf(disk)).subarray(0, 48));
  header.writeUInt32LE(1, 8);
  header.writeUInt32LE(checksum(header.subarray(0, 44), 0), 44);
  disk.poke(manifestOf(disk), 0, header);
  const again = await openTiny(disk, { random: seededDraws(9) });
  expect(again.recovery.mode).toBe("clean");
  expect(Buffer.from(disk.peek(manifestOf(disk))).readUInt32LE(8)).toBe(2);
  expect(segmentPaths(disk).length).toBeGreaterThan(0);
  expect(again.stats().keyCount).toBe(8);
});
