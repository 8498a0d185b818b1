/**
 * Rot and errors of the disk, CP-20 … CP-28 and CP-36 of the reliability notes §3.8.
 */

import { beforeEach, describe, expect, test } from "vitest";
import { recordBytes } from "../../../storage/format/record.ts";
import type { SimDisk } from "../../sim/sim-disk.ts";
import { PAGE_BYTES } from "../../sim/sim-file.ts";
import { OUTCOMES, openAnew } from "../../support/crash-sequences.ts";
import { DROP, fragmented, KEEP, problemsAfter, readOutcome, Store, textOf } from "../../support/crash-store.ts";
import { openTiny, TINY_GARBAGE } from "../../support/log-store.ts";
import { seededDraws } from "../../support/seeded.ts";
import { HandClock, nthAddress, settle } from "../../support/storage-fixtures.ts";
import { indexPaths, recordOf, segmentPaths } from "../../support/store-surgery.ts";

let store: Store;
beforeEach(async () => {
  store = await new Store().open();
});

describe("rot", () => {
  test.each(["kept", "lost"])(
    "CP-20 one bit turned over anywhere in a sealed record is found, with its index file %s: an error or a suspect partition, others intact",
    async (indexFile) => {
      const made = await new Store().open();
      for (let key = 0; key < 9; key += 1) await made.put(key, key + 1, 200);
      await made.close();
      const victim = recordOf(made.disk, nthAddress(1).key);
      const partition = nthAddress(1).partition;
      for (let offset = 0; offset < victim.length; offset += 3) {
        const disk = made.disk.copy();
        disk.flipBit(victim.path, { offset: victim.offset + offset, bit: offset % 8 });
        if (indexFile === "lost") for (const path of indexPaths(disk)) disk.place(path, undefined);
        const engine = await openAnew(disk);
        const outcome = await readOutcome(engine, 1);
        const isFound = outcome === "CORRUPT_RECORD" || (outcome === "absent" && engine.isSuspect(partition));
        expect({ offset, outcome, isFound }).toEqual({ offset, outcome, isFound: true });
        for (const key of [0, 2, 3, 4, 5, 6, 7, 8]) expect(await readOutcome(engine, key)).toBe(textOf(key + 1, 200));
      }
    },
  );

  test("CP-21 a wrong length hides no later record", async () => {
    const made = await new Store({ segmentBytes: 4096 }).open();
    for (let key = 0; key < 8; key += 1) await made.put(key, key + 1, 200);
    await made.close();
    const victim = recordOf(made.disk, nthAddress(2).key);
    for (const length of [
      0,
      0xffff_ffff,
      0x7fff_ffff,
      victim.identity.valueLength + 8,
      victim.identity.valueLength - 8,
    ]) {
      const disk = made.disk.copy();
      const word = Buffer.alloc(4);
      word.writeUInt32LE(length);
      disk.poke(victim.path, victim.offset + 40, word);
      for (const path of indexPaths(disk)) disk.place(path, undefined);
      const engine = await openTiny(disk, { segmentBytes: 4096, random: seededDraws(8) });
      for (const key of [0, 1, 3, 4, 5, 6, 7]) expect(await readOutcome(engine, key)).toBe(textOf(key + 1, 200));
      expect(engine.isSuspect(nthAddress(2).partition) || (await readOutcome(engine, 2)) === "CORRUPT_RECORD").toBe(
        true,
      );
      expect(engine.identity.pastActors).toContain(made.engine.identity.actor);
    }
  });

  test.each(["an older version of itself", "a page of another file", "another page of its file"])(
    "CP-22 a page replaced by %s is found",
    async (kind) => {
      const start = { segmentBytes: 4 * PAGE_BYTES };
      const made = await new Store(start).open();
      for (let key = 0; key < 10; key += 1) await made.put(key, key + 1, 400);
      const older = made.disk.copy();
      for (let key = 10; key < 80; key += 1) await made.put(key, key + 1, 400);
      await made.close();
      const [first = "", second = ""] = segmentPaths(made.disk);
      const page = (disk: SimDisk, path: string, n: number): Uint8Array =>
        disk.peek(path).slice(n * PAGE_BYTES, (n + 1) * PAGE_BYTES);
      const replacement = kind.startsWith("an older")
        ? page(older, first, 1)
        : kind.startsWith("a page")
          ? page(made.disk, second, 1)
          : page(made.disk, first, 2);
      for (const indexFile of ["kept", "lost"]) {
        const disk = made.disk.copy();
        disk.poke(first, PAGE_BYTES, replacement);
        if (indexFile === "lost") for (const path of indexPaths(disk)) disk.place(path, undefined);
        const engine = await openTiny(disk, { ...start, random: seededDraws(8) });
        let damaged = 0;
        for (let key = 0; key < 40; key += 1) {
          const outcome = await readOutcome(engine, key);
          if (outcome === textOf(key + 1, 400)) continue;
          damaged += 1;
          expect(outcome === "CORRUPT_RECORD" || engine.isSuspect(nthAddress(key).partition)).toBe(true);
        }
        expect(damaged).toBeGreaterThan(0);
        expect(damaged).toBeLessThan(20);
      }
    },
  );

  test("scenario 11: torn-tail-vs-rot: CP-23 rot of an answered record in the open segment makes it suspect: it is not taken for a torn tail", async () => {
    const made = await new Store({ segmentBytes: 8192 }).open();
    for (let key = 0; key < 6; key += 1) await made.put(key, key + 1, 100);
    const disk = made.disk.crash(DROP);
    for (const key of [0, 2, 4]) {
      const victim = recordOf(disk, nthAddress(key).key);
      for (const offset of [0, 20, 41, 60, victim.length - 9]) {
        const rotten = disk.copy();
        rotten.flipBit(victim.path, { offset: victim.offset + offset, bit: 3 });
        const engine = await openTiny(rotten, { segmentBytes: 8192, random: seededDraws(8) });
        expect({ key, offset, isSuspect: engine.isSuspect(nthAddress(key).partition) }).toEqual({
          key,
          offset,
          isSuspect: true,
        });
        for (let other = 0; other < 5; other += 1) {
          if (other !== key) expect(await readOutcome(engine, other)).toBe(textOf(other + 1, 100));
        }
        const again = await openTiny(rotten.crash(DROP), { segmentBytes: 8192, random: seededDraws(9) });
        expect(again.isSuspect(nthAddress(key).partition)).toBe(true);
      }
    }
  });

  test("CP-23 an idle store proves its last group by a mark, so that rot in it is not taken for a torn tail either", async () => {
    for (const isIdle of [false, true]) {
      const clock = new HandClock();
      const made = await new Store({ clock }).open();
      await made.put(1, 1, 100);
      await settle();
      if (isIdle) clock.advance(1000);
      await settle();
      const disk = made.disk.crash(DROP);
      const victim = recordOf(disk, nthAddress(1).key);
      disk.flipBit(victim.path, { offset: victim.offset + 70, bit: 1 });
      const engine = await openAnew(disk);
      expect({ isIdle, isSuspect: engine.isSuspect(nthAddress(1).partition) }).toEqual({ isIdle, isSuspect: isIdle });
      expect(engine.recovery).toMatchObject({ mode: "unclean", isNewActor: true });
    }
  });
});

