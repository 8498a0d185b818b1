/** How busy a node is, and what follows: the parts joined, on a clock that only moves when told. */
import { describe, expect, it } from "vitest";
import { MAX_INFLIGHT_REQUESTS } from "../../../services/base/limits.ts";
import {
  BACKGROUND_SHARE_AT_START,
  BACKGROUND_SHARE_FLOOR,
  FULL_MEMORY_DELETES,
  SLOW_START_MS,
  STRAINED_REQUESTS,
} from "../../../services/base/load-limits.ts";
import { Calm } from "../../../services/calm/calm.ts";
import { FakeClock } from "../../support/fake-clock.ts";

interface Rig {
  readonly clock: FakeClock;
  readonly calm: Calm;
  readonly events: string[];
  loopDelayMs: number;
  residentBytes: number;
  hasOthers: boolean;
  isDiskSlow: boolean;
  utilisation: number;
}

function rig(): Rig {
  const clock = new FakeClock();
  const events: string[] = [];
  const note = ({ event }: { readonly event: string }): void => void events.push(event);
  const made: Rig = {
    clock,
    events,
    loopDelayMs: 0,
    residentBytes: 10,
    hasOthers: false,
    isDiskSlow: false,
    utilisation: 0.5,
    calm: new Calm({
      clock,
      log: { info: note, warn: note },
      load: {
        memoryLimitBytes: 100,
        heapLimitBytes: 100,
        read: () => ({ loopDelayMs: made.loopDelayMs, utilisation: made.utilisation }),
        memory: () => ({ residentBytes: made.residentBytes, heapBytes: 10 }),
      },
      hasOthers: () => made.hasOthers,
      isDiskSlow: () => made.isDiskSlow,
    }),
  };
  return made;
}

