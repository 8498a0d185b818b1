import { describe, expect, test } from "vitest";
import { hexName } from "../../../storage/format/bytes.ts";
import {
  MAX_QUARANTINE_BYTES,
  MAX_QUARANTINE_FILES,
  MAX_QUARANTINE_SEGMENTS,
  quarantine,
  trimQuarantine,
} from "../../../storage/quarantine.ts";
import type { SimDisk } from "../../sim/sim-disk.ts";
import { simDisk } from "../../support/log-store.ts";
import { eventLog } from "../../support/storage-fixtures.ts";

const { log } = eventLog();

function inQuarantine(disk: SimDisk): string[] {
  return disk.paths().filter((path) => path.startsWith("quarantine/"));
}

describe("quarantine", () => {
  test("keeps so many of the newest pieces, and the one that was just laid down whatever its age", async () => {
    const disk = simDisk();
    await disk.makeDirectory("quarantine");
    for (let segment = 1; segment <= MAX_QUARANTINE_FILES + 10; segment += 1) {
      disk.place(`quarantine/${hexName(segment)}-${hexName(64)}`, Buffer.from("piece"));
    }
    await quarantine({ disk, log }, { segment: 3, offset: 128 }, Buffer.from("newest"));
    const kept = inQuarantine(disk);
    expect(kept).toHaveLength(MAX_QUARANTINE_FILES);
    expect(kept).toContain(`quarantine/${hexName(3)}-${hexName(128)}`);
    expect(kept).toContain(`quarantine/${hexName(MAX_QUARANTINE_FILES + 10)}-${hexName(64)}`);
    expect(kept).not.toContain(`quarantine/${hexName(1)}-${hexName(64)}`);
  });

  test("keeps so many bytes", async () => {
    const disk = simDisk();
    await disk.makeDirectory("quarantine");
    for (const segment of [1, 2, 3, 4]) {
      disk.place(`quarantine/${hexName(segment)}-${hexName(64)}`, Buffer.alloc(MAX_QUARANTINE_BYTES / 4));
    }
    await quarantine({ disk, log }, { segment: 5, offset: 64 }, Buffer.alloc(8));
    expect(inQuarantine(disk)).toEqual([2, 3, 4, 5].map((segment) => `quarantine/${hexName(segment)}-${hexName(64)}`));
  });

  test("keeps the newest of whole segments, which may be only copies, beside the pieces", async () => {
    const disk = simDisk();
    await disk.makeDirectory("quarantine");
    for (let segment = 1; segment <= MAX_QUARANTINE_SEGMENTS + 2; segment += 1) {
      disk.place(`quarantine/${hexName(segment)}.log`, Buffer.alloc(64));
    }
    disk.place(`quarantine/${hexName(1)}-${hexName(64)}`, Buffer.from("piece"));
    await trimQuarantine({ disk, log });
    const kept = inQuarantine(disk);
    expect(kept).toHaveLength(MAX_QUARANTINE_SEGMENTS + 1);
    expect(kept).not.toContain(`quarantine/${hexName(2)}.log`);
    expect(kept).toContain(`quarantine/${hexName(1)}-${hexName(64)}`);
  });

  test("without space only says so", async () => {
    const disk = simDisk();
    await disk.makeDirectory("quarantine");
    disk.inject({ on: ["write"], code: "ENOSPC" });
    await quarantine({ disk, log }, { segment: 5, offset: 64 }, Buffer.alloc(8));
    expect(inQuarantine(disk)).toEqual([]);
  });
});
