import { expect, test } from "vitest";
import { Scheduler } from "../../sim/scheduler.ts";
import { SimClock } from "../../sim/sim-clock.ts";
import { SimRandom } from "../../sim/sim-random.ts";

/** Fifty tasks that sleep, draw and wake each other; answers what happened, in order. */
async function runTasks(seed: string): Promise<{ readonly trace: number; readonly story: string }> {
  const scheduler = new Scheduler(seed);
  const random = new SimRandom(seed);
  const story: string[] = [];
  const sleep = (ms: number): Promise<void> =>
    new Promise((fulfil) => {
      scheduler.after(ms, fulfil);
    });
  const task = async (name: number): Promise<void> => {
    const own = random.fork(`task-${name}`);
    for (let step = 0; step < 20; step += 1) {
      await sleep(own.below(5));
      await Promise.all([Promise.resolve(), sleep(own.below(3))]);
      story.push(`${name}.${step}@${scheduler.nowMs}`);
    }
  };
  for (let name = 0; name < 50; name += 1) void task(name);
  await scheduler.run({});
  return { trace: scheduler.traceHash, story: story.join(" ") };
}

test("the same seed tells the same story, event by event", async () => {
  const first = await runTasks("seed-1");
  const second = await runTasks("seed-1");
  expect(second.story).toBe(first.story);
  expect(second.trace).toBe(first.trace);
});

test("another seed orders the same instants otherwise", async () => {
  const first = await runTasks("seed-1");
  const second = await runTasks("seed-2");
  expect(second.trace).not.toBe(first.trace);
  expect(second.story).not.toBe(first.story);
});

test("all that an event woke has settled before the next event, ticks and promises in any depth", async () => {
  const scheduler = new Scheduler("settle");
  const seen: string[] = [];
  scheduler.after(1, () => {
    let chain = Promise.resolve();
    for (let depth = 0; depth < 200; depth += 1) {
      chain = chain.then(() => new Promise<void>((fulfil) => process.nextTick(fulfil)));
    }
    void chain.then(() => seen.push("chain"));
  });
  scheduler.after(1.001, () => seen.push("next"));
  await scheduler.run({});
  expect(seen).toEqual(["chain", "next"]);
});

test("more events than are queued ahead run in one run, and runs follow each other", async () => {
  const scheduler = new Scheduler("many");
  let count = 0;
  const again = (): void => {
    count += 1;
    if (count < 5_000) scheduler.after(1, again);
  };
  scheduler.after(0, again);
  expect(await scheduler.run({ until: () => count === 1_000 })).toBe("condition");
  expect(count).toBe(1_000);
  expect(await scheduler.run({ untilMs: 1_999 })).toBe("time");
  expect([count, scheduler.nowMs]).toEqual([2_000, 1_999]);
  expect(await scheduler.run({ maxEvents: 10 })).toBe("events");
  expect(await scheduler.run({})).toBe("idle");
  expect(count).toBe(5_000);
});

test("events run in order of time, whatever the order in which they were made", async () => {
  const scheduler = new Scheduler("heap");
  const random = new SimRandom("heap");
  const ran: number[] = [];
  for (let i = 0; i < 2_000; i += 1) {
    const atMs = random.below(500);
    scheduler.after(atMs, () => ran.push(atMs));
  }
  await scheduler.run({});
  expect(ran).toHaveLength(2_000);
  expect(ran).toEqual(ran.toSorted((a, b) => a - b));
});

test("deferrals run before timers of the same instant, in the order in which they were made", async () => {
  const scheduler = new Scheduler("defer");
  const ran: string[] = [];
  scheduler.after(1, () => {
    scheduler.after(0, () => ran.push("timer"));
    scheduler.defer(() => ran.push("first"));
    scheduler.defer(() => ran.push("second"));
  });
  await scheduler.run({});
  expect(ran).toEqual(["first", "second", "timer"]);
});

test("a cancelled event does not run, nor does one that a held event calls off", async () => {
  const scheduler = new Scheduler("cancel");
  const process = scheduler.newProcess("p");
  const ran: string[] = [];
  scheduler.after(1, () => ran.push("cancelled")).isCancelled = true;
  const later = scheduler.after(3, () => ran.push("called off"), process);
  scheduler.after(
    2,
    () => {
      ran.push("caller");
      later.isCancelled = true;
    },
    process,
  );
  process.pause();
  scheduler.after(4, () => process.resume());
  await scheduler.run({});
  expect(ran).toEqual(["caller"]);
});

test("a paused process misses nothing: its timers fire at once, then what has arrived; a dead one misses all", async () => {
  const scheduler = new Scheduler("pause");
  const [paused, dead] = [scheduler.newProcess("paused"), scheduler.newProcess("dead")];
  const clock = new SimClock(scheduler, paused);
  const ran: string[] = [];
  for (const delayMs of [10, 20, 30]) {
    clock.setTimer(delayMs, () => ran.push(`${delayMs}@${clock.monotonicMs()}`));
    scheduler.after(delayMs, () => ran.push("dead"), dead);
  }
  scheduler.after(8, () => ran.push("arrival"), paused);
  scheduler.after(5, () => {
    paused.pause();
    dead.kill();
  });
  scheduler.after(25, () => paused.resume());
  await scheduler.run({});
  expect(ran).toEqual(["10@25", "20@25", "arrival", "30@30"]);
});

test("an error in an event ends the run with it", async () => {
  const scheduler = new Scheduler("error");
  scheduler.after(1, () => {
    throw new Error("planted");
  });
  await expect(scheduler.run({})).rejects.toThrow("planted");
});

test("clocks drift and jump: intervals follow the drift, the wall clock also the jump", async () => {
  const scheduler = new Scheduler("drift");
  const process = scheduler.newProcess("p");
  const clock = new SimClock(scheduler, process, { offsetMicros: 5_000_000, driftPpm: 1_000 });
  const exact = new SimClock(scheduler, process);
  let firedMs = 0;
  clock.setTimer(1_001, () => {
    firedMs = scheduler.nowMs;
  });
  await scheduler.run({ untilMs: 10_000 });
  expect(firedMs).toBeCloseTo(1_000, 6);
  expect(clock.monotonicMs()).toBeCloseTo(10_010, 6);
  expect(clock.wallMicros() - exact.wallMicros()).toBeCloseTo(5_010_000, -1);
  const before = clock.wallMicros();
  clock.jump(-288_000_000);
  expect(clock.wallMicros() - before).toBe(-288_000_000);
  expect(clock.monotonicMs()).toBeCloseTo(10_010, 6);
  expect(Number.isSafeInteger(clock.wallMicros())).toBe(true);
});
