import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { diskLevelOf, isAtLeast, needsBallastSpace, scarcityOf } from "../../../storage/disk-level-core.ts";
import type { DiskLevel } from "../../../storage/engine.ts";

const GIB = 2 ** 30;
const RESERVE = 8 * GIB;
const LEVELS: readonly DiskLevel[] = ["ok", "warn", "no_growth", "no_puts", "compaction_only"];

/** The level of a disk of this size with so much free, entered from an empty disk. */
function levelWith(totalBytes: number, freeBytes: number, reserveBytes = RESERVE): DiskLevel {
  return diskLevelOf({ totalBytes, freeBytes }, reserveBytes, "ok");
}

describe("levels of free space", () => {
  test.each([
    [79, "ok"],
    [81, "warn"],
    [86, "no_growth"],
    [91, "no_puts"],
    [96, "compaction_only"],
    [100, "compaction_only"],
  ] as const)("a disk of 64 GiB that is %i %% full is at level %s", (percent, level) => {
    expect(levelWith(64 * GIB, (64 * GIB * (100 - percent)) / 100)).toBe(level);
  });

  test.each([
    [17, "ok"],
    [15, "warn"],
    [11, "no_growth"],
    [7, "no_puts"],
    [3, "compaction_only"],
  ] as const)("a disk of 4 TiB with %i GiB free is at level %s, whatever its share", (free, level) => {
    expect(levelWith(4096 * GIB, free * GIB)).toBe(level);
  });

  test("a larger reserve makes shares count on large disks, none switches levels off", () => {
    expect(levelWith(4096 * GIB, 700 * GIB, 1024 * GIB)).toBe("warn");
    expect(levelWith(64 * GIB, 0, 0)).toBe("ok");
    expect(needsBallastSpace({ totalBytes: 64 * GIB, freeBytes: 0 }, 0)).toBe(false);
  });

  test("space is the scarcer the nearer puts are to being refused, from the first level on", () => {
    const percents = [50, 80, 85, 90, 99];
    const at = (totalBytes: number, reserveBytes: number): readonly number[] =>
      percents.map((full) => scarcityOf({ totalBytes, freeBytes: (totalBytes * (100 - full)) / 100 }, reserveBytes));
    expect(at(50 * GIB, RESERVE)).toEqual([0, 0, 0.5, 1, 1]);
    expect(at(50 * GIB, 0)).toEqual([0, 0, 0, 0, 0]);
    // what counts on a large disk is the reserve
    expect(scarcityOf({ totalBytes: 4096 * GIB, freeBytes: 12 * GIB }, RESERVE)).toBe(0.5);
  });

  test("the ballast goes at 97 %", () => {
    expect(needsBallastSpace({ totalBytes: 64 * GIB, freeBytes: 2 * GIB }, RESERVE)).toBe(false);
    expect(needsBallastSpace({ totalBytes: 64 * GIB, freeBytes: 1.9 * GIB }, RESERVE)).toBe(true);
  });

  test("a level is left only when a tenth more is free than where it began", () => {
    const at = (freeBytes: number, before: DiskLevel): DiskLevel =>
      diskLevelOf({ totalBytes: 64 * GIB, freeBytes }, RESERVE, before);
    expect(at(6.5 * GIB, "ok")).toBe("no_growth");
    expect(at(6.5 * GIB, "no_puts")).toBe("no_puts");
    expect(at(7.1 * GIB, "no_puts")).toBe("no_growth");
    expect(at(6.5 * GIB, "compaction_only")).toBe("no_puts");
  });

  test("less space is never a lower level, and a level that was entered is never left for a higher one by itself", () => {
    const space = fc.record({
      totalBytes: fc.integer({ min: 1, max: 2 ** 50 }),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(
        space,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.constantFrom(...LEVELS),
        (disk, less, before) => {
          const freeBytes = disk.totalBytes * disk.share;
          const level = diskLevelOf({ totalBytes: disk.totalBytes, freeBytes }, RESERVE, before);
          const scarcer = diskLevelOf({ totalBytes: disk.totalBytes, freeBytes: freeBytes * less }, RESERVE, before);
          expect(isAtLeast(scarcer, level)).toBe(true);
          expect(diskLevelOf({ totalBytes: disk.totalBytes, freeBytes }, RESERVE, level)).toBe(level);
        },
      ),
    );
  });
});
