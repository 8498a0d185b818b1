import { expect, it } from "vitest";
import { partitionHealing } from "../../../services/node/partition-healing.ts";
import { node } from "../../support/api-node.ts";

const facts = {
  self: node("a"),
  holders: ["a", "b", "c", "b"].map(node),
  healing: { verifiedMs: (other: string, partition: number) => (other === "b" && partition === 5 ? 4_000 : -1) },
  tombstonesWaitFor: (partition: number) => (partition === 5 ? "node c is away" : undefined),
  monotonicMs: () => 10_000,
  wallMs: () => 1_700_000_000_000,
};

it("each other holder is told once, with when it was last compared, by the wall clock", () => {
  expect(partitionHealing(facts, 5)).toEqual({
    isHeldHere: true,
    verified: [
      { node: "b", atMs: 1_699_999_994_000 },
      { node: "c", atMs: undefined },
    ],
    tombstonesWaitFor: "node c is away",
  });
});

it("what was never compared in this life has no time, and what nobody waits for no reason", () => {
  const { verified, tombstonesWaitFor } = partitionHealing(facts, 6);
  expect(verified.map(({ atMs }) => atMs)).toEqual([undefined, undefined]);
  expect(tombstonesWaitFor).toBeUndefined();
});

it("who holds no replica of it says so: that it never compared it tells nothing of the holders", () => {
  const elsewhere = { ...facts, holders: ["b", "c"].map(node) };
  expect(partitionHealing(elsewhere, 6)).toMatchObject({ isHeldHere: false, verified: [{ node: "b" }, { node: "c" }] });
});
