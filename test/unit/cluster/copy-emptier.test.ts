import { beforeEach, describe, expect, it } from "vitest";
import { HANDOVER_RETRY_MAX_MS } from "../../../services/base/limits.ts";
import { CopyEmptier } from "../../../services/cluster/copy-emptier.ts";
import { FakeHandoverCluster } from "../../support/fake-handover.ts";

let cluster: FakeHandoverCluster;
let emptier: CopyEmptier;
let isWanted: boolean;
let doneCount: number;

beforeEach(() => {
  cluster = new FakeHandoverCluster(1, 1);
  const node = cluster.node(0);
  node.data.set(0, "old");
  emptier = new CopyEmptier(cluster.partsOf(node), 0);
  isWanted = true;
  doneCount = 0;
});

const order = (): void =>
  emptier.empty({
    what: "clear",
    isWanted: () => isWanted,
    onDone: () => {
      doneCount += 1;
    },
  });

describe("a copy is emptied", () => {
  it("again and again until it is empty", async () => {
    cluster.node(0).failingDropCount = 2;
    order();
    await cluster.clock.advance(2 * HANDOVER_RETRY_MAX_MS + 10);
    expect([cluster.node(0).data.size, doneCount, emptier.isIdle]).toEqual([0, 1, true]);
  });

  it("only while it is wanted; then no timer is kept", async () => {
    cluster.node(0).failingDropCount = 1;
    order();
    await cluster.clock.advance(10);
    expect(emptier.isIdle).toBe(false);
    isWanted = false;
    emptier.review();
    expect([emptier.isIdle, cluster.clock.plannedCount]).toEqual([true, 0]);
    await cluster.clock.advance(HANDOVER_RETRY_MAX_MS);
    expect([cluster.node(0).data.get(0), doneCount]).toEqual(["old", 0]);
  });

  it("once at a time, and who has gone on meanwhile hears nothing", async () => {
    order();
    isWanted = false;
    order();
    await cluster.clock.advance(10);
    expect([doneCount, emptier.isIdle]).toEqual([0, true]);
  });
});
