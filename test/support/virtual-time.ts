/** Passing virtual time in rigs that drive a scheduler by hand. */
import type { Scheduler } from "../sim/scheduler.ts";

const STEP_MS = 50;

/** Lets virtual time pass. */
export async function pass(scheduler: Scheduler, ms: number): Promise<void> {
  await scheduler.run({ untilMs: scheduler.nowMs + ms });
}

/** Lets time pass until it is so; false when it is not within that time. */
export async function passUntil(scheduler: Scheduler, isSo: () => boolean, withinMs: number): Promise<boolean> {
  const endsMs = scheduler.nowMs + withinMs;
  while (!isSo()) {
    if (scheduler.nowMs >= endsMs) return false;
    await pass(scheduler, STEP_MS);
  }
  return true;
}
