/** What the log engine adds to the contract: groups, marks, bounds, cold reads, dropping tombstones. */
import { describe, expect, test } from "vitest";
import { fileSeed } from "../../../storage/format/checksum.ts";
import { FLAG_META } from "../../../storage/format/record.ts";
import { openMemoryEngine } from "../../../storage/memory-engine.ts";
import { newMemoryImage } from "../../../storage/memory-image.ts";
import type { Disk, DiskFile } from "../../../storage/ports.ts";
import { scanSegment } from "../../../storage/segment-scan.ts";
import type { SimDisk } from "../../sim/sim-disk.ts";
import { openTiny, simDisk, TINY_GARBAGE } from "../../support/log-store.ts";
import { seededDraws } from "../../support/seeded.ts";
import {
  addressOf,
  digestOfWrite,
  HandClock,
  nthAddress,
  settle,
  tombstoneOf,
  valueOf,
  writeOf,
} from "../../support/storage-fixtures.ts";
import { recordsOf, segmentPaths } from "../../support/store-surgery.ts";

const roomy = { segmentBytes: 64 * 1024 };

function metasOf(disk: SimDisk): number {
  let count = 0;
  for (const path of segmentPaths(disk)) {
    const bytes = Buffer.from(disk.peek(path));
    const seed = fileSeed(bytes.subarray(16, 32), "segment", bytes.readUInt32LE(12));
    for (const { identity } of scanSegment(bytes, seed).records) count += (identity.flags & FLAG_META) === 0 ? 0 : 1;
  }
  return count;
}

/** The same disk, with every read counted by its way. */
function counting(disk: Disk, counts: { sync: number; pool: number }, onSync: () => void): Disk {
  const wrap = (file: DiskFile): DiskFile => ({
    readSync: (into, position) => {
      counts.sync += 1;
      onSync();
      return file.readSync(into, position);
    },
    read: (into, position) => {
      counts.pool += 1;
      return file.read(into, position);
    },
    write: (buffers, position) => file.write(buffers, position),
    fdatasync: () => file.fdatasync(),
    truncate: (sizeBytes) => file.truncate(sizeBytes),
    size: () => file.size(),
    close: () => file.close(),
  });
  return {
    open: async (path, mode) => wrap(await disk.open(path, mode)),
    exists: (path) => disk.exists(path),
    list: (path) => disk.list(path),
    makeDirectory: (path) => disk.makeDirectory(path),
    rename: (from, to) => disk.rename(from, to),
    unlink: (path) => disk.unlink(path),
    fsyncDirectory: (path) => disk.fsyncDirectory(path),
    freeBytes: () => disk.freeBytes(),
    lock: (path) => disk.lock(path),
  };
}

describe("group commit", () => {
  test("puts of one turn share one write", async () => {
    const engine = await openTiny(simDisk(), roomy);
    await engine.put(writeOf(nthAddress(0), 1));
    const before = engine.stats().commitCount;
    await Promise.all(Array.from({ length: 50 }, (_, n) => engine.put(writeOf(nthAddress(n), n))));
    expect(engine.stats().commitCount - before).toBe(1);
  });

  test("a group keeps its bounds in records and bytes", async () => {
    const engine = await openTiny(simDisk(), { ...roomy, groupRecords: 4 });
    await engine.put(writeOf(nthAddress(0), 1));
    let before = engine.stats().commitCount;
    await Promise.all(Array.from({ length: 10 }, (_, n) => engine.put(writeOf(nthAddress(n), n))));
    expect(engine.stats().commitCount - before).toBe(3);
    const narrow = await openTiny(simDisk(), { ...roomy, groupBytes: 300 });
    await narrow.put(writeOf(nthAddress(0), 1));
    before = narrow.stats().commitCount;
    await Promise.all(Array.from({ length: 4 }, (_, n) => narrow.put(writeOf(nthAddress(n), n, 100))));
    expect(narrow.stats().commitCount - before).toBe(4);
  });

  test("beyond the bytes that may wait, a put is refused at once and leaves nothing", async () => {
    const engine = await openTiny(simDisk(), { ...roomy, queueBytes: 1000 });
    const puts = await Promise.allSettled(
      Array.from({ length: 5 }, (_, n) => engine.put(writeOf(nthAddress(n), n, 400))),
    );
    expect(puts.map((put) => put.status)).toEqual(["fulfilled", "fulfilled", "rejected", "rejected", "rejected"]);
    expect(puts[4]).toMatchObject({ reason: { code: "STORE_BUSY" } });
    expect(await engine.get(nthAddress(4))).toBeUndefined();
    await engine.put(writeOf(nthAddress(4), 4, 400));
  });
});

