/**
 * How loaded this process is: the event loop's delay and utilisation since the last reading, and its memory against what
 * the machine, the container or V8 allows. Must never hold the process open.
 */
import { totalmem } from "node:os";
import { performance } from "node:perf_hooks";
import { getHeapStatistics } from "node:v8";
import type { LoadMeter } from "../base/ports.ts";
import { createLoopDelayMeter } from "./loop-delay.ts";

/** Begins to measure. One reader: a reading begins anew. */
export function createProcessLoad(): LoadMeter & { close(): void } {
  const delay = createLoopDelayMeter();
  const constrained = process.constrainedMemory();
  let before = performance.eventLoopUtilization();
  return {
    heapLimitBytes: getHeapStatistics().heap_size_limit,
    // without a limit of the container the system says a number beyond any machine
    memoryLimitBytes: constrained > 0 && constrained < totalmem() ? constrained : totalmem(),
    read: () => {
      const now = performance.eventLoopUtilization();
      const { utilization } = performance.eventLoopUtilization(now, before);
      before = now;
      return { loopDelayMs: delay.read(), utilisation: utilization };
    },
    memory: () => ({ residentBytes: process.memoryUsage.rss(), heapBytes: getHeapStatistics().used_heap_size }),
    close: () => delay.close(),
  };
}