describe("a node's load", () => {
  it("limits nothing where nobody measures, and plans no timer", () => {
    const clock = new FakeClock();
    const log = { info: () => undefined, warn: () => undefined };
    const calm = new Calm({ clock, log, load: undefined, hasOthers: () => true, isDiskSlow: () => false });
    calm.start(false);
    expect(clock.plannedCount).toBe(0);
    expect([calm.limitOf("read"), calm.backgroundShare()]).toEqual([Number.POSITIVE_INFINITY, 1]);
  });

  it("is looked at until it is stopped", async () => {
    const { clock, calm } = rig();
    calm.start(false);
    await clock.advance(1_000);
    expect(calm.view()).toMatchObject({ loopUtilisation: 0.5, limits: { read: MAX_INFLIGHT_REQUESTS } });
    calm.stop();
    expect(clock.plannedCount).toBe(0);
  });

  it("leaves background work a part at the start, its floor while clients wait, and all of it soon after", async () => {
    const { clock, calm } = rig();
    calm.start(false);
    expect(calm.backgroundShare()).toBe(BACKGROUND_SHARE_AT_START);
    const answer = async (latencyMs: number, seconds: number): Promise<void> => {
      for (let n = 0; n < seconds * 10; n += 1) {
        for (let i = 0; i < 10; i += 1) calm.answered("read", latencyMs);
        await clock.advance(100);
      }
    };
    await answer(3, 8);
    expect(calm.backgroundShare()).toBe(1);
    await answer(30, 6);
    expect(calm.backgroundShare()).toBe(BACKGROUND_SHARE_AT_START);
    await answer(30, 2);
    expect(calm.backgroundShare()).toBe(BACKGROUND_SHARE_FLOOR);
    expect(calm.view().readP99Ms).toBeGreaterThan(25);
    await answer(3, 10);
    expect(calm.backgroundShare()).toBe(1);
    calm.stop();
  });

  it("gives background work less while the disk is slow, though none of its own clients feels it", async () => {
    const made = rig();
    const { clock, calm } = made;
    calm.start(false);
    await clock.advance(30_000);
    expect(calm.backgroundShare()).toBe(1);
    made.isDiskSlow = true;
    await clock.advance(5_000);
    expect(calm.backgroundShare()).toBe(BACKGROUND_SHARE_FLOOR);
    expect(calm.view().pressure).toBe(2);
    calm.stop();
  });

  it.each([
    ["until its time is up", 0.5, true, 2_900, 200],
    ["until others leave it idle", 0.1, true, 400, 200],
    ["not if it is alone", 0.5, false, 400, 200],
  ])("warms up when it starts again: %s", async (_, utilisation, hasOthers, whileMs, thenMs) => {
    const made = rig();
    const { clock, calm } = made;
    Object.assign(made, { utilisation, hasOthers });
    calm.start(true);
    await clock.advance(whileMs);
    expect(calm.isWarmingUp).toBe(true);
    await clock.advance(thenMs);
    expect(calm.isWarmingUp).toBe(false);
    Object.assign(made, { utilisation: 0.9, hasOthers: true });
    await clock.advance(1_000);
    expect(calm.isWarmingUp).toBe(false);
    calm.stop();
  });

  it("gives background work no more while it warms up: it has no clients to hear", async () => {
    const made = rig();
    const { clock, calm } = made;
    made.hasOthers = true;
    calm.start(true);
    await clock.advance(2_900);
    expect(calm.backgroundShare()).toBe(BACKGROUND_SHARE_AT_START);
    await clock.advance(1_000);
    expect(calm.backgroundShare()).toBeGreaterThan(BACKGROUND_SHARE_AT_START);
    calm.stop();
  });

  it("does not warm up when it starts for the first time, nor where nobody measures", () => {
    const { calm } = rig();
    calm.start(false);
    expect(calm.isWarmingUp).toBe(false);
    calm.stop();
    const log = { info: () => undefined, warn: () => undefined };
    const unmeasured = new Calm({
      clock: new FakeClock(),
      log,
      load: undefined,
      hasOthers: () => true,
      isDiskSlow: () => false,
    });
    unmeasured.start(true);
    expect(unmeasured.isWarmingUp).toBe(false);
  });

  it("takes less, then no values, as memory fills, says so once, and comes back", async () => {
    const made = rig();
    const { clock, calm, events } = made;
    calm.start(false);
    made.residentBytes = 90;
    await clock.advance(2_000);
    expect([calm.limitOf("write"), calm.limitOf("list")]).toEqual([MAX_INFLIGHT_REQUESTS / 4, 0]);
    made.residentBytes = 96;
    await clock.advance(2_000);
    expect([calm.limitOf("write"), calm.limitOf("read")]).toEqual([FULL_MEMORY_DELETES, MAX_INFLIGHT_REQUESTS / 2]);
    expect(calm.takesValues()).toBe(false);
    made.residentBytes = 20;
    await clock.advance(2_000);
    expect([calm.limitOf("write"), calm.takesValues()]).toEqual([MAX_INFLIGHT_REQUESTS, true]);
    expect(events).toEqual(["calm.memory-tight", "calm.memory-full", "calm.memory-roomy"]);
    calm.stop();
  });

  it("admits a tenth after a start, and all of it half a minute later, while there are others", async () => {
    const made = rig();
    const { clock, calm } = made;
    made.hasOthers = true;
    calm.start(false);
    await clock.advance(100);
    expect(calm.limitOf("write")).toBeLessThan(MAX_INFLIGHT_REQUESTS * 0.11);
    await clock.advance(SLOW_START_MS / 2);
    expect(calm.view().startShare).toBeCloseTo(0.55, 1);
    await clock.advance(SLOW_START_MS);
    expect(calm.limitOf("write")).toBe(MAX_INFLIGHT_REQUESTS);
    calm.stop();
  });

  it("lets few requests of clients in while the loop is late again and again, and health checks always", async () => {
    const made = rig();
    made.loopDelayMs = 300;
    made.calm.start(false);
    await made.clock.advance(1_000);
    const { calm } = made;
    expect([calm.limitOf("read"), calm.limitOf("list"), calm.limitOf("control")]).toEqual([
      STRAINED_REQUESTS,
      0,
      Number.POSITIVE_INFINITY,
    ]);
    expect(calm.view().strain).toBe("data");
    calm.stop();
  });
});
