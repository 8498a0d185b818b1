/** The bound on reads in the thread pool. */
import { expect, test } from "vitest";
import { ReadPool } from "../../../storage/read-pool.ts";
import { settle } from "../../support/storage-fixtures.ts";

test("tasks run in the order of their calls, at most so many at a time, however long the line is", async () => {
  const pool = new ReadPool(3);
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
  const pool = new ReadPool(1);
  const first = pool.run(() => Promise.reject(new Error("no")));
  const second = pool.run(() => Promise.resolve(2));
  await expect(first).rejects.toThrow("no");
  expect(await second).toBe(2);
  await settle();
  expect(await pool.run(() => Promise.resolve(3))).toBe(3);
});
