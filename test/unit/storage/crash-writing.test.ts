/**
 * The crash points of writing and of the manifest, CP-01 … CP-10 of the reliability notes §3.8. CP-37 (hint log) is tested with
 * the hints; CP-38 and CP-39 (hand-over of data between nodes) with the hand-over.
 */

import { beforeEach, describe, expect, test } from "vitest";
import type { SimDisk } from "../../sim/sim-disk.ts";
import { CrashLedger, judgeRecovery } from "../../support/crash-ledger.ts";
import { OUTCOMES, openAnew } from "../../support/crash-sequences.ts";
import { DROP, imagesDuring, KEEP, problemsAfter, readOutcome, Store, textOf } from "../../support/crash-store.ts";
import { openTiny } from "../../support/log-store.ts";
import { seededDraws } from "../../support/seeded.ts";
import { nthAddress, settle, writeOf } from "../../support/storage-fixtures.ts";
import { manifestOf, recordOf, segmentIds, segmentPaths, transplant } from "../../support/store-surgery.ts";

let store: Store;
beforeEach(async () => {
  store = await new Store().open();
});

describe("writing", () => {
  test("CP-01 cut between the write and its durability: the record is absent or present whole", async () => {
    await store.put(1, 1);
    const before = store.ledger.now();
    const images = await imagesDuring(
      store.disk,
      (call) => call.name === "write",
      () => store.put(2, 2, 700),
    );
    expect(images.length).toBeGreaterThan(0);
    const ledger = CrashLedger.from(before);
    ledger.begin(2, writeOf(nthAddress(2), 2, 700));
    for (const { image } of images) {
      for (const outcome of Object.values(OUTCOMES))
        expect(await problemsAfter(image(outcome), ledger.now())).toEqual([]);
    }
  });

  test("CP-02 cut after durability, before the answer: the record is present, and so is every answered one", async () => {
    await store.put(1, 1);
    const image = await imagesDuring(
      store.disk,
      (call) => call.name === "write",
      () => store.put(2, 2),
    );
    // the call after it has written: pages that are kept are as good as durable
    const kept = image[0]?.image(KEEP);
    if (kept === undefined) throw new Error("the write was not seen");
    expect(await readOutcome(await openAnew(kept), 2)).toBe(textOf(2));
    expect(await problemsAfter(store.disk.crash(DROP), store.ledger.now())).toEqual([]);
  });

  test("CP-03 a record torn at any byte is cut off, and the one before it is intact", async () => {
    await store.put(1, 1);
    const before = store.disk.copy();
    const expected = store.ledger.now();
    await store.put(2, 2, 61);
    const record = recordOf(store.disk, nthAddress(2).key);
    for (let length = 1; length < record.length; length += 1) {
      const torn = before.copy();
      transplant(store.disk, torn, { ...record, length });
      const isPadOnly = Buffer.compare(torn.peek(record.path), store.disk.peek(record.path)) === 0;
      if (isPadOnly) continue;
      const engine = await openAnew(torn);
      const { problems } = await judgeRecovery(engine, expected);
      expect({ length, problems, suspects: engine.suspectPartitions() }).toEqual({
        length,
        problems: [],
        suspects: [],
      });
      expect(engine.recovery).toMatchObject({ mode: "unclean", isNewActor: true, corruptRecordCount: 0 });
      expect(engine.recovery.truncatedBytes).toBeGreaterThan(0);
    }
  });

  test("CP-04 of an unanswered group whose second record alone is there, both are dropped", async () => {
    await store.put(1, 1);
    const before = store.disk.copy();
    const expected = store.ledger.now();
    await store.putTogether([
      { key: 2, serial: 2, size: 50 },
      { key: 3, serial: 3, size: 50 },
    ]);
    transplant(store.disk, before, recordOf(store.disk, nthAddress(3).key));
    const engine = await openAnew(before.copy());
    expect(await readOutcome(engine, 3)).toBe("absent");
    expect(engine.suspectPartitions()).toEqual([]);
    expect(await problemsAfter(before, expected)).toEqual([]);
  });

  test("CP-05 any subset of the pages of a group of 256 leaves every answered group intact", async () => {
    const big = await new Store({ segmentBytes: 128 * 1024 }).open();
    await big.putTogether(Array.from({ length: 30 }, (_, n) => ({ key: n, serial: n + 1, size: 300 })));
    const before = big.ledger.now();
    const group = Array.from({ length: 256 }, (_, n) => ({ key: n, serial: n + 100, size: 300 }));
    const images: SimDisk[] = [];
    big.disk.duringOperation = (_n, name, path) => {
      if (name !== "write" || !path.endsWith(".log")) return;
      for (let seed = 1; seed <= 40; seed += 1) {
        images.push(
          big.disk.imageAfter({ pages: seed % 2 === 0 ? "random" : "mixed", names: "random" }, seededDraws(seed)),
        );
      }
    };
    await big.putTogether(group);
    expect(images.length).toBeGreaterThanOrEqual(40);
    const ledger = CrashLedger.from(before);
    for (const { key, serial, size } of group) ledger.begin(serial, writeOf(nthAddress(key), serial, size));
    for (const image of images) {
      const engine = await openTiny(image, { segmentBytes: 128 * 1024, random: seededDraws(99) });
      expect((await judgeRecovery(engine, ledger.now())).problems).toEqual([]);
      expect(engine.suspectPartitions()).toEqual([]);
    }
  });

  test("CP-06 a file that grew before its data came ends where its data ends", async () => {
    await store.put(1, 1);
    const expected = store.ledger.now();
    const disk = store.disk.crash(DROP);
    const [path = ""] = segmentPaths(disk).slice(-1);
    disk.resize(path, 20_000);
    const engine = await openAnew(disk.copy());
    expect(engine.suspectPartitions()).toEqual([]);
    expect(await problemsAfter(disk, expected)).toEqual([]);
  });

  test("CP-07 a new segment whose name was lost: the one before is intact, and its id is never used again", async () => {
    for (let serial = 1; serial <= 3; serial += 1) await store.put(serial, serial, 300);
    const idsBefore = segmentIds(store.disk);
    const seen = new Set(idsBefore);
    const images = await imagesDuring(
      store.disk,
      (call) => call.name !== "write",
      () => store.put(9, 9, 800),
    );
    for (const id of segmentIds(store.disk)) seen.add(id);
    expect(seen.size).toBeGreaterThan(idsBefore.length);
    expect(images.length).toBeGreaterThan(0);
    let newCount = 0;
    for (const { image } of images) {
      const disk = image({ ...DROP });
      const engine = await openAnew(disk);
      for (const key of [1, 2, 3]) expect(await readOutcome(engine, key)).toBe(textOf(key, 300));
      const idsAtOpen = new Set(segmentIds(disk));
      await engine.put(writeOf(nthAddress(20), 20, 800));
      await engine.put(writeOf(nthAddress(21), 21, 800));
      const newIds = segmentIds(disk).filter((id) => !idsAtOpen.has(id));
      newCount += newIds.length;
      for (const id of newIds) expect(seen.has(id) && !idsBefore.includes(id)).toBe(false);
    }
    expect(newCount).toBeGreaterThan(0);
  });

  test("CP-08 a new segment whose header is half written is removed, and numbering goes on", async () => {
    await store.put(1, 1, 300);
    const images = await imagesDuring(
      store.disk,
      (call) => call.name === "create" && call.path.endsWith(".log"),
      async () => {
        await store.put(2, 2, 300);
        await store.put(3, 3, 300);
      },
    );
    const target = images.at(-1);
    const path = target?.call.split(" ")[1] ?? "";
    const header = store.disk.peek(path).subarray(0, 64);
    for (const length of [0, 1, 8, 31, 63]) {
      const disk = (target?.image(KEEP) ?? store.disk).copy();
      disk.poke(path, 0, header.subarray(0, length));
      const engine = await openAnew(disk);
      expect(await readOutcome(engine, 1)).toBe(textOf(1, 300));
      expect(engine.suspectPartitions()).toEqual([]);
      await settle();
      expect(disk.paths()).not.toContain(path);
      await engine.put(writeOf(nthAddress(1), 50));
      const again = await openAnew(disk.crash(DROP));
      expect(await readOutcome(again, 1)).toBe(textOf(50));
    }
  });
});

