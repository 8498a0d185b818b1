/** The command line of the load test. */
import { describe, expect, test } from "vitest";
import { parseOrder, UsageError } from "../../../loadtest/options.ts";
import { operationCount, sliceCount } from "../../../loadtest/plan.ts";
import { WORKLOADS } from "../../../loadtest/workloads.ts";

function asked(...words: readonly string[]): string {
  try {
    return parseOrder(words).kind;
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
}

describe("the command line", () => {
  test("runs a workload on a cluster of its own, with a node killed", () => {
    const order = parseOrder(["ycsb-a", "--rate", "300", "--seconds", "60", "--kill-node", "2", "--at", "30"]);
    expect(order).toMatchObject({
      kind: "run",
      options: {
        targets: undefined,
        rate: 300,
        seconds: 60,
        faults: [{ kind: "kill", node: 2, from: 0.5, to: 2 / 3 }],
      },
    });
  });

  test("takes the nodes of a cluster elsewhere", () => {
    const order = parseOrder(["ycsb-b", "--target", "http://a:4401/,http://b:4401", "--target", "https://c"]);
    expect(order).toMatchObject({ options: { targets: ["http://a:4401", "http://b:4401", "https://c"], faults: [] } });
  });

  test("has YCSB's five and kills a node in each for the suite", () => {
    const order = parseOrder(["suite", "--out", "docs/loadtest"]);
    if (order.kind !== "suite") throw new Error(order.kind);
    expect(order.runs.map(({ workload }) => workload.name)).toEqual(["ycsb-a", "ycsb-b", "ycsb-c", "ycsb-d", "ycsb-f"]);
    expect(order.runs.every(({ faults }) => faults.length === 1)).toBe(true);
  });

  test.each([
    [["nonsense"], /There is no workload nonsense\. There are: smoke, ycsb-a/],
    [["ycsb-e"], /order of their hashes/],
    [["ycsb-a", "--rate", "fast"], /--rate=fast: a number from/],
    [["ycsb-a", "--rate", "-1"], /--rate/],
    [["ycsb-a", "--target", "here"], /--target=here: an address such as/],
    [["ycsb-a", "--kill-node", "4"], /--kill-node=4: a number from 1 to 3/],
    [["ycsb-a", "--target", "http://a", "--kill-node", "1"], /--fault-command/],
    [["churn", "--target", "http://a"], /own cluster/],
    [["ycsb-a", "--fault-command", "true"], /--kill-node/],
    [["ycsb-a", "--quickly"], /quickly/],
    [["compare", "a.json"], /two summaries/],
    [["ycsb-a", "ycsb-b"], /one thing at a time/],
    [["suite", "--target", "http://a"], /cluster of its own/],
  ])("refuses %j in words", (words, expected) => {
    expect(asked(...words)).toMatch(expected);
  });

  test("asks for help by nothing, by word and by flag", () => {
    expect([asked(), asked("help"), asked("--help"), asked("ycsb-a", "--help")]).toEqual([
      "help",
      "help",
      "help",
      "help",
    ]);
  });
});

describe("workloads", () => {
  test.each(WORKLOADS)("$name mixes to a whole and stays within what the API takes", (workload) => {
    const sum = Object.values(workload.mix).reduce((a, b) => a + b, 0);
    expect(sum).toBeCloseTo(1, 9);
    expect(workload.valueBytes).toBeLessThanOrEqual(2 ** 20);
    for (const { from, to, node } of workload.faults) {
      expect(0 < from && from < to && to < 1 && node <= workload.nodeCount).toBe(true);
    }
  });

  test("are cut into slices that hold all of their operations", () => {
    const plan = { warmUpSeconds: 1, seconds: 2.05, rate: 7 };
    expect(sliceCount(plan)).toBe(31);
    expect(operationCount(plan)).toBe(21);
  });
});
