/** What a node says of its readiness. */
import { describe, expect, it } from "vitest";
import { NodeStatusView, type StatusParts } from "../../../services/node/node-status.ts";

function readiness({ isHearing = false, isWarmingUp = false }): readonly string[] {
  const parts = {
    engine: { failure: undefined, recovery: { mode: "clean" }, disk: { level: "ok", freeBytes: 1, totalBytes: 1 } },
    bootstrap: { view: () => ({ isBootstrapped: true }) },
    membership: { isRemoved: false, store: { record: { status: "normal" } } },
    pulse: { words: "well" },
    door: { isHearing },
    calm: { isWarmingUp },
    isStopping: () => false,
  };
  const status = new NodeStatusView(parts as unknown as StatusParts);
  return status.readyz().flatMap(({ name, isOk, reason }) => (isOk ? [] : [`${name}: ${reason}`]));
}

describe("a node that has just started", () => {
  it("is not ready while it hears what was collected: reads would do without it", () => {
    expect(readiness({ isHearing: true })).toEqual(["collecting: hearing what was collected meanwhile: at most 3 s"]);
    expect(readiness({})).toEqual([]);
  });

  it("is not ready while it warms up with others' work", () => {
    expect(readiness({ isWarmingUp: true })).toEqual(["warm-up: does its part for the other nodes first: at most 3 s"]);
  });
});