describe("writes that wait", () => {
  test("are bounded in number as well", async () => {
    const engine = await openTiny(simDisk(), { ...roomy, queueRecords: 3 });
    const puts = await Promise.allSettled(Array.from({ length: 5 }, (_, n) => engine.put(writeOf(nthAddress(n), n))));
    expect(puts.map((put) => put.status)).toEqual(["fulfilled", "fulfilled", "fulfilled", "rejected", "rejected"]);
    expect(puts[4]).toMatchObject({ reason: { code: "STORE_BUSY" } });
    await engine.put(writeOf(nthAddress(4), 4));
  });
});

describe("an idle store", () => {
  test("says once what is durable, 100 ms after its last commit, and never more", async () => {
    const disk = simDisk();
    const clock = new HandClock();
    const engine = await openTiny(disk, { ...roomy, clock });
    await engine.put(writeOf(nthAddress(1), 1));
    clock.advance(60);
    await engine.put(writeOf(nthAddress(2), 2));
    clock.advance(60);
    await settle();
    expect(metasOf(disk)).toBe(0);
    clock.advance(60);
    await settle();
    expect(metasOf(disk)).toBe(1);
    clock.advance(10_000);
    await settle();
    expect(metasOf(disk)).toBe(1);
  });

  test("says so as well when it falls idle while the writer answers its last group", async () => {
    const disk = simDisk();
    const clock = new HandClock();
    const engine = await openTiny(disk, { ...roomy, clock });
    await engine.put(writeOf(nthAddress(1), 1));
    // the writer has answered, and has not come to rest
    clock.advance(100);
    await settle();
    expect(metasOf(disk)).toBe(1);
  });
});

describe("the number of partitions", () => {
  test("is that with which the store was made, whatever a later start asks for", async () => {
    const disk = simDisk();
    const engine = await openTiny(disk, roomy);
    const { partitionCount } = engine;
    await engine.put(writeOf(nthAddress(1), 1));
    await engine.close();
    const image = newMemoryImage();
    openMemoryEngine({ partitionCount, random: seededDraws(1), image });
    const asked = 8 * partitionCount;
    const model = openMemoryEngine({ partitionCount: asked, random: seededDraws(1), image });
    const again = await openTiny(disk, { ...roomy, partitionCount: asked });
    expect([again.partitionCount, model.partitionCount]).toEqual([partitionCount, partitionCount]);
    expect(again.recovery).toMatchObject({ mode: "clean", isNewActor: false });
    expect(await again.get(nthAddress(1))).toMatchObject({ digest: digestOfWrite(1) });
    expect((await again.scan(nthAddress(1).partition, 0n, 10)).entries).toHaveLength(1);
    await again.put(writeOf(nthAddress(2), 2));
  });
});

describe("no space", () => {
  test("writes stop above the reserve that compaction needs; deletes that fit, reads and compaction go on", async () => {
    const disk = simDisk();
    const engine = await openTiny(disk, { isCompactionAutomatic: true, reserveBytes: 2 ** 50 });
    await expect(engine.put(writeOf(nthAddress(1), 1))).rejects.toMatchObject({ code: "DISK_FULL" });
    expect(await engine.get(nthAddress(1))).toBeUndefined();
    expect(engine.failure).toBeUndefined();
    await engine.close();
    const again = await openTiny(disk);
    expect(again.recovery.mode).toBe("clean");
    await again.put(writeOf(nthAddress(1), 1));
  });
});

describe("reads", () => {
  test("of bytes believed cached are synchronous; after a start the first goes through the pool", async () => {
    const disk = simDisk();
    const counts = { sync: 0, pool: 0 };
    const engine = await openTiny(disk, roomy);
    await engine.put(writeOf(nthAddress(1), 1));
    await engine.close();
    const again = await openTiny(
      counting(disk, counts, () => undefined),
      roomy,
    );
    counts.pool = 0;
    expect(again.get(nthAddress(1))).toBeInstanceOf(Promise);
    await again.get(nthAddress(1));
    expect(again.get(nthAddress(1))).not.toBeInstanceOf(Promise);
    expect(counts.sync).toBeGreaterThan(0);
  });

  test("that turn out slow end the belief: at most three stall the loop before the pool takes over", async () => {
    const clock = new HandClock();
    const counts = { sync: 0, pool: 0 };
    let isSlow = false;
    const slow = (): void => {
      if (isSlow) clock.advance(1);
    };
    const engine = await openTiny(counting(simDisk(), counts, slow), { segmentBytes: 2 ** 20, clock });
    await Promise.all(Array.from({ length: 40 }, (_, n) => engine.put(writeOf(nthAddress(n), n, 5000))));
    await engine.get(nthAddress(0));
    for (let n = 0; n < 40; n += 1) expect(engine.get(nthAddress(n))).not.toBeInstanceOf(Promise);
    isSlow = true;
    counts.sync = 0;
    for (let n = 0; n < 40; n += 1) await engine.get(nthAddress(n));
    expect(counts.sync).toBeLessThanOrEqual(3);
  });

  test("keep no more sealed segments open than the limit", async () => {
    const disk = simDisk();
    let open = 0;
    let mostOpen = 0;
    const tracking: Disk = counting(disk, { sync: 0, pool: 0 }, () => undefined);
    const opener = tracking.open;
    tracking.open = async (path, mode) => {
      const file = await opener(path, mode);
      if (mode !== "read") return file;
      open += 1;
      mostOpen = Math.max(mostOpen, open);
      const close = file.close;
      file.close = () => {
        open -= 1;
        return close();
      };
      return file;
    };
    const engine = await openTiny(tracking, { openSegmentFiles: 3 });
    for (let n = 0; n < 30; n += 1) await engine.put(writeOf(nthAddress(n), n, 600));
    expect(engine.stats().segmentCount).toBeGreaterThan(15);
    for (let n = 0; n < 30; n += 1)
      expect(Buffer.from((await engine.get(nthAddress(n)))?.value ?? "")).toEqual(Buffer.from(valueOf(n, 600)));
    expect(mostOpen).toBeLessThanOrEqual(4);
  });
});

