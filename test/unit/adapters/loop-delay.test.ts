import { expect, test } from "vitest";
import { createLoopDelayMeter } from "../../../services/adapters/loop-delay.ts";

/** Holds the loop, and lets it go for one turn. */
async function stall(ms: number): Promise<void> {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs);
  await new Promise((fulfil) => {
    setImmediate(fulfil);
  });
}

test("stalls of the event loop are read once, and forgotten by the next reading", async () => {
  const meter = createLoopDelayMeter();
  expect(meter.read()).toBe(0);
  let delayMs = 0;
  for (let round = 0; round < 50 && delayMs < 50; round += 1) {
    await stall(120);
    delayMs = meter.read();
  }
  expect(delayMs).toBeGreaterThanOrEqual(50);
  expect(meter.read()).toBe(0);
  meter.close();
});
