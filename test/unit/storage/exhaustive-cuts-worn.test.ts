import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CrashLedger } from "../../support/crash-ledger.ts";
import { type CrashBase, cutEverywhere, openAnew, STEPS } from "../../support/crash-sequences.ts";
import { simDisk } from "../../support/log-store.ts";
import { nthAddress, tombstoneOf, writeOf } from "../../support/storage-fixtures.ts";

let caseCount = 0;
let distinctCount = 0;
let worn: CrashBase | undefined;

/** A store with overwritten, deleted and live keys in several segments, whose process was killed. */
async function wornBase(): Promise<CrashBase> {
  const disk = simDisk();
  const ledger = new CrashLedger();
  const engine = await openAnew(disk);
  ledger.useActor(engine.identity.actor);
  for (let serial = 1; serial <= 12; serial += 1) {
    const address = nthAddress(serial % 5);
    const request = serial === 9 ? tombstoneOf(address, serial) : writeOf(address, serial, 180);
    await ledger.put(engine, serial, request);
  }
  await engine.leaseCounters(5000);
  ledger.lease(5000);
  return { disk: disk.kill().copy(), expected: ledger.now() };
}

describe("a power loss in the middle of any disk call of any three operations on a worn store", () => {
  beforeAll(async () => {
    worn = await wornBase();
  });

  afterAll(() => {
    console.info(`worn store: ${caseCount} cuts, ${distinctCount} of them distinct`);
  });

  test.each(STEPS)(
    "loses nothing acknowledged, revives nothing, and is survived twice: first %s",
    async (first) => {
      if (worn === undefined) throw new Error("no worn store");
      const report = await cutEverywhere(worn, first);
      caseCount += report.caseCount;
      distinctCount += report.distinctCount;
      expect(report.problems).toEqual([]);
    },
    120_000,
  );

  test("is tried in tens of thousands of cases", () => {
    expect(caseCount).toBeGreaterThan(30_000);
  });
});
