/** Reads that meet bytes that cannot be read: what may be answered, and what must be remembered. */
import { describe, expect, test } from "vitest";
import type { LogEngine } from "../../../storage/log-engine.ts";
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
