/** When the compactor looks again: whatever wakes it while it looks has come too late for that look. */
import { expect, test } from "vitest";
import { Compactor, type CompactorParts } from "../../../storage/compactor.ts";
import { HandClock, settle } from "../../support/storage-fixtures.ts";

/** A compactor of an empty store, whose looks at the disk end when they are let go. */
function rig() {
  const held: (() => void)[] = [];
  let lookCount = 0;
  const freeBytes = async (): Promise<{ readonly freeBytes: number; readonly totalBytes: number }> => {
    await new Promise<void>((resolve) => held.push(resolve));
    return { freeBytes: 1, totalBytes: 1 };
  };
  const all = (): readonly never[] => {
    lookCount += 1;
    return [];
  };
  const clock = new HandClock();
  const limits = { segmentBytes: 1, garbageRatio: 0.25, garbageSegments: 1, compactionInputs: 8, reapSweepMs: 1_000 };
  const parts = {
    settings: { ...limits, clock, disk: { freeBytes }, isCompactionAutomatic: true },
    keyspace: { reapedCount: 0 },
    segments: { all, get: () => undefined },
    health: { failure: undefined },
    space: () => ({ scarcity: 0, isPutRefused: false }),
    share: () => 1,
  };
  const letGo = async (): Promise<void> => {
    for (const goOn of held.splice(0)) goOn();
    await settle(20);
  };
  return { compactor: new Compactor(parts as unknown as CompactorParts), letGo, looks: () => lookCount };
}

test("it looks again where it was woken while it looked, and then no more", async () => {
  const { compactor, letGo, looks } = rig();
  compactor.wake();
  await settle(20);
  expect(looks()).toBe(1);
  compactor.wake();
  compactor.wake();
  await letGo();
  expect(looks()).toBe(2);
  for (let i = 0; i < 3; i += 1) await letGo();
  expect(looks()).toBe(2);
});

test("it looks by itself after one that was asked for, where it was woken meanwhile: in the first turn, too", async () => {
  const { compactor, letGo, looks } = rig();
  const asked = compactor.compactNow(0.5);
  compactor.wake(true);
  await settle(20);
  expect(looks()).toBe(1);
  await letGo();
  await asked;
  await settle(20);
  expect(looks()).toBe(2);
  for (let i = 0; i < 3; i += 1) await letGo();
  expect(looks()).toBe(2);
});
