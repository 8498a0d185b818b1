/** How many requests of each class are let in, and why so few. */
import { describe, expect, it } from "vitest";
import { MAX_INFLIGHT_REQUESTS } from "../../../services/base/limits.ts";
import {
  CONCURRENCY_FLOOR,
  FULL_MEMORY_DELETES,
  LOOP_DELAY_SHED_DATA_MS,
  LOOP_DELAY_SHED_LIST_MS,
  SLOW_START_MS,
  STRAINED_REQUESTS,
} from "../../../services/base/load-limits.ts";
import {
  AdmissionLimits,
  type AdmissionSample,
  type ApiCounts,
  type Work,
} from "../../../services/calm/admission-limits-core.ts";
import { LatencyWindow } from "../../../services/calm/latency-window-core.ts";
import { LoopStrainCore } from "../../../services/calm/loop-strain-core.ts";
import { memoryShareOf, nextMemoryState } from "../../../services/calm/memory-core.ts";
import { slowStartShare } from "../../../services/calm/slow-start-core.ts";

const CLASSES: readonly Work[] = ["control", "write", "read", "list"];

interface Rig {
  readonly limits: AdmissionLimits;
  sample(sample?: Partial<AdmissionSample>, times?: number): readonly number[];
  readonly read: LatencyWindow;
  readonly write: LatencyWindow;
  inflight: number;
  /** refused since the start, of each class */
  refused: number;
}

function rig(): Rig {
  const limits = new AdmissionLimits();
  const [read, write] = [new LatencyWindow(), new LatencyWindow()];
  let nowMs = 0;
  const made: Rig = {
    limits,
    read,
    write,
    inflight: 0,
    refused: 0,
    sample: (sample = {}, times = 1) => {
      const counts: ApiCounts = { inflightOf: () => made.inflight, refusedOf: () => made.refused };
      for (let n = 0; n < times; n += 1) {
        nowMs += 100;
        const calm = { nowMs, loopDelayMs: 0, utilisation: 0.5, memory: "roomy", startShare: 1 } as const;
        limits.sample({ ...calm, ...sample }, { read, write }, counts);
      }
      return CLASSES.map((work) => limits.of(work));
    },
  };
  return made;
}

const ALL = MAX_INFLIGHT_REQUESTS;
const { POSITIVE_INFINITY: EVERY } = Number;

