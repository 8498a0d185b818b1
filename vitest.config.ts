/**
 * Test runner settings. What only calculates, virtual time included, runs on all cores at once, the longest files first. What looks at
 * real time or starts processes runs after it, one file at a time, so that nothing but itself makes it slow.
 */
import { availableParallelism } from "node:os";
import type { ViteUserConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { BY_THE_CLOCK } from "./test/support/by-the-clock.ts";
import { REPORT_VARIABLE, RunReport } from "./test/support/run-report.ts";

/** Guards against what never ends, on a machine of which others have most: what is promised in time is asserted. */
const ENDLESS_MS = 900_000;
const PATIENCE_MS = 120_000;

/** Files that take ten seconds and more: one that began last would be waited for by an idle core. */
const LONG = /\/test\/(?:sim|model)\/|\/(?:exhaustive-cuts|bootstrap-core|storage-engine\.log|crash-)/;

/** Long files before all others; within each, as the runner has it: by their last duration, or else by size. */
class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLong = (file: TestSpecification): boolean => LONG.test(file.moduleId);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

const reportPath = process.env[REPORT_VARIABLE];

const config: ViteUserConfig = {
  test: {
    reporters: reportPath === undefined ? ["default"] : ["default", new RunReport(reportPath)],
    testTimeout: ENDLESS_MS,
    hookTimeout: ENDLESS_MS,
    expect: { poll: { timeout: PATIENCE_MS } },
    sequence: { sequencer: LongFirst },
    projects: [
      {
        extends: true,
        test: {
          name: "calculated",
          include: ["test/**/*.test.ts"],
          exclude: [...BY_THE_CLOCK],
          maxWorkers: availableParallelism(),
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "by the clock",
          include: [...BY_THE_CLOCK],
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
};

// The one default export of the house: the runner reads it.
export default config;
