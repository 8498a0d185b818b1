/** How many requests of a class are let in, by how long they take. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MAX_INFLIGHT_REQUESTS } from "../../../services/base/limits.ts";
import {
  CONCURRENCY_FLOOR,
  CONCURRENCY_INTERVAL_MS,
  QUIET_LATENCY_MEMORY_MS,
} from "../../../services/base/load-limits.ts";
import { ConcurrencyLimit, type ConcurrencyReading } from "../../../services/calm/concurrency-core.ts";

type Seen = Partial<Omit<ConcurrencyReading, "nowMs">>;

/** A limit that has seen a quiet node for a second: 4 ms for the typical request. */
function quiet(): { see(seen: Seen, times?: number): number; readonly limit: ConcurrencyLimit } {
  const limit = new ConcurrencyLimit();
  let nowMs = 0;
  const see = (seen: Seen, times = 1): number => {
    for (let n = 0; n < times; n += 1) {
      nowMs += CONCURRENCY_INTERVAL_MS;
      limit.interval({ nowMs, medianMs: 4, inflightCount: 10, refusedCount: 0, ...seen });
    }
    return limit.limit;
  };
  see({}, 10);
  return { see, limit };
}

/**
 * A node of fixed capacity behind the limit: whatever is over waits in line, so latency is what is in flight over the
 * capacity. Answers the goodput as a share of the capacity and the last median, after `seconds` of `offered` × capacity.
 */
function simulated(offered: number, seconds: number): { readonly goodShare: number; readonly medianMs: number } {
  const perInterval = 500;
  const limit = new ConcurrencyLimit();
  let [inflight, done, medianMs] = [0, 0, 4];
  for (let n = 1; n <= seconds * 10; n += 1) {
    let refusedCount = 0;
    let served = 0;
    // A hundred small steps of an interval: requests come evenly, and are done in the order of their coming.
    for (let step = 0; step < 100; step += 1) {
      const arriving = (perInterval * offered) / 100;
      const taken = Math.min(arriving, Math.max(0, limit.limit - inflight));
      refusedCount += arriving - taken;
      inflight += taken;
      const ready = Math.min(inflight, perInterval / 100);
      inflight -= ready;
      served += ready;
    }
    done += served;
    medianMs = 4 + (inflight / perInterval) * CONCURRENCY_INTERVAL_MS;
    limit.interval({ nowMs: n * CONCURRENCY_INTERVAL_MS, medianMs, inflightCount: inflight, refusedCount });
  }
  return { goodShare: done / (seconds * 10 * perInterval * Math.min(1, offered)), medianMs };
}

describe("the limit of requests under way", () => {
  it("is the fixed bound on a quiet node", () => {
    expect(quiet().limit.limit).toBe(MAX_INFLIGHT_REQUESTS);
  });

  it("falls to about what is under way, and further, when the typical request waits too long", () => {
    const { see } = quiet();
    expect(see({ medianMs: 304, inflightCount: 400 })).toBe(400);
    expect(see({ medianMs: 304, inflightCount: 300, refusedCount: 5 }, 3)).toBeLessThan(400);
  });

  it("is not lowered again before the last time can have shown", () => {
    const { see } = quiet();
    see({ medianMs: 504, inflightCount: 400 });
    expect(see({ medianMs: 504, inflightCount: 390, refusedCount: 9 }, 4)).toBe(400);
    expect(see({ medianMs: 504, inflightCount: 390, refusedCount: 9 })).toBe(200);
  });

  it("is never below its floor, and comes back within three seconds when nothing waits", () => {
    const { see } = quiet();
    expect(see({ medianMs: 2_000, inflightCount: 90, refusedCount: 9 }, 200)).toBe(CONCURRENCY_FLOOR);
    expect(see({ medianMs: 6 }, 30)).toBe(MAX_INFLIGHT_REQUESTS);
  });

  it("takes a latency that nothing lowers for the node's own after a minute, and lets more in again", () => {
    const { see } = quiet();
    const minutes = (QUIET_LATENCY_MEMORY_MS / CONCURRENCY_INTERVAL_MS) * 2;
    see({ medianMs: 180, inflightCount: 80 }, minutes);
    expect(see({ medianMs: 180, inflightCount: 80 })).toBe(MAX_INFLIGHT_REQUESTS);
  });

  it("does not grow while requests hang and nothing is answered", () => {
    const { see, limit } = quiet();
    see({ medianMs: 2_000, inflightCount: 90, refusedCount: 9 }, 200);
    see({ medianMs: undefined, inflightCount: limit.limit }, 50);
    expect(limit.limit).toBe(CONCURRENCY_FLOOR);
    expect(see({ medianMs: undefined, inflightCount: 0 }, 30)).toBe(MAX_INFLIGHT_REQUESTS);
  });

  it("stays between its bounds whatever is seen", () => {
    const seen = fc.record({
      medianMs: fc.option(fc.double({ min: 0, max: 1e6, noNaN: true }), { nil: undefined }),
      inflightCount: fc.nat(2_000),
      refusedCount: fc.nat(100_000),
    });
    fc.assert(
      fc.property(fc.array(seen, { maxLength: 300 }), (all) => {
        const { see } = quiet();
        for (const one of all) {
          const limit = see(one);
          expect(limit >= CONCURRENCY_FLOOR && limit <= MAX_INFLIGHT_REQUESTS).toBe(true);
        }
      }),
    );
  });

  it.each([1.2, 3, 10])("keeps a node busy and its queue short at %d × its capacity", (offered) => {
    const { goodShare, medianMs } = simulated(offered, 30);
    expect(goodShare).toBeGreaterThan(0.98);
    expect(medianMs).toBeLessThan(130);
  });

  it("refuses nobody at nine tenths of the capacity", () => {
    expect(simulated(0.9, 10).goodShare).toBeGreaterThan(0.999);
  });
});