describe("what is admitted", () => {
  it("is shed from the sample on in which somebody was refused or had to wait, until a second later", () => {
    const node = rig();
    node.sample();
    expect(node.limits.isShedding).toBe(false);
    node.refused += 1;
    node.sample();
    expect(node.limits.isShedding).toBe(true);
    node.sample({}, 9);
    expect(node.limits.isShedding).toBe(true);
    node.sample();
    expect(node.limits.isShedding).toBe(false);
  });

  it("is everything before anybody has looked, and the fixed bounds on a quiet node", () => {
    const node = rig();
    expect(CLASSES.map((work) => node.limits.of(work))).toEqual([EVERY, EVERY, EVERY, EVERY]);
    expect(node.sample()).toEqual([EVERY, ALL, ALL, ALL / 2]);
  });

  it("is less of the class that waits, and not of the other one", () => {
    const node = rig();
    const see = (latencyMs: number): void => {
      node.write.clear();
      for (let n = 0; n < 20; n += 1) node.write.observe(latencyMs);
      node.sample();
    };
    see(5);
    node.inflight = 100;
    for (let n = 0; n < 200; n += 1) see(2_000);
    expect(CLASSES.map((work) => node.limits.of(work))).toEqual([EVERY, CONCURRENCY_FLOOR, ALL, ALL / 2]);
    expect(node.limits.reasonOf("write")).toBe("this node has all the write work that it can do soon");
    expect(CLASSES.map((work) => node.limits.causeOf(work))).toEqual(["limit", "limit", "limit", "limit"]);
  });

  it("is no listing while the event loop is late again and again, and few requests of data when it is very late", () => {
    const node = rig();
    node.sample({ loopDelayMs: LOOP_DELAY_SHED_LIST_MS + 1 }, 2);
    expect(node.sample()).toEqual([EVERY, ALL, ALL, ALL / 2]);
    expect(node.sample({ loopDelayMs: LOOP_DELAY_SHED_LIST_MS + 1 })).toEqual([EVERY, ALL, ALL, 0]);
    expect([node.limits.causeOf("list"), node.limits.causeOf("read")]).toEqual(["event_loop", "limit"]);
    node.sample({ loopDelayMs: LOOP_DELAY_SHED_DATA_MS + 1 }, 2);
    expect(node.limits.of("read")).toBe(ALL);
    const few = STRAINED_REQUESTS;
    expect(node.sample({ loopDelayMs: LOOP_DELAY_SHED_DATA_MS + 1 })).toEqual([EVERY, few, few, 0]);
    expect(node.limits.reasonOf("read")).toBe("this node's event loop is late");
    expect(node.limits.causeOf("read")).toBe("event_loop");
    expect(node.sample({}, 10)).toEqual([EVERY, ALL, ALL, ALL / 2]);
  });

  it("is no value, a few deletes, and fewer reads, when memory is full; of both less when it is nearly full", () => {
    const node = rig();
    expect(node.sample({ memory: "tight" })).toEqual([EVERY, ALL / 4, ALL / 2, 0]);
    expect(node.limits.reasonOf("list")).toBe("this node's memory is nearly full");
    expect(node.limits.causeOf("list")).toBe("memory");
    expect(node.limits.takesValues).toBe(true);
    expect(node.sample({ memory: "full" })).toEqual([EVERY, FULL_MEMORY_DELETES, ALL / 2, 0]);
    expect(node.limits.takesValues).toBe(false);
    expect(node.limits.reasonOf("write")).toBe("this node has no memory left for more deletes at a time");
  });

  it("is a share of it soon after a start, but never nothing", () => {
    const node = rig();
    expect(node.sample({ startShare: 0.25 })).toEqual([EVERY, ALL / 4, ALL / 4, ALL / 8]);
    expect(node.sample({ startShare: 0.001 })[1]).toBe(STRAINED_REQUESTS);
  });
});

describe("the strain of the event loop", () => {
  it("is none for a listing that has the node to itself, however busy the loop is", () => {
    const core = new LoopStrainCore();
    const see = (isBusy: boolean): string[] => Array.from({ length: 10 }, () => core.sample(5, 1, isBusy));
    expect(see(false).at(-1)).toBe("none");
    expect(see(true).at(-1)).toBe("lists");
    expect(core.sample(5, 0.94, true)).toBe("none");
  });
});

describe("memory", () => {
  const reading = { residentBytes: 50, memoryLimitBytes: 100, heapBytes: 30, heapLimitBytes: 40 };

  it("is as full as the fuller of process and heap", () => {
    expect(memoryShareOf(reading)).toBe(0.75);
    expect(memoryShareOf({ ...reading, residentBytes: 120 })).toBe(1.2);
  });

  it.each([
    ["roomy", 0.85, "roomy"],
    ["roomy", 0.86, "tight"],
    ["roomy", 0.96, "full"],
    ["tight", 0.94, "tight"],
    ["tight", 0.83, "tight"],
    ["tight", 0.82, "roomy"],
    ["full", 0.93, "full"],
    ["full", 0.91, "tight"],
    ["full", 0.1, "roomy"],
  ] as const)("that was %s is at a share of %d %s: worse at once, better with some room", (before, share, after) => {
    expect(nextMemoryState(before, share)).toBe(after);
  });
});

describe("a slow start", () => {
  it.each([
    [0, 0.1],
    [SLOW_START_MS / 2, 0.55],
    [SLOW_START_MS, 1],
    [SLOW_START_MS * 9, 1],
  ])("admits after %d ms a share of %d", (sinceMs, share) => {
    expect(slowStartShare(sinceMs, true)).toBeCloseTo(share);
  });

  it("is none for a node that is alone", () => {
    expect(slowStartShare(0, false)).toBe(1);
  });
});
