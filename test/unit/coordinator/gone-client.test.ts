/** A client that goes before its read is answered: what this node has not begun for it is left out, what others do is waited for. */
import { describe, expect, test } from "vitest";
import type { GetAnswer } from "../../../services/coordinator/contract.ts";
import { FakeCluster, type Fate, knobs } from "../../support/fake-cluster.ts";

const QUICK: Fate = { thereMs: 1, backMs: 1 };

interface Reading {
  readonly answer: () => GetAnswer | undefined;
  /** its client goes */
  readonly go: () => void;
}

/** A read through the first node, an owner, whose disk takes 300 ms. */
async function reading(r: number, fate: Fate): Promise<Reading & { readonly cluster: FakeCluster }> {
  const cluster = new FakeCluster({ fateOf: () => QUICK });
  await cluster.put(0, "a");
  await cluster.clock.advance(10);
  cluster.fateOf = () => fate;
  cluster.node(0).replica.readDelayMs = 300;
  const tell: (() => void)[] = [];
  const asker = { whenGone: (run: () => void): void => void tell.push(run) };
  let answer: GetAnswer | undefined;
  const { coordinator } = cluster.node(0);
  void coordinator.get({ name: cluster.name(), knobs: knobs({ r }), asker }).then((made) => {
    answer = made;
  });
  await cluster.clock.advance(0);
  const go = (): void => {
    for (const run of tell.splice(0)) run();
  };
  return { cluster, answer: () => answer, go };
}

describe("a read whose client has gone", () => {
  test("ends at once where nobody but this node's disk is at it, which is told", async () => {
    const { cluster, answer, go } = await reading(1, QUICK);
    await cluster.clock.advance(5);
    expect([answer(), cluster.node(0).replica.unwantedCount]).toEqual([undefined, 0]);
    go();
    await cluster.clock.advance(0);
    expect([answer()?.kind, cluster.node(0).replica.unwantedCount]).toEqual(["failed", 1]);
    const sent = cluster.sent.length;
    await cluster.clock.advance(3_000);
    expect(cluster.sent.length).toBe(sent);
  });

  test("waits for others that were asked, whose words lead to nothing more, and no longer", async () => {
    // whoever loses a link asks another owner, if somebody waits for that
    const { cluster, answer, go } = await reading(2, { thereMs: 1, backMs: -1, breaksMs: 200 });
    const sent = cluster.sent.length;
    go();
    await cluster.clock.advance(40);
    expect([answer(), cluster.node(0).replica.unwantedCount]).toEqual([undefined, 1]);
    await cluster.clock.advance(165);
    expect(answer()?.kind).toBe("failed");
    await cluster.clock.advance(3_000);
    expect(cluster.sent.length).toBe(sent);
  });

  test("is answered as ever when all is there by then", async () => {
    const { cluster, answer, go } = await reading(1, QUICK);
    await cluster.clock.advance(300);
    expect(answer()?.kind).toBe("found");
    go();
    await cluster.clock.advance(10);
    expect(answer()?.kind).toBe("found");
  });
});

test("what waits for this node's disk is not wanted any more once others have answered the read", async () => {
  const { cluster, answer } = await reading(1, QUICK);
  await cluster.clock.advance(100);
  // its disk was slow, and another owner was asked beside it
  expect([answer()?.kind, cluster.node(0).replica.unwantedCount]).toEqual(["found", 1]);
});
