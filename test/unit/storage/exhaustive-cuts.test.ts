import { afterAll, describe, expect, test } from "vitest";
import { CrashLedger } from "../../support/crash-ledger.ts";
import { cutEverywhere, STEPS } from "../../support/crash-sequences.ts";
import { simDisk } from "../../support/log-store.ts";

let caseCount = 0;
let distinctCount = 0;

describe("a power loss in the middle of any disk call of any three operations on an empty store", () => {
  afterAll(() => {
    console.info(`empty store: ${caseCount} cuts, ${distinctCount} of them distinct`);
  });

  test.each(STEPS)(
    "loses nothing acknowledged, revives nothing, and is survived twice: first %s",
    async (first) => {
      const empty = { disk: simDisk(), expected: new CrashLedger().now() };
      const report = await cutEverywhere(empty, first);
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
