import { describe, expect, test } from "vitest";
import { runRepeatedly } from "../../support/repeated-runs.ts";
import type { FileOutcome, RunOutcome } from "../../support/run-report.ts";

const CLOCK = "test/e2e/rot.test.ts";
const CALCULATED = "test/unit/repair/collect.test.ts";

const passed = (path: string): FileOutcome => ({ path, beganMs: 0, endedMs: 5, passedCount: 3, failures: [] });
const failed = (path: string): FileOutcome => ({ ...passed(path), passedCount: 2, failures: ["it breaks"] });
const ran = (...files: FileOutcome[]): RunOutcome => ({ files, failures: [] });

/** Runs as they follow each other, on a machine that lacks something or nothing. */
async function play(runs: readonly RunOutcome[], missing?: string, missingOfDisk?: string) {
  const asked: (readonly string[] | undefined)[] = [];
  const lines: string[] = [];
  const outcome = await runRepeatedly({
    run: (paths) => {
      asked.push(paths);
      return Promise.resolve(runs[asked.length - 1] ?? ran());
    },
    missing: () => missing,
    missingOfDisk: () => missingOfDisk,
    tell: (line) => lines.push(line),
  });
  return { outcome, asked, lines };
}

describe("what fails by the clock", () => {
  test("has failed on a machine that was there", async () => {
    const { outcome, asked } = await play([ran(failed(CLOCK)), ran(passed(CLOCK))]);
    expect(asked).toEqual([undefined]);
    expect(outcome).toEqual(ran(failed(CLOCK)));
  });

  test("is run again where the machine was elsewhere, and its last run counts", async () => {
    const { outcome, asked, lines } = await play([ran(failed(CLOCK), passed(CALCULATED)), ran(passed(CLOCK))], "hosts");
    expect(asked).toEqual([undefined, [CLOCK]]);
    expect(outcome).toEqual(ran(passed(CLOCK), passed(CALCULATED)));
    expect(lines).toEqual([`no verdict, is run again: ${CLOCK}: hosts`]);
  });

  test("is run again where the disk is others'", async () => {
    const { outcome } = await play([ran(failed(CLOCK)), ran(passed(CLOCK))], undefined, "a slow disk");
    expect(outcome).toEqual(ran(passed(CLOCK)));
  });

  test("is run again twice at most", async () => {
    const { outcome, asked } = await play([ran(failed(CLOCK)), ran(failed(CLOCK)), ran(failed(CLOCK))], "hosts");
    expect(asked.length).toBe(3);
    expect(outcome).toEqual(ran(failed(CLOCK)));
  });

  test("has failed where it hangs", async () => {
    const hung = { ...failed(CLOCK), endedMs: 900_000 };
    expect((await play([ran(hung), ran(passed(CLOCK))], "hosts")).outcome).toEqual(ran(hung));
  });

  test("stays failed where it does not come again", async () => {
    expect((await play([ran(failed(CLOCK)), ran()], "hosts")).outcome).toEqual(ran(failed(CLOCK)));
  });
});

test("what calculates is never run again", async () => {
  const { outcome, asked } = await play([ran(failed(CALCULATED))], "hosts", "a slow disk");
  expect(asked).toEqual([undefined]);
  expect(outcome).toEqual(ran(failed(CALCULATED)));
});

test("what a run had beside its files stays, whatever is run again", async () => {
  const first = { files: [failed(CLOCK)], failures: ["never ran: one"] };
  const second = { files: [passed(CLOCK)], failures: ["an error that no test has"] };
  const { outcome } = await play([first, second], "hosts");
  expect(outcome).toEqual({ files: [passed(CLOCK)], failures: ["never ran: one", "an error that no test has"] });
});
