/**
 * The door to Artillery: what its scenarios call. JavaScript, because Artillery would bundle TypeScript into the source tree; the
 * rest is TypeScript that Node strips. Its worker keeps one `OpenLoop` for the whole run.
 */
import { runFiles } from "../plan.ts";
import { OpenLoop } from "./open-loop.ts";

let loop;

/** One slice of the load: see `OpenLoop.slice`. */
export async function slice(_context, events) {
  if (loop === undefined) {
    const made = new OpenLoop(runFiles(process.env.GYRE_LOADTEST_DIR ?? "."), process.env.GYRE_TOKEN);
    loop = made;
    process.once("exit", () => made.finish());
  }
  await loop.slice(events);
}
