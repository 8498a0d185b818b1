/** Segments that cannot be sealed for want of space: what they prove, and what nobody may conclude from their neighbours. */
import { expect, test } from "vitest";
import type { LogEngine } from "../../../storage/log-engine.ts";
import { openTiny, simDisk, TINY_GARBAGE } from "../../support/log-store.ts";
import { nthAddress, settle, writeOf } from "../../support/storage-fixtures.ts";

const oneManifest = { manifestBytes: 2 ** 20 };

/** Writes the keys 1 … 4 again and again: enough for several segments, nearly all of it dead. */
async function overwrite(engine: LogEngine, from: number, to: number): Promise<void> {
  for (let n = from; n <= to; n += 1) {
    await engine.put(writeOf(nthAddress(1 + (n % 4)), n, 200));
    await settle();
  }
}

/** A store whose disk was full for a moment, just when a segment was to be sealed. */
async function storeWithUnsealed(): Promise<{
  readonly disk: ReturnType<typeof simDisk>;
  readonly engine: LogEngine;
  readonly events: readonly string[];
}> {
  const disk = simDisk();
  const events: string[] = [];
  const engine = await openTiny(disk, { ...oneManifest, events });
  await overwrite(engine, 1, 3);
  const sealing = disk.inject({ on: ["write"], path: "MANIFEST", code: "ENOSPC", times: 1, skip: 1 });
  await overwrite(engine, 4, 6);
  sealing();
  return { disk, engine, events };
}

test("a segment that could not be sealed is sealed with the next one, before it", async () => {
  const { disk, engine, events } = await storeWithUnsealed();
  expect(events).toContain("storage.segment-not-sealed");
  await overwrite(engine, 7, 12);
  await engine.close();
  const again = await openTiny(disk, oneManifest);
  expect(again.recovery.mode).toBe("clean");
});

test("a kill after a disk that was full for a moment costs nothing, whatever was compacted meanwhile", async () => {
  const { disk, engine, events } = await storeWithUnsealed();
  expect(events).toContain("storage.segment-not-sealed");
  await overwrite(engine, 7, 20);
  await engine.compact(TINY_GARBAGE);
  await overwrite(engine, 21, 28);
  const again = await openTiny(disk.kill(), oneManifest);
  expect(again.recovery.mode).toBe("unclean");
  expect(again.suspectPartitions()).toEqual([]);
});
