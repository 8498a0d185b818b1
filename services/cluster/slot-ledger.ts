/**
 * SlotLedger: what this node must never forget of slots that change hands: those it holds, has staged, has given away,
 * and has promised to leave to another. Changes are values, so that what is durable is a list of them. Must never decide.
 *
 * Source: gossip-ring notes §B.5; the cores beside this file say what each entry protects.
 */
import assert from "node:assert/strict";
import type { NodeId } from "../base/ids.ts";
import type { MemberKey } from "../placement/member-record.ts";

/** A copy that is complete here and waits for its donor's release: the slot may be in transit. */
export interface StagedSlot {
  readonly from: MemberKey;
  readonly tx: number;
  readonly slot: number;
}

/** The last slot of a partition that this node gave away. */
export interface ReleasedSlot {
  readonly to: MemberKey;
  readonly toNode: NodeId;
  readonly tx: number;
  readonly slot: number;
  /** wall clock, milliseconds since 1970 */
  readonly atMs: number;
  /** the receiver has said that it took the slot with all that this node had */
  readonly isSettled: boolean;
}

/** A vacant slot that this node leaves to another: until the promise is over it takes that slot from nobody else. */
export interface SlotPromise {
  readonly to: MemberKey;
  /** the minting's number at `to` */
  readonly tx: number;
  readonly isOver: boolean;
}

/** All of it. Entries of a partition are absent rather than empty. */
export interface SlotLedger {
  /** the highest transfer number that this node has used */
  txCounter: number;
  /** the slot held of each partition, −1 for none; as long as Q */
  readonly slots: Int8Array;
  readonly staged: Map<number, StagedSlot>;
  /** by partition and donor: the highest transfer whose slot this node has taken */
  readonly consumed: Map<number, Map<MemberKey, number>>;
  readonly released: Map<number, ReleasedSlot>;
  /**
   * by partition: the donor whose copy is being fetched, what an older tenure left being cleared already; or this node itself,
   * for what a minting that was given up has merged
   */
  readonly receiving: Map<number, MemberKey>;
  /** by partition and slot */
  readonly promises: Map<number, Map<number, SlotPromise>>;
  /** by partition: the slot that this node itself is minting, and under which number */
  readonly minting: Map<number, { readonly slot: number; readonly tx: number }>;
  /** partitions given away whose old copy is still on this disk */
  readonly retained: Set<number>;
}

/** One change. */
export type LedgerChange =
  | { readonly kind: "counted"; readonly tx: number }
  | { readonly kind: "receiving"; readonly partition: number; readonly from: MemberKey | undefined }
  | { readonly kind: "staged"; readonly partition: number; readonly staged: StagedSlot | undefined }
  /** the slot is held from now on: what was staged is consumed, what was being received or minted is over */
  | { readonly kind: "taken"; readonly partition: number; readonly slot: number }
  /** the slot is given away; the copy is kept */
  | { readonly kind: "released"; readonly partition: number; readonly released: ReleasedSlot }
  | { readonly kind: "settled"; readonly partition: number; readonly tx: number }
  | { readonly kind: "dropped"; readonly partition: number }
  | { readonly kind: "promised"; readonly partition: number; readonly slot: number; readonly promise: SlotPromise }
  | { readonly kind: "minting"; readonly partition: number; readonly mint: { slot: number; tx: number } | undefined }
  /** a removed donor's entries are of no use any more */
  | { readonly kind: "forgotten"; readonly from: MemberKey };

/** The ledger of a node that holds `slots` (kept, not copied) and has never handed anything over. */
export function emptyLedger(slots: Int8Array): SlotLedger {
  return {
    txCounter: 0,
    slots,
    staged: new Map(),
    consumed: new Map(),
    released: new Map(),
    receiving: new Map(),
    promises: new Map(),
    minting: new Map(),
    retained: new Set(),
  };
}

/** The highest transfer of `from` that this node has consumed for the partition, 0 for none. */
export function consumedTx(ledger: SlotLedger, partition: number, from: MemberKey): number {
  return ledger.consumed.get(partition)?.get(from) ?? 0;
}

