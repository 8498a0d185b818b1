/** Whoever waits for hints while missed writes are still being kept, slowly: they end, and so does the wait. */
import { describe, expect, test } from "vitest";
import { HINT_FLUSH_POLL_MS, MISSED_WRITE_TIMEOUT_MS } from "../../../services/base/hint-limits.ts";
import { parseNodeId } from "../../../services/base/ids.ts";
import type { HintsWaited } from "../../../services/base/repair-reports.ts";
import { HintFlush } from "../../../services/handoff/hint-flush.ts";
import { SimRandom } from "../../sim/sim-random.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const SELF = parseNodeId("n1") ?? expect.fail("a node id");
/** its own store, and then that of the hints, each as late as it may be */
const SLOWEST_MS = 2 * MISSED_WRITE_TIMEOUT_MS;

/** A node without hints, with missed writes at every question that take so long to be kept. */
function slowToKeep(keepMs: number): {
  readonly clock: FakeClock;
  readonly flush: HintFlush;
  readonly asked: number[];
} {
  const clock = new FakeClock();
  const asked: number[] = [];
  const flush = new HintFlush({
    self: SELF,
    clock,
    random: new SimRandom("flush"),
    members: () => [SELF],
    isAlive: () => true,
    whenReady: async () => undefined,
    peers: { ask: async () => expect.fail("there is nobody else") },
    markers: { flush: async () => undefined },
    delivery: { forEachPlace: () => undefined, forEachVacant: () => undefined, hurry: () => undefined },
    missedWrites: {
      settled: () => {
        asked.push(clock.monotonicMs());
        return new Promise((resolve) => clock.setTimer(keepMs, resolve));
      },
    },
  });
  return { clock, flush, asked };
}

/** What a wait came to, and how often missed writes were waited for. */
async function waited(keepMs: number, timeoutMs: number): Promise<HintsWaited & { readonly questions: number }> {
  const { clock, flush, asked } = slowToKeep(keepMs);
  let end: HintsWaited | undefined;
  void flush.wait(timeoutMs).then((one) => {
    end = one;
  });
  for (let ms = 0; ms < 120_000 && end === undefined; ms += 250) await clock.advance(250);
  if (end === undefined) throw new Error("still waiting after two minutes");
  return { ...end, questions: asked.length };
}

describe("a wait for hints", () => {
  test.each([0, 1_000, 12_000, SLOWEST_MS])(
    "ends with the missed writes that were there when it began: %i ms",
    async (keepMs) => {
      const end = await waited(keepMs, 60_000);
      expect(end).toMatchObject({ isDone: true, left: [], unreachable: [], questions: 1 });
      expect(end.durationMs).toBeLessThanOrEqual(keepMs + HINT_FLUSH_POLL_MS);
    },
  );

  test("is over when its time is, though they are not kept yet", async () => {
    const end = await waited(SLOWEST_MS, 2_000);
    expect(end).toMatchObject({ isDone: false, unreachable: [SELF] });
    expect(end.durationMs).toBeLessThanOrEqual(2_000 + HINT_FLUSH_POLL_MS);
  });
});
