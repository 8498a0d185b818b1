/**
 * What came of a run of the test runner, file by file, for those who count: also the files that were to run and did not, and errors that no
 * test has. Must never call anything passed of which it does not know.
 */
import { readFileSync, writeFileSync } from "node:fs";
import type { Reporter, TestModule, TestRunEndReason, TestSpecification } from "vitest/node";

/** The environment variable that says where the outcome goes; nodes that tests start refuse settings that they do not know. */
export const REPORT_VARIABLE = "TEST_OUTCOME_PATH";

/** Wall-clock milliseconds that no setting of the clock moves after the start: times of two processes that began close to each other can be compared. */
export function steadyMs(): number {
  return performance.timeOrigin + performance.now();
}

/** One file. Without a failure in it, none of its tests failed, was left out, or never ran. */
export interface FileOutcome {
  /** from the project's root */
  readonly path: string;
  readonly beganMs: number;
  readonly endedMs: number;
  readonly passedCount: number;
  /** in words, one for each */
  readonly failures: readonly string[];
}

/** All of them, and what is wrong beside them. */
export interface RunOutcome {
  readonly files: readonly FileOutcome[];
  readonly failures: readonly string[];
}

/** Writes the outcome to a file when the run has ended. */
export class RunReport implements Reporter {
  readonly #path: string;
  readonly #times = new Map<string, { beganMs: number; endedMs: number }>();
  #planned: readonly string[] = [];

  constructor(path: string) {
    this.#path = path;
  }

  onTestRunStart(specifications: readonly TestSpecification[]): void {
    this.#planned = specifications.map(({ moduleId }) => moduleId);
  }

  onTestModuleQueued({ moduleId }: TestModule): void {
    const nowMs = steadyMs();
    this.#times.set(moduleId, { beganMs: nowMs, endedMs: nowMs });
  }

  onTestModuleEnd({ moduleId }: TestModule): void {
    const times = this.#times.get(moduleId);
    if (times !== undefined) times.endedMs = steadyMs();
  }

  onTestRunEnd(
    modules: readonly TestModule[],
    errors: readonly { readonly message?: string }[],
    reason: TestRunEndReason,
  ): void {
    const known = new Set(modules.map(({ moduleId }) => moduleId));
    const failures = errors.map(({ message = "without a message" }) => `an error that no test has: ${message}`);
    for (const path of this.#planned) if (!known.has(path)) failures.push(`never ran: ${path}`);
    if (reason === "interrupted") failures.push("the run was broken off");
    const outcome: RunOutcome = { files: modules.map((module) => this.#outcomeOf(module)), failures };
    writeFileSync(this.#path, JSON.stringify(outcome));
  }

  #outcomeOf(module: TestModule): FileOutcome {
    const failures: string[] = [];
    let passedCount = 0;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === "passed") passedCount += 1;
      else failures.push(state === "failed" ? test.fullName : `${state}, which counts as failed: ${test.fullName}`);
    }
    if (failures.length === 0 && module.state() !== "passed") {
      const [error] = module.errors();
      failures.push(`no verdict: ${error?.message ?? module.state()}`);
    }
    if (failures.length === 0 && passedCount === 0) failures.push("holds no test");
    const { beganMs = 0, endedMs = 0 } = this.#times.get(module.moduleId) ?? {};
    return { path: module.relativeModuleId, beganMs, endedMs, passedCount, failures };
  }
}

/** The outcome that was written; one that failed where there is none. */
export function readOutcome(path: string): RunOutcome {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as RunOutcome;
  } catch {
    return { files: [], failures: ["the test runner left no report"] };
  }
}