describe("an overwrite", () => {
  test("reads the old key back, unless the caller names the digest that it replaces", async () => {
    const counts = { sync: 0, pool: 0 };
    const engine = await openTiny(
      counting(simDisk(), counts, () => undefined),
      roomy,
    );
    const address = nthAddress(1);
    await engine.put(writeOf(address, 1));
    await engine.get(address);
    const reads = (): number => counts.sync + counts.pool;
    let before = reads();
    await engine.put({ ...writeOf(address, 2), replaces: digestOfWrite(1) });
    expect(reads()).toBe(before);
    await engine.put({ ...writeOf(address, 3), replaces: digestOfWrite(1) });
    expect(reads()).toBe(before + 1);
    before = reads();
    await engine.put(writeOf(address, 4));
    expect(reads()).toBe(before + 1);
    expect(Buffer.from((await engine.get(address))?.value ?? "")).toEqual(Buffer.from(valueOf(4)));
  });
});

describe("tombstones", () => {
  async function deleted(mayDrop: boolean): Promise<{ readonly disk: SimDisk; readonly count: number }> {
    const disk = simDisk();
    const engine = await openTiny(disk, { mayDropTombstone: () => mayDrop });
    for (let n = 0; n < 8; n += 1) await engine.put(writeOf(nthAddress(n), n, 300));
    for (let n = 0; n < 8; n += 1) await engine.put(tombstoneOf(nthAddress(n), 100 + n));
    for (let n = 20; n < 26; n += 1) await engine.put(writeOf(nthAddress(n), n, 400));
    await engine.compact(TINY_GARBAGE);
    await engine.compact(TINY_GARBAGE);
    const { tombstoneCount } = engine.stats();
    await engine.close();
    return { disk, count: tombstoneCount };
  }

  test("are kept as long as nobody proves that every replica has them", async () => {
    expect((await deleted(false)).count).toBe(8);
  });

  test("are dropped with that proof when no older record of their key is left, and the keys stay away", async () => {
    const { disk, count } = await deleted(true);
    expect(count).toBeLessThan(8);
    const engine = await openTiny(disk);
    for (let n = 0; n < 8; n += 1) expect((await engine.get(nthAddress(n)))?.isTombstone ?? true).toBe(true);
    const left = new Set(recordsOf(disk).map((record) => record.key));
    expect([...left].filter((key) => /^key-[0-7]$/.test(key)).length).toBeLessThan(8);
  });

  test("are kept while an older record of their key lies in a segment that is not compacted", async () => {
    const disk = simDisk();
    const engine = await openTiny(disk, { mayDropTombstone: () => true });
    const victim = addressOf({ partition: 1, low: 5n, key: "victim" });
    // one segment: the old value, and enough that lives for it to be left alone
    await engine.put(writeOf(victim, 1, 80));
    await engine.put(writeOf(nthAddress(0), 2, 740));
    // the next: the tombstone, and what is overwritten in the one after
    await engine.put(tombstoneOf(victim, 3));
    await engine.put(writeOf(nthAddress(10), 4, 800));
    await engine.put(writeOf(nthAddress(10), 5, 800));
    await engine.put(writeOf(nthAddress(11), 6, 900));
    await settle();
    await engine.compact(0.35);
    expect(engine.stats().compactedBytes).toBe(64);
    const older = recordsOf(disk).filter((record) => record.key === "victim");
    const isStillThere = older.some((record) => (record.identity.flags & 1) === 0);
    expect(isStillThere).toBe(true);
    expect((await engine.get(victim))?.isTombstone).toBe(true);
    await engine.close();
    expect((await (await openTiny(disk)).get(victim))?.isTombstone).toBe(true);
  });
});
