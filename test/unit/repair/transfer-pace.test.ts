/** How fast transfers go, and when they hold back. */
import { describe, expect, test } from "vitest";
import {
  MAX_TRANSFER_PAGES,
  MAX_WAITING_TRANSFER_PAGES,
  MIN_TRANSFER_BYTES_PER_SECOND,
  TRANSFER_BYTES_PER_SECOND,
  TRANSFER_PAGE_BYTES,
} from "../../../services/base/limits.ts";
import { TransferPace, WorkSlices } from "../../../services/repair/transfer-pace.ts";
import { WaitClock } from "../../support/transfer-fixture.ts";

const page = async (): Promise<{ readonly sizeBytes: number }> => ({ sizeBytes: TRANSFER_PAGE_BYTES });

/** Bytes a second over so many pages, one after the other. */
async function rateOf(clock: WaitClock, pace: TransferPace, pageCount: number): Promise<number> {
  const startMs = clock.nowMs;
  for (let n = 0; n < pageCount; n += 1) await pace.run(page);
  return (pageCount * TRANSFER_PAGE_BYTES * 1_000) / (clock.nowMs - startMs);
}

describe("the pace of transfers", () => {
  test("is the rate that was set, over all of them", async () => {
    const clock = new WaitClock();
    const pace = new TransferPace({ clock, share: () => 1 });
    const rate = await rateOf(clock, pace, 400);
    expect(rate / TRANSFER_BYTES_PER_SECOND).toBeGreaterThan(0.9);
    expect(rate / TRANSFER_BYTES_PER_SECOND).toBeLessThan(1.15);
  });

  test("is the share that background work has, not below a floor, and comes back", async () => {
    const clock = new WaitClock();
    let share = 0.5;
    const pace = new TransferPace({ clock, share: () => share });
    await rateOf(clock, pace, 150);
    expect(pace.bytesPerSecond).toBe(TRANSFER_BYTES_PER_SECOND / 2);
    share = 0.001;
    await rateOf(clock, pace, 150);
    expect(pace.bytesPerSecond).toBe(MIN_TRANSFER_BYTES_PER_SECOND);
    const slow = await rateOf(clock, pace, 10);
    expect(slow / MIN_TRANSFER_BYTES_PER_SECOND).toBeLessThan(1.2);
    share = 1;
    await rateOf(clock, pace, 400);
    expect(pace.bytesPerSecond).toBe(TRANSFER_BYTES_PER_SECOND);
  });

  test("makes a few pages at a time, lets as many wait as its bound says, and refuses more", async () => {
    const clock = new WaitClock();
    const pace = new TransferPace({ clock, share: () => 1 });
    let running = 0;
    let most = 0;
    const held = Promise.withResolvers<void>();
    const slow = async (): Promise<{ readonly sizeBytes: number }> => {
      running += 1;
      most = Math.max(most, running);
      await held.promise;
      running -= 1;
      return { sizeBytes: 1 };
    };
    const all = Array.from({ length: MAX_TRANSFER_PAGES + MAX_WAITING_TRANSFER_PAGES + 3 }, () => pace.run(slow));
    await new Promise((resolve) => setImmediate(resolve));
    expect(running).toBe(MAX_TRANSFER_PAGES);
    held.resolve();
    const ends = await Promise.all(all);
    expect(ends.filter((end) => end === "busy")).toHaveLength(3);
    expect([most, running]).toEqual([MAX_TRANSFER_PAGES, 0]);
    expect(await pace.run(page)).toEqual({ sizeBytes: TRANSFER_PAGE_BYTES });
  });

  test("gives the place of a page that failed to the next one", async () => {
    const pace = new TransferPace({ clock: new WaitClock(), share: () => 1 });
    const failing = Array.from({ length: 3 * MAX_TRANSFER_PAGES }, () =>
      pace.run(async () => Promise.reject(new Error("no page"))),
    );
    const ends = await Promise.allSettled(failing);
    expect(new Set(ends.map((end) => end.status))).toEqual(new Set(["rejected"]));
    expect(await pace.run(page)).toEqual({ sizeBytes: TRANSFER_PAGE_BYTES });
  });
});

test("a slice of work is over after its time, and begins again after a rest", async () => {
  const clock = new WaitClock();
  const slices = new WorkSlices(clock);
  clock.nowMs += 1;
  expect(slices.isOver).toBe(false);
  clock.nowMs += 1;
  expect(slices.isOver).toBe(true);
  await slices.rest();
  expect(slices.isOver).toBe(false);
});
