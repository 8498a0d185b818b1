import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CrashLedger } from "../../support/crash-ledger.ts";
import {
  type CrashBase,
  CrashProgram,
  type CrashStep,
  openAnew,
  problemsOf,
  STEPS,
} from "../../support/crash-sequences.ts";
import { simDisk } from "../../support/log-store.ts";
import { nthAddress, tombstoneOf, writeOf } from "../../support/storage-fixtures.ts";

const THOROUGH_EVERY = 10;
let worn: CrashBase | undefined;
let totalCases = 0;
let distinctCases = 0;

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

/** All programs of one to three steps that begin with this one. */
function programsFrom(first: CrashStep): CrashStep[][] {
  const two = STEPS.map((second) => [first, second]);
  return [[first], ...two, ...two.flatMap((program) => STEPS.map((third) => [...program, third]))];
}

async function problemsFrom(base: CrashBase, first: CrashStep): Promise<string[]> {
  const problems: string[] = [];
  for (const steps of programsFrom(first)) {
    const program = new CrashProgram(base);
    await program.run(steps);
    totalCases += program.caseCount;
    for (const crash of program.cases) {
      distinctCases += 1;
      problems.push(...(await problemsOf(crash, distinctCases % THOROUGH_EVERY === 0)));
      if (problems.length > 20) return problems;
    }
  }
  return problems;
}

describe("a power loss in the middle of any disk call of any three operations", () => {
  beforeAll(async () => {
    worn = await wornBase();
  });
  afterAll(() => {
    console.info(`exhaustive cuts: ${totalCases} cases, ${distinctCases} of them distinct`);
  });

  test.each(STEPS)(
    "loses nothing acknowledged, revives nothing, and is survived twice: an empty store, first %s",
    async (first) => {
      expect(await problemsFrom({ disk: simDisk(), expected: new CrashLedger().now() }, first)).toEqual([]);
    },
    120_000,
  );

  test.each(STEPS)(
    "loses nothing acknowledged, revives nothing, and is survived twice: a worn store, first %s",
    async (first) => {
      if (worn === undefined) throw new Error("no worn store");
      expect(await problemsFrom(worn, first)).toEqual([]);
    },
    120_000,
  );

  test("is tried in tens of thousands of cases", () => {
    expect(totalCases).toBeGreaterThan(50_000);
  });
});
