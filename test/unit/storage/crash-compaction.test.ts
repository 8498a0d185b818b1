/**
 * The crash points of compaction and of index files, CP-11 … CP-19 of the reliability notes §3.8.
 */

import { describe, expect, test } from "vitest";
import { isMutation, type SimDisk } from "../../sim/sim-disk.ts";
import { type CrashExpectation, judgeRecovery } from "../../support/crash-ledger.ts";
import { OUTCOMES, openAnew } from "../../support/crash-sequences.ts";
import {
  DROP,
  fragmented,
  imagesDuring,
  KEEP,
  problemsAfter,
  readOutcome,
  Store,
  textOf,
} from "../../support/crash-store.ts";
import { TINY_GARBAGE } from "../../support/log-store.ts";
import { nthAddress, settle } from "../../support/storage-fixtures.ts";
import { indexPaths, recordOf, segmentIds } from "../../support/store-surgery.ts";

describe("compaction", () => {
  test("scenario 12: compaction-crash-matrix: CP-11 cut after each of its disk calls: the live set is the same, and compacting again is harmless", async () => {
    const made = await fragmented();
    const expected = made.ledger.now();
    const images = await imagesDuring(
      made.disk,
      () => true,
      () => made.engine.compact(TINY_GARBAGE),
    );
    expect(images.length).toBeGreaterThan(7);
    for (const { call, image } of images) {
      for (const outcome of Object.values(OUTCOMES)) {
        expect({ call, problems: await problemsAfter(image(outcome), expected) }).toEqual({ call, problems: [] });
      }
    }
    await made.engine.compact(TINY_GARBAGE);
    expect((await judgeRecovery(made.engine, { ...expected, usedActors: [], clean: "never" })).problems).toEqual([]);
  });

  test("CP-12 outputs that are durable while the manifest's edit is lost are removed", async () => {
    const made = await fragmented();
    const before = segmentIds(made.disk);
    const images = await imagesDuring(
      made.disk,
      ({ name, path }) => name === "write" && path.startsWith("MANIFEST"),
      () => made.engine.compact(TINY_GARBAGE),
    );
    const lost = images.find(({ image }) => segmentIds(image(DROP)).some((id) => !before.includes(id)));
    const disk = lost?.image(DROP) ?? made.disk;
    const orphans = segmentIds(disk).filter((id) => !before.includes(id));
    expect(orphans.length).toBeGreaterThan(0);
    expect(await problemsAfter(disk.copy(), made.ledger.now())).toEqual([]);
    await openAnew(disk);
    await settle();
    for (const orphan of orphans) expect(segmentIds(disk)).not.toContain(orphan);
  });

  test("CP-13 inputs left behind by a durable edit are removed at the next start, and revive nothing", async () => {
    const made = await fragmented({ mayDropTombstone: () => true });
    const images = await imagesDuring(
      made.disk,
      ({ name, path }) => name === "unlink" && path.endsWith(".log"),
      () => made.engine.compact(TINY_GARBAGE),
    );
    const disk = images[0]?.image(DROP) ?? made.disk;
    const left = segmentIds(disk);
    const engine = await openAnew(disk);
    await settle();
    expect(segmentIds(disk).length).toBeLessThan(left.length);
    for (let key = 0; key < 6; key += 1) {
      const isDeleted = key === 2;
      expect(await readOutcome(engine, key)).toBe(
        isDeleted ? await readOutcome(made.engine, 2) : await readOutcome(made.engine, key),
      );
    }
    expect(["absent", "tombstone"]).toContain(await readOutcome(engine, 2));
  });

  test("CP-14 inputs are unlinked only after outputs and the manifest's edit are durable", async () => {
    const made = await fragmented();
    const calls: string[] = [];
    made.disk.duringOperation = (_n, name, path) => {
      if (isMutation(name)) calls.push(`${name} ${path.replace(/[0-9a-f]{16}/, "*")}`);
    };
    await made.engine.compact(TINY_GARBAGE);
    await settle();
    // segments without live records go before, for they need no output
    const indexed = calls.findIndex((call) => call.startsWith("rename segments/*.idx"));
    expect(indexed).toBeGreaterThan(0);
    const unlink = calls.findIndex((call, at) => at > indexed && call.startsWith("unlink") && call.endsWith(".log"));
    const edit = calls.slice(0, unlink).findLastIndex((call) => call.startsWith("write MANIFEST"));
    const outputs = calls.slice(0, edit);
    const lastData = outputs.findLastIndex((call) => call.startsWith("write segments/*.log"));
    const afterData = outputs.slice(lastData);
    expect(unlink).toBeGreaterThan(0);
    expect(edit).toBeGreaterThan(0);
    expect(outputs.some((call) => call.startsWith("create segments/*.log"))).toBe(true);
    expect(
      afterData.some((call) => call === "fdatasync segments/*.log") && afterData.includes("fsyncDirectory segments"),
    ).toBe(true);
  });

  test("CP-15 a key stays deleted when its tombstone is compacted without the older segment that holds its value", async () => {
    const made = await new Store({ mayDropTombstone: () => true }).open();
    await made.put(0, 1, 40);
    await made.put(1, 2, 800);
    await made.delete(0, 3);
    for (let serial = 4; serial < 12; serial += 1) await made.put(2, serial, 200);
    const [oldest = 0] = segmentIds(made.disk);
    const tombstoneSegment = recordOf(made.disk, nthAddress(0).key).segment;
    await made.engine.compact(0.3);
    await settle();
    expect(segmentIds(made.disk)).toContain(oldest);
    expect(segmentIds(made.disk)).not.toContain(tombstoneSegment);
    const engine = await openAnew(made.disk.imageAfter(DROP));
    for (const each of [made.engine, engine]) {
      expect(await readOutcome(each, 0)).toBe("tombstone");
      expect(await readOutcome(each, 1)).toBe(textOf(2, 800));
    }
  });

  test("CP-15 a tombstone whose older values are all gone is dropped, if replicas allow it, and the key stays absent", async () => {
    for (const mayDrop of [true, false]) {
      const made = await fragmented({ mayDropTombstone: () => mayDrop });
      for (const [at, key] of [0, 1, 3, 4, 5, 7, 0, 1].entries()) await made.put(key, 40 + at, 300);
      for (let round = 0; round < 3; round += 1) await made.engine.compact(0.01);
      const engine = await openAnew(made.disk.imageAfter(DROP));
      expect(await readOutcome(made.engine, 2)).toBe(mayDrop ? "absent" : "tombstone");
      expect(await readOutcome(engine, 2)).toBe(mayDrop ? "absent" : "tombstone");
    }
  });

  test("CP-16, CP-17 deletes and puts that race with compaction win, before and after a crash", async () => {
    let raceCount = 0;
    for (let delay = 0; delay < 2000; delay += 11) {
      const made = await fragmented({ mayDropTombstone: () => true });
      let isCompacting = true;
      const compaction = made.engine.compact(TINY_GARBAGE).finally(() => {
        isCompacting = false;
      });
      for (let turn = 0; turn < delay; turn += 1) await Promise.resolve();
      if (isCompacting) raceCount += 1;
      await Promise.all([made.delete(3, 30), made.put(4, 31, 100), made.put(5, 32, 100), made.put(0, 33, 100)]);
      const image = made.disk.imageAfter(DROP);
      await compaction;
      for (const engine of [made.engine, await openAnew(image), await openAnew(made.disk.imageAfter(DROP))]) {
        expect(["absent", "tombstone"]).toContain(await readOutcome(engine, 3));
        for (const [key, serial] of [
          [4, 31],
          [5, 32],
          [0, 33],
        ] as const) {
          expect(await readOutcome(engine, key)).toBe(textOf(serial, 100));
        }
      }
      if (!isCompacting && delay > 0 && raceCount * 11 < delay - 200) break;
    }
    expect(raceCount).toBeGreaterThan(20);
  });

  test("CP-17 a put after compaction wins over the copy, although its segment was made before the copy's", async () => {
    const made = await fragmented();
    await made.engine.compact(TINY_GARBAGE);
    const newest = Math.max(...segmentIds(made.disk));
    for (let key = 0; key < 6; key += 1) await made.put(key, 60 + key, 30);
    expect(recordOf(made.disk, nthAddress(3).key).segment).toBeLessThan(newest);
    const engine = await openAnew(made.disk.imageAfter(DROP));
    for (let key = 0; key < 6; key += 1) expect(await readOutcome(engine, key)).toBe(textOf(60 + key, 30));
  });
});

