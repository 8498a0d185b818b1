/** Test files that look at real time or start processes: they are judged by the clock on the wall, and run by themselves, one after the other. */
import { matchesGlob } from "node:path";

/** Real processes, real timers, real stalls. */
export const BY_THE_CLOCK: readonly string[] = [
  "test/e2e/**/*.test.ts",
  "test/unit/adapters/**/*.test.ts",
  "test/unit/loadtest/**/*.test.ts",
  "test/unit/api/client-error.test.ts",
  "test/unit/api/front-door.test.ts",
  "test/unit/node/rehearsal.test.ts",
];

/** Whether a test file, by its path from the project's root, is one of them. */
export function isByTheClock(path: string): boolean {
  return BY_THE_CLOCK.some((pattern) => matchesGlob(path, pattern));
}