describe("errors of the disk", () => {
  test("CP-24 after a failed write the store has failed for good; the next start draws a new actor", async () => {
    await store.put(1, 1);
    const { actor } = store.engine.identity;
    const heard: Error[] = [];
    store.engine.onFailure((error) => heard.push(error));
    store.disk.inject({ on: ["write", "fdatasync"], code: "EIO", times: 1, path: "segments/" });
    await expect(store.put(2, 2)).rejects.toMatchObject({ code: "STORE_FAILED" });
    await expect(store.put(3, 3)).rejects.toMatchObject({ code: "STORE_FAILED" });
    await expect(store.engine.leaseCounters(9)).rejects.toMatchObject({ code: "STORE_FAILED" });
    expect(heard).toHaveLength(1);
    expect(store.engine.failure).toMatchObject({ code: "STORE_FAILED" });
    expect(await readOutcome(store.engine, 1)).toBe(textOf(1));
    await store.engine.close();
    const engine = await openAnew(store.disk.kill());
    expect(engine.recovery).toMatchObject({ mode: "unclean", isNewActor: true });
    expect(engine.identity.pastActors).toContain(actor);
    expect(await readOutcome(engine, 1)).toBe(textOf(1));
  });

  test.each(["write", "fdatasync"] as const)(
    "CP-25 pages lost after a failed %s: what was answered is intact, who waited was told unknown",
    async (on) => {
      for (let skip = 0; skip < 6; skip += 1) {
        const made = await new Store().open();
        await made.put(1, 1, 300);
        made.disk.inject({ on: [on], code: "EIO", times: 1, skip });
        let unknownCount = 0;
        for (let serial = 2; serial < 9; serial += 1) {
          const outcome = await made.put(serial, serial, 300).catch((error: unknown) => error);
          if (outcome === undefined) continue;
          expect(outcome).toMatchObject({ code: "STORE_FAILED" });
          unknownCount += 1;
        }
        expect({ skip, isTold: unknownCount > 0 }).toEqual({ skip, isTold: true });
        await settle();
        for (const outcome of [DROP, KEEP])
          expect(await problemsAfter(made.disk.imageAfter(outcome), made.ledger.now())).toEqual([]);
      }
    },
  );

  test("CP-25 what a start finds of a group that failed, in the cache alone, is durable before anyone reads it", async () => {
    const made = await new Store({ segmentBytes: 128 * 1024 }).open();
    await made.put(0, 1, 300);
    made.disk.inject({ on: ["write"], code: "EIO", times: 1, path: ".log" });
    // one group of many pages: what seals its segment touches the last of them only
    const serials = [2, 3, 4, 5, 6, 7, 8];
    const ends = await Promise.allSettled(serials.map((serial) => made.put(serial, serial, 2 * PAGE_BYTES)));
    expect(ends.map(({ status }) => status)).toEqual(serials.map(() => "rejected"));
    const disk = made.disk.kill();
    const first = await openAnew(disk);
    for (const serial of serials) expect(await readOutcome(first, serial)).toBe(textOf(serial, 2 * PAGE_BYTES));
    const again = await openAnew(disk.crash(DROP));
    for (const serial of serials) expect(await readOutcome(again, serial)).toBe(textOf(serial, 2 * PAGE_BYTES));
  });

  test("CP-26 no space at any byte of a group: it left no trace, the store goes on, the next start is clean", async () => {
    for (let bytes = 1; bytes < 2 * recordBytes(5, 60); bytes += 7) {
      const made = await new Store().open();
      await made.put(1, 1);
      const heal = made.disk.inject({ on: ["write"], code: "ENOSPC", path: "segments/", afterBytes: bytes });
      const puts = await Promise.allSettled([made.put(2, 2, 60), made.put(3, 3, 60)]);
      for (const put of puts) expect(put).toMatchObject({ status: "rejected", reason: { code: "DISK_FULL" } });
      expect(await readOutcome(made.engine, 1)).toBe(textOf(1));
      expect(await problemsAfter(made.disk.imageAfter(DROP), made.ledger.now())).toEqual([]);
      heal();
      await made.put(4, 4, 60);
      await made.close();
      const engine = await openAnew(made.disk);
      expect(engine.recovery).toMatchObject({
        mode: "clean",
        isNewActor: false,
        truncatedBytes: 0,
        corruptRecordCount: 0,
      });
      expect([await readOutcome(engine, 2), await readOutcome(engine, 3)]).toEqual(["absent", "absent"]);
      expect(await readOutcome(engine, 4)).toBe(textOf(4, 60));
    }
  });

  test.each(["segments/", "MANIFEST", "CLEAN", ""])(
    "CP-27 no space while compacting, in files of %j: the live set is intact",
    async (path) => {
      const events: string[] = [];
      for (let bytes = 1; bytes < 1500; bytes += 131) {
        const made = await fragmented({ events });
        const heal = made.disk.inject({ on: ["write"], code: "ENOSPC", path, afterBytes: bytes });
        await made.engine.compact(TINY_GARBAGE);
        await made.engine.close();
        expect(made.engine.failure).toBeUndefined();
        expect(await problemsAfter(made.disk.imageAfter(DROP), { ...made.ledger.now(), clean: "maybe" })).toEqual([]);
        heal();
      }
      // space did run out
      expect(events).toContain(path === "CLEAN" ? "storage.not-marked-clean" : "storage.compaction-without-space");
    },
  );

  test("CP-28 no space, and no truncation either: a torn tail that nobody was promised", async () => {
    await store.put(1, 1);
    store.disk.inject({ on: ["write"], code: "ENOSPC", path: "segments/", afterBytes: 50 });
    store.disk.inject({ on: ["truncate"], code: "EIO" });
    await expect(store.put(2, 2, 100)).rejects.toMatchObject({ code: "STORE_FAILED" });
    for (const outcome of Object.values(OUTCOMES)) {
      expect(await problemsAfter(store.disk.imageAfter(outcome), store.ledger.now())).toEqual([]);
    }
  });

  test("CP-36 a disk that became read-only: writes fail at once, reads go on", async () => {
    await store.put(1, 1);
    store.disk.inject({
      on: ["write", "create", "truncate", "rename", "unlink", "makeDirectory", "fdatasync"],
      code: "EROFS",
    });
    await expect(store.put(2, 2)).rejects.toMatchObject({ code: "STORE_FAILED" });
    expect(await readOutcome(store.engine, 1)).toBe(textOf(1));
    expect((await store.engine.scan(nthAddress(1).partition, 0n, 5)).entries).toHaveLength(1);
    expect(store.engine.failure).toBeDefined();
  });
});