/** The promise that stands for a slot, or undefined when none does. */
export function promiseFor(ledger: SlotLedger, partition: number, slot: number): SlotPromise | undefined {
  const promise = ledger.promises.get(partition)?.get(slot);
  return promise === undefined || promise.isOver ? undefined : promise;
}

/** To whom the partition's slot went last, or undefined; what a replica without a slot answers `moved` by. */
export function movedTo(ledger: SlotLedger, partition: number): NodeId | undefined {
  return ledger.slots[partition] === -1 ? ledger.released.get(partition)?.toNode : undefined;
}

/** True when the node may end its membership: it holds nothing, waits for nothing, and is needed by no receiver. */
export function isLedgerAtRest(ledger: SlotLedger, isRemoved: (key: MemberKey) => boolean): boolean {
  if (ledger.slots.some((slot) => slot !== -1) || ledger.staged.size > 0 || ledger.minting.size > 0) return false;
  return [...ledger.released.values()].every((released) => released.isSettled || isRemoved(released.to));
}

/** Changes the ledger in place. A change that cannot follow from the ledger as it is, is a bug: asserts. */
export function applyChange(ledger: SlotLedger, change: LedgerChange): void {
  switch (change.kind) {
    case "counted":
      ledger.txCounter = Math.max(ledger.txCounter, change.tx);
      break;
    case "receiving":
      setOrDelete(ledger.receiving, change.partition, change.from);
      break;
    case "staged":
      assert.ok(change.staged === undefined || ledger.slots[change.partition] === -1, "who holds a slot stages none");
      setOrDelete(ledger.staged, change.partition, change.staged);
      break;
    case "taken":
      take(ledger, change.partition, change.slot);
      break;
    case "released":
      assert.equal(ledger.slots[change.partition], change.released.slot, "only a held slot is released");
      ledger.slots[change.partition] = -1;
      ledger.released.set(change.partition, change.released);
      ledger.retained.add(change.partition);
      break;
    case "settled":
      settle(ledger, change.partition, change.tx);
      break;
    case "dropped":
      ledger.retained.delete(change.partition);
      break;
    case "promised":
      inner(ledger.promises, change.partition).set(change.slot, change.promise);
      break;
    case "minting":
      setOrDelete(ledger.minting, change.partition, change.mint);
      break;
    case "forgotten":
      forget(ledger, change.from);
      break;
  }
}

function settle(ledger: SlotLedger, partition: number, tx: number): void {
  const released = ledger.released.get(partition);
  if (released?.tx === tx) ledger.released.set(partition, { ...released, isSettled: true });
}

function forget(ledger: SlotLedger, from: MemberKey): void {
  for (const [partition, donors] of ledger.consumed) {
    donors.delete(from);
    if (donors.size === 0) ledger.consumed.delete(partition);
  }
}

function take(ledger: SlotLedger, partition: number, slot: number): void {
  assert.equal(ledger.slots[partition], -1, "a node holds one slot of a partition at most");
  const staged = ledger.staged.get(partition);
  if (staged !== undefined) {
    assert.equal(staged.slot, slot, "what is taken is what was staged");
    inner(ledger.consumed, partition).set(staged.from, staged.tx);
  }
  ledger.slots[partition] = slot;
  ledger.staged.delete(partition);
  ledger.receiving.delete(partition);
  ledger.minting.delete(partition);
  ledger.released.delete(partition);
  // A copy that was kept is the copy that is held from now on.
  ledger.retained.delete(partition);
}

function inner<K, V>(outer: Map<number, Map<K, V>>, partition: number): Map<K, V> {
  const found = outer.get(partition) ?? new Map<K, V>();
  outer.set(partition, found);
  return found;
}

function setOrDelete<V>(map: Map<number, V>, partition: number, value: V | undefined): void {
  if (value === undefined) map.delete(partition);
  else map.set(partition, value);
}
