import { expect, test } from "vitest";
import { createLoopDelayMeter } from "../../../services/adapters/loop-delay.ts";

function stall(ms: number): void {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs);
}

const turn = (): Promise<void> =>
  new Promise((fulfil) => {
    setImmediate(fulfil);
  });

test("a stall of the event loop is read once, whether a look came before the reading or not", async () => {
  const meter = createLoopDelayMeter();
  stall(120);
  expect(meter.read()).toBeGreaterThanOrEqual(90);
  stall(120);
  await turn();
  await turn();
  const readMs = performance.now();
  expect(meter.read()).toBeGreaterThanOrEqual(90);
  // 0, unless the machine itself stood still between the two
  expect(meter.read()).toBeLessThanOrEqual(performance.now() - readMs);
  meter.close();
});
