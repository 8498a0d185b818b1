import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { NodeId } from "../../../services/base/ids.ts";
import {
  applyChange,
  consumedTx,
  emptyLedger,
  isLedgerAtRest,
  type LedgerChange,
  movedTo,
  promiseFor,
  type SlotLedger,
} from "../../../services/cluster/slot-ledger.ts";
import { ledgerOf, plainLedger } from "../../../services/cluster/slot-ledger-codec.ts";
import { OTHER, SELF, THIRD } from "../../support/handover-facts.ts";

const NODE = "node-b" as NodeId;
const fresh = (...slots: readonly number[]): SlotLedger => emptyLedger(Int8Array.from(slots));
const released = (tx: number, slot: number) => ({ to: OTHER, toNode: NODE, tx, slot, atMs: 1, isSettled: false });

describe("the slot ledger", () => {
  it("consumes what was staged when the slot is taken, and forgets what led to it", () => {
    const ledger = fresh(-1);
    for (const change of [
      { kind: "receiving", partition: 0, from: OTHER },
      { kind: "staged", partition: 0, staged: { from: OTHER, tx: 7, slot: 2 } },
      { kind: "taken", partition: 0, slot: 2 },
    ] as const) {
      applyChange(ledger, change);
    }

    expect(ledger.slots[0]).toBe(2);
    expect(consumedTx(ledger, 0, OTHER)).toBe(7);
    expect(ledger.staged.size + ledger.receiving.size).toBe(0);
  });

  it("says to whom a slot went, until it holds one again", () => {
    const ledger = fresh(1);
    applyChange(ledger, { kind: "released", partition: 0, released: released(3, 1) });

    expect(movedTo(ledger, 0)).toBe(NODE);
    expect(ledger.retained.has(0)).toBe(true);

    applyChange(ledger, { kind: "dropped", partition: 0 });
    applyChange(ledger, { kind: "taken", partition: 0, slot: 2 });
    expect(movedTo(ledger, 0)).toBeUndefined();
  });

  it("is at rest only when nothing is held, staged, or waited for by a receiver", () => {
    const ledger = fresh(1);
    expect(isLedgerAtRest(ledger, () => false)).toBe(false);
    applyChange(ledger, { kind: "released", partition: 0, released: released(3, 1) });
    expect(isLedgerAtRest(ledger, () => false)).toBe(false);
    expect(isLedgerAtRest(ledger, (key) => key === OTHER)).toBe(true);
    applyChange(ledger, { kind: "settled", partition: 0, tx: 3 });
    expect(isLedgerAtRest(ledger, () => false)).toBe(true);
    applyChange(ledger, { kind: "staged", partition: 0, staged: { from: THIRD, tx: 1, slot: 0 } });
    expect(isLedgerAtRest(ledger, () => false)).toBe(false);
  });

  it("settles the release that is asked about, and no other", () => {
    const ledger = fresh(1);
    applyChange(ledger, { kind: "released", partition: 0, released: released(3, 1) });
    applyChange(ledger, { kind: "settled", partition: 0, tx: 2 });
    expect(ledger.released.get(0)?.isSettled).toBe(false);
  });

  it("refuses a second slot of a partition, and to give what is not held", () => {
    expect(() => applyChange(fresh(1), { kind: "taken", partition: 0, slot: 2 })).toThrow("one slot");
    expect(() => applyChange(fresh(-1), { kind: "released", partition: 0, released: released(1, 0) })).toThrow("held");
  });

  it("forgets the numbers of a removed donor, and no others", () => {
    const ledger = fresh(-1, -1);
    for (const [partition, from] of [
      [0, OTHER],
      [1, THIRD],
    ] as const) {
      applyChange(ledger, { kind: "staged", partition, staged: { from, tx: 5, slot: 0 } });
      applyChange(ledger, { kind: "taken", partition, slot: 0 });
    }
    applyChange(ledger, { kind: "forgotten", from: OTHER });
    expect([consumedTx(ledger, 0, OTHER), consumedTx(ledger, 1, THIRD)]).toEqual([0, 5]);
  });

  it("knows a promise until it is over", () => {
    const ledger = fresh(-1);
    const promise = { to: OTHER, tx: 4, isOver: false };
    applyChange(ledger, { kind: "promised", partition: 0, slot: 1, promise });
    expect(promiseFor(ledger, 0, 1)).toEqual(promise);
    applyChange(ledger, { kind: "promised", partition: 0, slot: 1, promise: { ...promise, isOver: true } });
    expect(promiseFor(ledger, 0, 1)).toBeUndefined();
  });
});

