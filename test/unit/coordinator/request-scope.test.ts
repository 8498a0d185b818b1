/** The seats of a request, by tables that change ten times a second. */
import { describe, expect, test } from "vitest";
import { type NodeId, parseNodeId } from "../../../services/base/ids.ts";
import { SeatCache } from "../../../services/coordinator/request-scope.ts";
import type { PlacementTable, SlotHolder } from "../../../services/placement/types.ts";

function node(name: string): NodeId {
  const id = parseNodeId(name);
  if (id === undefined) throw new Error(name);
  return id;
}

function table(holders: readonly SlotHolder[], asked: number[] = []): PlacementTable {
  return {
    partitionCount: 64,
    replicaCount: 3,
    ringHash: 0n,
    members: [],
    ownersOf: (partition) => {
      asked.push(partition);
      return holders;
    },
    fallbacksOf: () => [],
    slotOf: () => -1,
    zoneOf: () => "",
  };
}

const HOLDERS: readonly SlotHolder[] = [
  { node: node("a"), slot: 0 },
  { node: node("b"), slot: 2 },
];

describe("seats", () => {
  test("are made once for a table, and kept for the next where the holders are the same", () => {
    const cache = new SeatCache();
    const asked: number[] = [];
    const first = table(HOLDERS, asked);
    const seats = cache.ownersOf(first, 5, 3);
    expect(cache.ownersOf(first, 5, 3)).toBe(seats);
    expect(asked).toEqual([5]);
    expect(cache.ownersOf(table([...HOLDERS]), 5, 3)).toBe(seats);
    const moved = table([HOLDERS[0] ?? { node: node("a"), slot: 0 }, { node: node("c"), slot: 2 }]);
    expect(cache.ownersOf(moved, 5, 3)).toMatchObject([
      { node: "a", slot: 0 },
      { node: "c", slot: 2, role: "owner" },
    ]);
    expect(cache.ownersOf(first, 5, 3)).toEqual(seats);
  });

  test("of a bucket with fewer replicas are those of its slots, wherever they stand in the list", () => {
    expect(new SeatCache().ownersOf(table(HOLDERS), 1, 2)).toMatchObject([{ node: "a", slot: 0 }]);
  });
});
