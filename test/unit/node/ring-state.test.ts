import { expect, it } from "vitest";
import { MAX_PARTITIONS } from "../../../services/base/limits.ts";
import { emptyLedger } from "../../../services/cluster/slot-ledger.ts";
import { RingState } from "../../../services/node/ring-state.ts";

it("serves what the ledger says, and what is held later", () => {
  const ring = new RingState();
  expect(ring.slotOf(0)).toBe(-1);
  ring.begin(emptyLedger(new Int8Array(64).fill(2)));
  ring.hold(5, -1);
  expect([ring.slotOf(0), ring.slotOf(5), ring.slotOf(64), ring.slotOf(MAX_PARTITIONS)]).toEqual([2, -1, -1, -1]);
});

it("a removed node serves nothing any more, though a hand-over that was under way comes to its end", () => {
  const ring = new RingState();
  ring.begin(emptyLedger(new Int8Array(64).fill(2)));
  ring.dropAll();
  ring.hold(5, 1);
  ring.begin(emptyLedger(new Int8Array(64).fill(2)));
  expect([ring.slotOf(0), ring.slotOf(5)]).toEqual([-1, -1]);
});
