/** The shared timer: never early, at most a tick late, nothing left when idle. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TimerWheel, WheelEntry } from "../../../services/coordinator/timer-wheel.ts";
import { FakeClock } from "../../support/fake-clock.ts";

class Noting extends WheelEntry {
  readonly firedMs: number[] = [];
  readonly onFired: (() => void) | undefined;
  constructor(onFired?: () => void) {
    super();
    this.onFired = onFired;
  }
  onDue(nowMs: number): void {
    this.firedMs.push(nowMs);
    this.onFired?.();
  }
}

const TICK_MS = 5;

describe("the wheel", () => {
  test("fires each entry once, never early and less than two ticks late, also beyond its own turn", async () => {
    const delays = fc.array(fc.double({ min: 0, max: 6_000, noNaN: true }), { minLength: 1, maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(delays, async (due) => {
        const clock = new FakeClock();
        const wheel = new TimerWheel(clock, TICK_MS);
        const entries = due.map((delayMs) => {
          const entry = new Noting();
          wheel.arm(entry, delayMs);
          return entry;
        });
        // 513 ticks: more than a turn.
        await clock.advance(6_100);
        for (const [at, entry] of entries.entries()) {
          expect(entry.firedMs.length).toBe(1);
          expect(entry.firedMs[0]).toBeGreaterThanOrEqual(due[at] ?? 0);
          expect(entry.firedMs[0]).toBeLessThan((due[at] ?? 0) + 2 * TICK_MS + 1e-9);
        }
        expect(wheel.armedCount).toBe(0);
        expect(clock.plannedCount).toBe(0);
      }),
      { numRuns: 5 },
    );
  });

  test("does not fire what was called off, nor twice what was armed again", async () => {
    const clock = new FakeClock();
    const wheel = new TimerWheel(clock, TICK_MS);
    const [off, again] = [new Noting(), new Noting()];
    wheel.arm(off, 20);
    wheel.arm(again, 20);
    wheel.arm(again, 100);
    wheel.disarm(off);
    wheel.disarm(off);
    await clock.advance(50);
    expect([off.firedMs, again.firedMs]).toEqual([[], []]);
    await clock.advance(100);
    expect([off.firedMs.length, again.firedMs.length]).toEqual([0, 1]);
  });

  test("lets what fires call off and arm others of the same slot", async () => {
    const clock = new FakeClock();
    const wheel = new TimerWheel(clock, TICK_MS);
    const victim = new Noting();
    const later = new Noting();
    wheel.arm(victim, 10);
    const killer = new Noting(() => {
      wheel.disarm(victim);
      wheel.arm(later, 30);
    });
    wheel.arm(killer, 10);
    await clock.advance(100);
    expect([killer.firedMs.length, victim.firedMs.length, later.firedMs.length]).toEqual([1, 0, 1]);
  });
});
