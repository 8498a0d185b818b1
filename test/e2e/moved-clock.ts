/**
 * A wall clock that can be moved, inside a real process: loaded before everything else by `node --import`, it moves `Date` by as
 * many milliseconds as a small file says, so that a test moves clocks while the process runs. Timers and the monotonic clock do not
 * notice, as on a machine whose time is set. Must never be loaded by anything but a test.
 */
import { readFileSync } from "node:fs";

/** The variable that names the file with the milliseconds. */
export const CLOCK_VARIABLE = "TEST_CLOCK_AHEAD";
/** How long the process may go by what the file said before. */
export const MOVED_WITHIN_MS = 20;

let aheadMs = 0;
let readAtMs = Number.NEGATIVE_INFINITY;

function aheadNow(path: string): number {
  const nowMs = performance.now();
  if (nowMs - readAtMs < MOVED_WITHIN_MS) return aheadMs;
  readAtMs = nowMs;
  const text = readFileSync(path, "utf8");
  // empty: it is being written
  if (text !== "") aheadMs = Number(text);
  return aheadMs;
}

function install(path: string): void {
  const trueNow = Date.now;
  Date.now = () => trueNow() + aheadNow(path);
  globalThis.Date = new Proxy(Date, {
    construct: (target, args, self) => Reflect.construct(target, args.length === 0 ? [Date.now()] : args, self),
  });
}

const path = process.env[CLOCK_VARIABLE];
if (path !== undefined) install(path);