describe("the ledger as a document", () => {
  const partition = fc.nat({ max: 7 });
  const key = fc.constantFrom(SELF, OTHER, THIRD);
  const tx = fc.nat();
  const slot = fc.nat({ max: 2 });
  const change: fc.Arbitrary<LedgerChange> = fc.oneof(
    fc.record({ kind: fc.constant("counted" as const), tx }),
    fc.record({ kind: fc.constant("receiving" as const), partition, from: fc.option(key, { nil: undefined }) }),
    fc.record({
      kind: fc.constant("staged" as const),
      partition,
      staged: fc.option(fc.record({ from: key, tx, slot }), { nil: undefined }),
    }),
    fc.record({ kind: fc.constant("taken" as const), partition, slot }),
    fc.record({
      kind: fc.constant("released" as const),
      partition,
      released: fc.record({
        ...{ to: key, toNode: fc.constant(NODE), tx, slot, atMs: fc.nat() },
        isSettled: fc.boolean(),
      }),
    }),
    fc.record({ kind: fc.constant("dropped" as const), partition }),
    fc.record({
      ...{ kind: fc.constant("promised" as const), partition, slot },
      promise: fc.record({ to: key, tx, isOver: fc.boolean() }),
    }),
    fc.record({
      kind: fc.constant("minting" as const),
      partition,
      mint: fc.option(fc.record({ slot, tx }), { nil: undefined }),
    }),
  );

  it("comes back as it was, whatever has happened", () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
        const ledger = emptyLedger(new Int8Array(8).fill(-1));
        for (const one of changes) if (canFollow(ledger, one)) applyChange(ledger, one);
        expect(ledgerOf(JSON.parse(JSON.stringify(plainLedger(ledger))), 8)).toEqual(ledger);
      }),
    );
  });

  it("is none when anything about it is not as it was written", () => {
    const ledger = fresh(1, -1);
    applyChange(ledger, { kind: "released", partition: 0, released: released(3, 1) });
    const plain = plainLedger(ledger);
    const spoiled: readonly unknown[] = [
      undefined,
      { ...plain, slots: "1" },
      { ...plain, slots: ".x" },
      { ...plain, txCounter: -1 },
      { ...plain, keys: [] },
      { ...plain, keys: [OTHER, OTHER] },
      { ...plain, nodes: ["not a node!"] },
      { ...plain, released: [[0, 0, 0, 3, 1, 1]] },
      { ...plain, released: [...plain.released, ...plain.released] },
      { ...plain, released: [[2, 0, 0, 3, 1, 1, 0]] },
      { ...plain, retained: [0, 0] },
      { ...plain, retained: undefined },
    ];
    for (const value of spoiled) expect(ledgerOf(value, 2)).toBeUndefined();
    expect(ledgerOf(plain, 2)).toEqual(ledger);
  });

  it("takes any value without throwing", () => {
    fc.assert(fc.property(fc.anything(), (value) => ledgerOf(value, 8) === undefined));
  });
});

/** What the cores never do, the ledger asserts. */
function canFollow(ledger: SlotLedger, change: LedgerChange): boolean {
  if (!("partition" in change)) return true;
  const held = ledger.slots[change.partition];
  if (change.kind === "released") return held === change.released.slot;
  if (change.kind === "taken") {
    const staged = ledger.staged.get(change.partition);
    return held === -1 && (staged === undefined || staged.slot === change.slot);
  }
  return held === -1 || (change.kind !== "staged" && change.kind !== "minting");
}
