import { beforeEach, describe, expect, test } from "vitest";
import type { LogEngine } from "../../../storage/index.ts";
import type { LogEngineOptions } from "../../../storage/log-options.ts";
import { SimDisk } from "../../sim/sim-disk.ts";
import { openTiny } from "../../support/log-store.ts";
import { seededDraws } from "../../support/seeded.ts";
import { digestOfWrite, HandClock, nthAddress, settle, tombstoneOf, writeOf } from "../../support/storage-fixtures.ts";

const KIB = 1024;
const FILL = "documents/fill";

let clock: HandClock;
let disk: SimDisk;
let engine: LogEngine;
let events: string[];

/** Another program takes so much of the disk that this share of it is used. */
async function fillTo(share: number): Promise<void> {
  disk.place(FILL, undefined);
  const { freeBytes, totalBytes } = await disk.freeBytes();
  disk.place(FILL, Buffer.alloc(Math.max(0, Math.floor(share * totalBytes - (totalBytes - freeBytes)))));
  clock.advance(2_000);
  await settle();
}

async function open(options: Partial<LogEngineOptions> = {}): Promise<void> {
  events = [];
  clock = new HandClock();
  engine = await openTiny(disk, { clock, events, ballastBytes: 4 * KIB, ...options });
}

describe("a store on a disk that fills up", () => {
  beforeEach(async () => {
    disk = new SimDisk({ random: seededDraws(1), capacityBytes: 512 * KIB });
    await open();
    for (let n = 0; n < 20; n += 1) await engine.put(writeOf(nthAddress(n), n, 100));
  });

  test("refuses puts from 90 % on, deletes from 95 %, and says at which level it is", async () => {
    expect(engine.disk).toMatchObject({ level: "ok", totalBytes: 512 * KIB });
    const levels: unknown[] = [];
    for (const share of [0.81, 0.86, 0.91, 0.96]) {
      await fillTo(share);
      const put = await engine.put(writeOf(nthAddress(1), 100, 10)).catch((error: unknown) => error);
      const deleted = await engine.put(tombstoneOf(nthAddress(2), 101)).catch((error: unknown) => error);
      levels.push([engine.disk.level, put === undefined, deleted === undefined]);
      if (put !== undefined)
        expect(put).toMatchObject({ code: "DISK_FULL", message: expect.stringContaining("reserved") });
    }
    expect(levels).toEqual([
      ["warn", true, true],
      ["no_growth", true, true],
      ["no_puts", false, true],
      ["compaction_only", false, false],
    ]);
    expect(events.filter((event) => event === "storage.disk-level")).toHaveLength(4);
  });

  test("lets deletes into the reserve that puts must leave, as far as compaction can do without it", async () => {
    await engine.close();
    await open({ reserveBytes: 60 * KIB });
    await fillTo(0.91);
    for (let n = 0; n < 20; n += 1) await engine.put(tombstoneOf(nthAddress(n), 200 + n));
    expect(engine.disk.level).toBe("no_puts");
    await fillTo(0.975);
    expect(await engine.reap(3, [{ hash: nthAddress(3).hash, digest: digestOfWrite(203) }])).toBe(1);
  });

  test("looks whenever a segment is full, so that a small disk does not pass a level unseen", async () => {
    disk.place(FILL, Buffer.alloc(470 * KIB));
    for (let n = 0; n < 12; n += 1) await engine.put(writeOf(nthAddress(n), 300 + n, 100)).catch(() => undefined);
    await settle();
    expect(engine.disk.level).toBe("no_puts");
  });

  test("reads, scans, reaps and keeps documents at every level, and goes on by itself when space comes back", async () => {
    await fillTo(0.97);
    expect(await engine.get(nthAddress(3))).toMatchObject({ digest: digestOfWrite(3) });
    expect((await engine.scan(0, 0n, 100)).entries).toHaveLength(5);
    expect(await engine.reap(3, [{ hash: nthAddress(3).hash, digest: digestOfWrite(3) }])).toBe(1);
    await engine.writeDocument("a", Buffer.from("b"));
    await fillTo(0.5);
    await engine.put(writeOf(nthAddress(1), 102, 10));
    expect(engine.disk.level).toBe("ok");
    await engine.close();
    const again = await openTiny(disk);
    expect(again.recovery.mode).toBe("clean");
    expect(again.digestOf(nthAddress(1))).toBe(digestOfWrite(102));
    expect(again.digestOf(nthAddress(3))).toBe(0n);
  });

  test("lays its ballast down when space gets scarce, and throws it off at 97 %, but for what a start needs", async () => {
    expect(disk.paths()).not.toContain("BALLAST");
    disk.place(FILL, Buffer.alloc(416 * KIB));
    clock.advance(2_000);
    for (let turn = 0; turn < 20; turn += 1) {
      await settle(1);
      clock.advance(20);
    }
    expect([engine.disk.level, engine.disk.hasBallast, disk.peek("BALLAST").length]).toEqual(["warn", true, 4 * KIB]);
    await fillTo(0.98);
    expect([engine.disk.hasBallast, disk.peek("BALLAST").length]).toEqual([false, KIB / 2]);
    expect(events).toContain("storage.ballast-released");
  });

  test("lays anew what a stop or a power cut left of a ballast, and does not call a half of it one", async () => {
    await engine.close();
    disk.place("BALLAST", Buffer.alloc(KIB));
    await open();
    await fillTo(0.81);
    expect(engine.disk).toMatchObject({ level: "warn", hasBallast: false });
    for (let turn = 0; turn < 20; turn += 1) {
      await settle(1);
      clock.advance(20);
    }
    expect([engine.disk.hasBallast, disk.peek("BALLAST").length]).toEqual([true, 4 * KIB]);
  });

  test("throws off a half of a ballast too", async () => {
    disk.place("BALLAST", Buffer.alloc(KIB));
    await fillTo(0.98);
    expect([engine.disk.hasBallast, disk.peek("BALLAST").length]).toEqual([false, KIB / 2]);
  });

  test("that is meant for what others may wait with refuses puts from 85 % on", async () => {
    await engine.close();
    await open({ refusesPutsFrom: "no_growth" });
    await fillTo(0.86);
    await expect(engine.put(writeOf(nthAddress(1), 100, 10))).rejects.toMatchObject({ code: "DISK_FULL" });
    await engine.put(tombstoneOf(nthAddress(2), 101));
  });

  test("goes by what it saw last when it cannot look, and a store without levels goes on to the end", async () => {
    await fillTo(0.91);
    const heal = disk.inject({ on: ["freeBytes"], code: "EIO" });
    clock.advance(2_000);
    await settle();
    expect([engine.disk.level, engine.failure]).toEqual(["no_puts", undefined]);
    expect(events).toContain("storage.space-unknown");
    heal();
    await engine.close();
    await open({ diskReserveBytes: 0 });
    await fillTo(0.97);
    expect(engine.disk.level).toBe("ok");
    await engine.put(writeOf(nthAddress(1), 100, 10));
    // Nothing is kept back for deletes either.
    disk.inject({ on: ["write"], code: "ENOSPC" });
    for (const refused of [writeOf(nthAddress(1), 101, 10), tombstoneOf(nthAddress(2), 102)])
      await expect(engine.put(refused)).rejects.toMatchObject({ code: "DISK_FULL" });
    expect(engine.failure).toBeUndefined();
  });
});
