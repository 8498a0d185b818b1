/** The bound on reads in the thread pool. */
import fc from "fast-check";
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

/** A term that ends when it is told to. */
class Term {
  readonly byMs = Number.POSITIVE_INFINITY;
  #run: (() => void) | undefined;
  whenOver(run: () => void): void {
    this.#run = run;
  }
  end(): void {
    this.#run?.();
  }
}

test("ten thousand that stop waiting leave the line at once, and those among them have their turns", async () => {
  const pool = new ReadPool(1, clock);
  const held = Promise.withResolvers<void>();
  const first = pool.run(() => held.promise);
  const done: number[] = [];
  const terms = Array.from({ length: 10_000 }, () => new Term());
  const ends = terms.map((term, n) =>
    pool.run(async () => void done.push(n), term).catch((error: unknown) => error instanceof ReadExpiredError),
  );
  expect(pool.waitingCount).toBe(10_000);
  const stays = (n: number): boolean => n % 1_000 === 7;
  terms.forEach((term, n) => {
    if (!stays(n)) term.end();
  });
  expect(pool.waitingCount).toBe(10);
  await settle();
  expect((await Promise.all(ends.filter((_, n) => !stays(n)))).every((end) => end === true)).toBe(true);
  held.resolve();
  await Promise.all([first, ...ends]);
  expect(done).toEqual(terms.map((_, n) => n).filter(stays));
  // one that ends later changes nothing
  for (const term of terms) term.end();
  expect(pool.waitingCount).toBe(0);
  expect(await pool.run(() => Promise.resolve(1))).toBe(1);
});

test("whoever leaves when, each of the others has one turn, in the order of the calls, and never more at a time than may", async () => {
  type Step = { readonly what: "come" | "leave" | "end"; readonly at: number };
  const step = fc.record<Step>({ what: fc.constantFrom("come", "come", "leave", "end"), at: fc.nat(40) });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 120 }), fc.integer({ min: 1, max: 3 }), async (steps, limit) => {
      const pool = new ReadPool(limit, clock);
      const terms: Term[] = [];
      const begun: number[] = [];
      const running = new Map<number, () => void>();
      const left = new Set<number>();
      const come = (n: number): void => {
        const term = new Term();
        terms.push(term);
        const task = (): Promise<void> => {
          begun.push(n);
          return new Promise((resolve) => running.set(n, resolve));
        };
        pool.run(task, term).catch(() => left.add(n));
      };
      const end = async (): Promise<void> => {
        const [n, resolve] = running.entries().next().value ?? [];
        if (n !== undefined) running.delete(n);
        resolve?.();
        await settle(4);
      };
      for (const { what, at } of steps) {
        if (what === "come") come(terms.length);
        else if (what === "leave") terms[at]?.end();
        else await end();
        await settle(4);
        expect(running.size).toBeLessThanOrEqual(limit);
      }
      while (running.size > 0) await end();
      expect(begun).toEqual(terms.map((_, n) => n).filter((n) => !left.has(n)));
      expect(pool.waitingCount).toBe(0);
    }),
  );
});