describe("the manifest", () => {
  test("CP-09 of an edit torn at any byte, the last whole edit wins", async () => {
    await store.put(1, 1);
    await store.engine.leaseCounters(1000);
    store.ledger.lease(1000);
    const before = store.disk.copy();
    const expected = store.ledger.now();
    await store.engine.leaseCounters(2000);
    const path = manifestOf(store.disk);
    const [old, grown] = [before.peek(path), store.disk.peek(path)];
    expect(grown.length).toBeGreaterThan(old.length);
    for (let length = old.length; length <= grown.length; length += 1) {
      const torn = before.copy();
      torn.resize(path, length);
      torn.poke(path, old.length, grown.subarray(old.length, length));
      const engine = await openAnew(torn.copy());
      expect(engine.identity.leasedThrough).toBe(length === grown.length ? 2000 : 1000);
      expect(await problemsAfter(torn, expected)).toEqual([]);
    }
  });

  test("CP-10 cut anywhere while CURRENT is swung: the old manifest or the new one, never none", async () => {
    await store.put(1, 1);
    await store.engine.leaseCounters(1);
    const images = await imagesDuring(
      store.disk,
      ({ path }) => path.startsWith("CURRENT") || path.startsWith("MANIFEST") || path === "",
      async () => {
        for (let through = 2; through < 60; through += 1) await store.engine.leaseCounters(through);
      },
    );
    expect(images.some(({ call }) => call.startsWith("rename CURRENT"))).toBe(true);
    store.ledger.lease(1);
    for (const { image } of images) {
      for (const outcome of Object.values(OUTCOMES)) {
        expect(await problemsAfter(image(outcome), store.ledger.now())).toEqual([]);
      }
    }
  });
});
