import { describe, expect, test } from "vitest";
import type { DiskFile } from "../../../storage/ports.ts";
import { isMutation, SimDisk } from "../../sim/sim-disk.ts";
import { PAGE_BYTES, SECTOR_BYTES } from "../../sim/sim-file.ts";
import { seededDraws } from "../../support/seeded.ts";

const DROP = { pages: "dropped", names: "dropped" } as const;
const KEEP = { pages: "applied", names: "applied" } as const;
const filled = (size: number, value: number): Uint8Array => new Uint8Array(size).fill(value);
const newDisk = (seed = 1): SimDisk => new SimDisk({ random: seededDraws(seed) });

/** A durable file of `size` bytes of value 1. */
async function durableFile(disk: SimDisk, path: string, size: number): Promise<DiskFile> {
  const file = await disk.open(path, "create");
  await file.write([filled(size, 1)], 0);
  await file.fdatasync();
  await disk.fsyncDirectory("");
  return file;
}

describe("a crash of the simulated disk", () => {
  test("keeps what fdatasync or an O_DSYNC write has made durable, and loses the rest when all is dropped", async () => {
    const disk = newDisk();
    const file = await durableFile(disk, "a", 100);
    await file.write([filled(100, 2)], 50);
    const dsync = await disk.open("b", "create-dsync");
    await disk.fsyncDirectory("");
    await dsync.write([filled(10, 3)], 0);
    const after = disk.crash(DROP);
    expect(after.peek("a")).toEqual(filled(100, 1));
    expect(after.peek("b")).toEqual(filled(10, 3));
  });

  test("keeps everything when all is applied, and is then durable", async () => {
    const disk = newDisk();
    const file = await disk.open("a", "create");
    await file.write([filled(9000, 2)], 0);
    const after = disk.crash(KEEP).crash(DROP);
    expect(after.peek("a")).toEqual(filled(9000, 2));
  });

  test("loses creations, renames and removals whose directory was not fsynced", async () => {
    const disk = newDisk();
    await durableFile(disk, "kept", 1);
    await durableFile(disk, "moved", 1);
    await disk.rename("moved", "elsewhere");
    await disk.unlink("kept");
    await (await disk.open("new", "create-dsync")).write([filled(1, 1)], 0);
    expect(disk.paths()).toEqual(["elsewhere", "new"]);
    expect(disk.crash(DROP).paths()).toEqual(["kept", "moved"]);
    expect(disk.crash(KEEP).paths()).toEqual(["elsewhere", "new"]);
    const seen = new Set(
      Array.from({ length: 60 }, () =>
        disk
          .crash({ ...KEEP, names: "random" })
          .paths()
          .join(),
      ),
    );
    expect(seen.size).toBe(8);
  });

  test("loses a file with its directory when the directory's own name was not durable", async () => {
    const disk = newDisk();
    await disk.makeDirectory("d");
    await disk.open("d/f", "create");
    await disk.fsyncDirectory("d");
    expect(disk.crash(DROP).paths()).toEqual([]);
  });

  test("applies any subset of un-synced pages, each page whole", async () => {
    const disk = newDisk();
    const file = await durableFile(disk, "a", 3 * PAGE_BYTES);
    await file.write([filled(3 * PAGE_BYTES, 2)], 0);
    const seen = new Set<string>();
    for (let round = 0; round < 80; round += 1) {
      const bytes = disk.crash({ pages: "random", names: "dropped" }).peek("a");
      const pages = [0, 1, 2].map((page) => new Set(bytes.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES)));
      expect(pages.every((values) => values.size === 1)).toBe(true);
      seen.add(pages.map((values) => [...values].join()).join());
    }
    expect(seen.size).toBe(8);
  });

  test("tears a page at its sectors, and fills only sectors that were empty with garbage", async () => {
    const disk = newDisk();
    const file = await durableFile(disk, "a", SECTOR_BYTES);
    await file.write([filled(PAGE_BYTES, 2)], 0);
    for (const pages of ["torn", "garbage"] as const) {
      const kinds = new Set<string>();
      for (let round = 0; round < 40; round += 1) {
        const bytes = disk.crash({ pages, names: "dropped" }).peek("a");
        for (let at = 0; at < bytes.length; at += SECTOR_BYTES) {
          const values = new Set(bytes.subarray(at, at + SECTOR_BYTES));
          const kind = values.size === 1 ? String([...values][0]) : "garbage";
          kinds.add(at === 0 ? `first ${kind}` : kind);
        }
      }
      expect([...kinds].sort()).toEqual(
        pages === "torn" ? ["0", "2", "first 1", "first 2"] : ["0", "2", "first 1", "first 2", "garbage"],
      );
    }
  });

  test("grows a file before its data arrives: the tail is zeros", async () => {
    const disk = newDisk();
    const file = await durableFile(disk, "a", 10);
    await file.write([filled(5000, 2)], 10);
    const after = disk.crash({ pages: "zeros", names: "dropped" }).peek("a");
    expect(after).toHaveLength(5010);
    expect(after.subarray(0, 10)).toEqual(filled(10, 1));
    expect(after.subarray(10).every((byte) => byte === 0)).toBe(true);
  });

  test("may undo a truncation that was not made durable", async () => {
    const disk = newDisk();
    const file = await durableFile(disk, "a", 9000);
    await file.truncate(10);
    expect(disk.crash(DROP).peek("a")).toEqual(filled(9000, 1));
    expect(disk.crash(KEEP).peek("a")).toEqual(filled(10, 1));
  });

  test("is the same for the same seed", async () => {
    const images = await Promise.all(
      [7, 7, 8].map(async (seed) => {
        const disk = newDisk(seed);
        const file = await durableFile(disk, "a", 40 * PAGE_BYTES);
        await file.write([filled(40 * PAGE_BYTES, 2)], 0);
        return Buffer.from(disk.crash({ pages: "mixed", names: "random" }).peek("a")).toString("base64");
      }),
    );
    expect(images[0]).toBe(images[1]);
    expect(images[0]).not.toBe(images[2]);
  });

  test("of the process alone loses nothing, and makes nothing more durable", async () => {
    const disk = newDisk();
    const file = await disk.open("a", "create");
    await file.write([filled(10, 2)], 0);
    const killed = disk.kill();
    expect(killed.peek("a")).toEqual(filled(10, 2));
    expect(killed.crash(DROP).paths()).toEqual([]);
  });
});

