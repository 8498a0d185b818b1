/**
 * Runs tests, and runs again what failed by the clock while the machine was not there: that was no verdict (DECISIONS 116). Must never pass
 * what failed on a machine that was there, nor forget what a run had beside its files.
 */
import { isByTheClock } from "./by-the-clock.ts";
import type { FileOutcome, RunOutcome } from "./run-report.ts";

/** how often what had no verdict is run again */
const MOST_AGAIN = 2;
/** What takes longer hangs, and would on any machine. */
const HANGS_MS = 600_000;

/** What repeating works with. */
export interface RepeatParts {
  /** all tests of these files, or all of what was asked for */
  readonly run: (paths: readonly string[] | undefined) => Promise<RunOutcome>;
  /** what the machine lacked meanwhile, in words; undefined: nothing */
  readonly missing: (fromMs: number, toMs: number) => string | undefined;
  /** what its disk lacks now that nothing runs */
  readonly missingOfDisk: () => string | undefined;
  readonly tell: (line: string) => void;
}

/** What came of it in the end: of each file its last run, and whatever any run had beside its files. */
export async function runRepeatedly({ run, missing, missingOfDisk, tell }: RepeatParts): Promise<RunOutcome> {
  let outcome = await run(undefined);
  const files = new Map(outcome.files.map((file) => [file.path, file]));
  const failures = [...outcome.failures];
  for (let again = 0; again < MOST_AGAIN; again += 1) {
    const failed = outcome.files.filter(mayLackVerdict);
    const ofDisk = failed.length === 0 ? undefined : missingOfDisk();
    const open = new Map<string, string>();
    for (const { path, beganMs, endedMs } of failed) {
      const what = missing(beganMs, endedMs) ?? ofDisk;
      if (what !== undefined) open.set(path, what);
    }
    if (open.size === 0) break;
    for (const [path, what] of open) tell(`no verdict, is run again: ${path}: ${what}`);
    outcome = await run([...open.keys()]);
    for (const file of outcome.files) files.set(file.path, file);
    failures.push(...outcome.failures);
  }
  return { files: [...files.values()], failures };
}

function mayLackVerdict({ path, beganMs, endedMs, failures }: FileOutcome): boolean {
  return failures.length > 0 && isByTheClock(path) && endedMs - beganMs < HANGS_MS;
}
