/** What a process says of its own load. */
import { expect, test } from "vitest";
import { createProcessLoad } from "../../../services/adapters/process-load.ts";

test("the load of this process: a loop that was blocked is seen once, memory lies within its limits", async () => {
  const load = createProcessLoad();
  load.read();
  const blockedUntil = performance.now() + 80;
  while (performance.now() < blockedUntil);
  const { loopDelayMs, utilisation } = load.read();
  expect(loopDelayMs).toBeGreaterThan(40);
  expect(utilisation).toBeGreaterThan(0);
  expect(utilisation).toBeLessThanOrEqual(1);
  const { residentBytes, heapBytes } = load.memory();
  expect(heapBytes).toBeGreaterThan(1e6);
  expect(residentBytes).toBeGreaterThan(heapBytes / 4);
  expect(load.memoryLimitBytes).toBeGreaterThan(residentBytes);
  expect(load.heapLimitBytes).toBeGreaterThan(heapBytes);
  load.close();
});