describe("a cut of the simulated disk", () => {
  test("at the n-th call leaves its effect un-synced, and no call returns any more", async () => {
    const disk = newDisk();
    const file = await disk.open("a", "create-dsync");
    await disk.fsyncDirectory("");
    await file.write([filled(10, 1)], 0);
    const at = disk.operationCount + 1;
    disk.beforeOperation = (n, name) => (isMutation(name) && n === at ? "cut" : undefined);
    let returned = 0;
    let cuts = 0;
    disk.onCut = () => (cuts += 1);
    void file.write([filled(10, 2)], 10).then(() => (returned += 1));
    void file.size().then(() => (returned += 1));
    await new Promise((resolve) => setImmediate(resolve));
    expect({ returned, cuts, isDead: disk.isDead }).toEqual({ returned: 0, cuts: 1, isDead: true });
    expect(disk.crash(DROP).peek("a")).toEqual(filled(10, 1));
    expect(disk.crash(KEEP).peek("a")).toHaveLength(20);
  });
});

describe("faults of the simulated disk", () => {
  test("a disk that fills up writes short first, then says ENOSPC", async () => {
    const disk = newDisk();
    const file = await disk.open("a", "create");
    disk.inject({ on: ["write"], code: "ENOSPC", afterBytes: 15 });
    expect(await file.write([filled(10, 1)], 0)).toBe(10);
    expect(await file.write([filled(4, 1), filled(6, 2)], 10)).toBe(5);
    await expect(file.write([filled(5, 2)], 15)).rejects.toMatchObject({ code: "ENOSPC" });
    expect(disk.peek("a")).toHaveLength(15);
  });

  test("files together never outgrow the capacity, and removal gives space back", async () => {
    const disk = new SimDisk({ random: seededDraws(1), capacityBytes: 100 });
    const file = await disk.open("a", "create");
    expect(await file.write([filled(200, 1)], 0)).toBe(100);
    await expect(file.write([filled(1, 1)], 100)).rejects.toMatchObject({ code: "ENOSPC" });
    expect(await file.write([filled(50, 2)], 50)).toBe(50);
    await file.truncate(10);
    expect(await disk.freeBytes()).toEqual({ freeBytes: 90, totalBytes: 100 });
  });

  test.each(["fdatasync", "write"] as const)(
    "after a failed %s the bytes read well, count as clean, and are gone after the crash",
    async (on) => {
      const disk = newDisk();
      const file = await durableFile(disk, "a", 10);
      disk.inject({ on: [on], code: "EIO", times: 1 });
      const attempt = file.write([filled(10, 2)], 0).then(() => file.fdatasync());
      await expect(attempt).rejects.toMatchObject({ code: "EIO" });
      await file.fdatasync();
      expect(disk.peek("a")).toEqual(filled(10, 2));
      expect(disk.crash(KEEP).peek("a")).toEqual(filled(10, 1));
    },
  );

  test("a bad range fails the reads that touch it, and only those", async () => {
    const disk = newDisk();
    const file = await durableFile(disk, "a", 1000);
    const heal = disk.inject({ on: ["read", "readSync"], code: "EIO", range: { from: 100, to: 200 } });
    const into = new Uint8Array(50);
    expect(file.readSync(into, 50)).toBe(50);
    expect(await file.read(into, 200)).toBe(50);
    expect(() => file.readSync(into, 51)).toThrow("EIO");
    await expect(file.read(into, 199)).rejects.toMatchObject({ code: "EIO" });
    heal();
    expect(file.readSync(into, 100)).toBe(50);
  });

  test("a read-only disk refuses every change", async () => {
    const disk = newDisk();
    const file = await durableFile(disk, "a", 10);
    disk.inject({ on: ["create", "write", "truncate", "rename", "unlink", "makeDirectory"], code: "EROFS" });
    for (const change of [
      () => file.write([filled(1, 1)], 0),
      () => file.truncate(1),
      () => disk.open("b", "create"),
      () => disk.rename("a", "b"),
      () => disk.unlink("a"),
      () => disk.makeDirectory("d"),
    ]) {
      await expect(change()).rejects.toMatchObject({ code: "EROFS" });
    }
    expect(disk.peek("a")).toEqual(filled(10, 1));
  });

  test("rot and misplaced writes change stored bytes durably", async () => {
    const disk = newDisk();
    await durableFile(disk, "a", 10);
    disk.flipBit("a", { offset: 3, bit: 2 });
    disk.poke("a", 8, filled(4, 9));
    expect([...disk.crash(DROP).peek("a")]).toEqual([1, 1, 1, 5, 1, 1, 1, 1, 9, 9, 9, 9]);
  });

  test("with latency, a write is durable when it returns and not before, and later writes are not taken along", async () => {
    const timers: (() => void)[] = [];
    const clock = { setTimer: (_delayMs: number, run: () => void): unknown => timers.push(run) };
    const disk = new SimDisk({ random: seededDraws(1), latency: { clock, delayMs: () => 1 } });
    const step = async (): Promise<void> => {
      for (const run of timers.splice(0)) run();
      await new Promise((resolve) => setImmediate(resolve));
    };
    const opening = disk.open("a", "create");
    await step();
    const file = await opening;
    const naming = disk.fsyncDirectory("");
    await step();
    await naming;
    const first = file.write([filled(10, 1)], 0).then(() => file.fdatasync());
    await step();
    const late = file.write([filled(10, 2)], 0);
    expect(disk.copy().peek("a")).toEqual(filled(10, 2));
    await step();
    await Promise.all([first, late]);
    expect(disk.crash(DROP).peek("a")).toEqual(filled(10, 1));
  });
});
