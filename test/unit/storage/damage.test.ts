/** Damage that a start or a compaction meets: what it may cost, and what it must never cost. */
import { describe, expect, test } from "vitest";
import type { StorageEngine } from "../../../storage/engine.ts";
import { encodeEdit, MAX_EDIT_BYTES } from "../../../storage/format/manifest-edit.ts";
import type { LogEngine } from "../../../storage/log-engine.ts";
import type { SimDisk } from "../../sim/sim-disk.ts";
import { type LogStart, openTiny, simDisk, TINY_GARBAGE } from "../../support/log-store.ts";
import { seededDraws } from "../../support/seeded.ts";
import { nthAddress, settle, valueOf, writeOf } from "../../support/storage-fixtures.ts";
import { manifestOf } from "../../support/store-surgery.ts";

const DROP = { pages: "dropped", names: "dropped" } as const;
const ONE_MANIFEST = { manifestBytes: 1e6 };
const TEN = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

let opened = 0;

/** Opens with a chance of its own: actors of two starts differ. */
function open(disk: SimDisk, start: LogStart = {}): Promise<LogEngine> {
  opened += 1;
  return openTiny(disk, { random: seededDraws(opened * 17 + 3), ...start });
}

async function outcomeOf(engine: StorageEngine, n: number): Promise<string> {
  try {
    const record = await engine.get(nthAddress(n));
    return record === undefined ? "absent" : Buffer.from(record.value).toString("latin1");
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : "failed";
  }
}

function outcomesOf(engine: StorageEngine, keys: readonly number[]): Promise<string[]> {
  return Promise.all(keys.map((n) => outcomeOf(engine, n)));
}

const textOf = (serial: number, size?: number): string => Buffer.from(valueOf(serial, size)).toString("latin1");

/** 23 puts of 6 keys: sealed segments with garbage. The newest serial of key n is in `NEWEST`. */
async function worn(disk: SimDisk, start: LogStart = {}): Promise<LogEngine> {
  const engine = await open(disk, start);
  for (let serial = 1; serial < 24; serial += 1) await engine.put(writeOf(nthAddress(serial % 6), serial, 200));
  await settle();
  return engine;
}
const SIX = [0, 1, 2, 3, 4, 5];
const NEWEST: readonly string[] = [18, 19, 20, 21, 22, 23].map((serial) => textOf(serial, 200));

describe("the manifest", () => {
  test("whose first edit is rotten is refused, and nothing is removed", async () => {
    const disk = simDisk();
    let engine = await open(disk);
    for (const n of TEN) await engine.put(writeOf(nthAddress(n), n, 100));
    await engine.close();
    engine = await open(disk);
    await engine.close();
    const path = manifestOf(disk);
    for (let offset = 48; offset < disk.peek(path).length; offset += 7) {
      const rotten = disk.copy();
      rotten.flipBit(path, { offset, bit: 3 });
      const before = rotten.fingerprint();
      await expect(open(rotten)).rejects.toMatchObject({ code: "STORE_UNUSABLE" });
      expect(rotten.fingerprint()).toBe(before);
    }
  });

  test("is never given an edit that would not be read back", () => {
    const changes = Array.from({ length: MAX_EDIT_BYTES / 9 + 1 }, () => ({ kind: "lease", through: 1 }) as const);
    expect(() => encodeEdit(changes, { manifestSeed: 1, offset: 48 })).toThrow("an edit is never longer");
  });
});

describe("compaction", () => {
  test.each(["is on disk", "is lost"])("whose commit failed and %s loses no answered record", async (fate) => {
    const disk = simDisk();
    const engine = await worn(disk, ONE_MANIFEST);
    let heal: (() => void) | undefined;
    let hasOutputs = false;
    // the commit is the first edit after an output got its index file
    disk.beforeOperation = (_n, name, path) => {
      hasOutputs ||= name === "rename" && path.includes(".idx.tmp");
      if (hasOutputs && name === "write" && path.startsWith("MANIFEST")) {
        heal ??= disk.inject({ on: ["write"], path: "MANIFEST", code: "EIO", times: 1 });
      }
      return undefined;
    };
    await engine.compact(TINY_GARBAGE);
    await settle();
    expect(engine.failure).toMatchObject({ code: "STORE_FAILED" });
    const again = await open(fate === "is lost" ? disk.crash(DROP) : disk.kill(), ONE_MANIFEST);
    expect(await outcomesOf(again, SIX)).toEqual(NEWEST);
    expect(again.suspectPartitions()).toEqual([]);
  });
});