describe("index files", () => {
  test("CP-18 one that is cut, rotten, foreign or stale is ignored: the scan says the same", async () => {
    const made = await fragmented();
    await made.close();
    const expected: CrashExpectation = { ...made.ledger.now(), clean: "maybe" };
    const paths = indexPaths(made.disk);
    expect(paths.length).toBeGreaterThan(1);
    const [first = "", second = ""] = paths;
    const damages: ((disk: SimDisk) => void)[] = [
      ...[0, 1, 20, made.disk.peek(first).length - 1].map((size) => (disk: SimDisk) => disk.resize(first, size)),
      (disk) => disk.poke(first, disk.peek(first).length, Uint8Array.of(0)),
      (disk) => disk.place(first, disk.peek(second)),
      (disk) => disk.place(first, undefined),
    ];
    for (let offset = 0; offset < made.disk.peek(first).length; offset += 1) {
      damages.push((disk) => disk.flipBit(first, { offset, bit: offset % 8 }));
    }
    for (const damage of damages) {
      const disk = made.disk.copy();
      damage(disk);
      const engine = await openAnew(disk);
      expect((await judgeRecovery(engine, expected)).problems).toEqual([]);
      expect(engine.suspectPartitions()).toEqual([]);
    }
  });

  test("CP-19 one that was being written is removed, and so is its temporary file", async () => {
    const images: SimDisk[] = [];
    const made = new Store();
    made.disk.duringOperation = (_n, name, path) => {
      if (isMutation(name) && path.includes(".idx"))
        images.push(made.disk.imageAfter(KEEP), made.disk.imageAfter(DROP));
    };
    await made.open();
    for (let serial = 1; serial <= 12; serial += 1) await made.put(serial % 4, serial, 300);
    await settle();
    expect(images.length).toBeGreaterThan(4);
    for (const disk of images) {
      await openAnew(disk);
      await settle();
      expect(disk.paths().filter((path) => path.endsWith(".tmp"))).toEqual([]);
    }
  });
});
