/** The bound on reads in the thread pool. */
import { expect, test } from "vitest";
import { ReadExpiredError } from "../../../storage/errors.ts";
import { ReadPool } from "../../../storage/read-pool.ts";
import { settle } from "../../support/storage-fixtures.ts";

const clock = { nowMs: 0, monotonicMs: (): number => clock.nowMs };

test("tasks run in the order of their calls, at most so many at a time, however long the line is", async () => {
  const pool = new ReadPool(3, clock);
  const started: number[] = [];
  let running = 0;
  let mostRunning = 0;
  const count = 5000;
  await Promise.all(
    Array.from({ length: count }, (_, n) =>
      pool.run(async () => {
        started.push(n);
        running += 1;
        mostRunning = Math.max(mostRunning, running);
        await Promise.resolve();
        running -= 1;
      }),
    ),
  );
  expect(started).toEqual(Array.from({ length: count }, (_, n) => n));
  expect(mostRunning).toBe(3);
});

test("a task that fails gives its place to the next", async () => {
  const pool = new ReadPool(1, clock);
  const first = pool.run(() => Promise.reject(new Error("no")));
  const second = pool.run(() => Promise.resolve(2));
  await expect(first).rejects.toThrow("no");
  expect(await second).toBe(2);
  await settle();
  expect(await pool.run(() => Promise.resolve(3))).toBe(3);
});

test("a task whose time is over when its turn comes is not done, and gives its place to the next", async () => {
  const pool = new ReadPool(1, clock);
  const held = Promise.withResolvers<void>();
  const done: string[] = [];
  const task = (name: string) => async (): Promise<void> => void done.push(name);
  const first = pool.run(() => held.promise, clock.nowMs + 1);
  const late = Array.from({ length: 100 }, () =>
    pool.run(task("late"), clock.nowMs + 50).catch((error: Error) => error),
  );
  const inTime = pool.run(task("in time"), clock.nowMs + 51);
  const whenever = pool.run(task("whenever"));
  clock.nowMs += 50;
  held.resolve();
  await Promise.all([first, inTime, whenever]);
  expect((await Promise.all(late)).every((end) => end instanceof ReadExpiredError)).toBe(true);
  expect(done).toEqual(["in time", "whenever"]);
});
