/**
 * MemberStore: what this node has durably said of its place in the ring, and what it must never forget of slots that
 * change hands: its member record and its slot ledger, one document, written as one. Many changes that come together cost
 * one write. Must never let anyone outside hear of what is not durable: `record` is the durable one, `ledger` the newest.
 */
import assert from "node:assert/strict";
import type { MemberRecord } from "../placement/member-record.ts";
import type { LedgerStore } from "./handover-ports.ts";
import { encodeMemberDocument, MEMBER_DOCUMENT, type MemberDocument } from "./member-document.ts";
import type { Documents } from "./own-record.ts";
import { applyChange, emptyLedger, type LedgerChange, type SlotLedger } from "./slot-ledger.ts";

/** What an operator, or the way of a slot, changes of the record; slots come from the ledger. */
export type RecordChange = Partial<Pick<MemberRecord, "status" | "zone" | "host" | "weight" | "address">>;

/** What the store works with. */
export interface MemberStoreParts {
  readonly documents: Documents;
  /** called after each write that changed the record, with what is durable now */
  readonly onDurable: (record: MemberRecord) => void;
  /** called after a write that changed the ledger alone */
  readonly onLedgerDurable: () => void;
  /** The document could not be written: this node must end. */
  readonly onFailure: (error: Error) => void;
}

interface Batch {
  readonly done: Promise<void>;
  readonly settle: (error: Error | undefined) => void;
}

/** The record and ledger of this node. */
export class MemberStore implements LedgerStore {
  readonly #parts: MemberStoreParts;
  readonly #clusterId: string;
  /** the newest; its slots are those of the ledger at its version */
  #next: MemberRecord;
  #durable: MemberRecord;
  #ledger: SlotLedger;
  #isSlotChange = false;
  #waiting: Batch | undefined;
  /** being written */
  #underWay: Batch | undefined;
  #isWriting = false;
  #failure: Error | undefined;

  /** A node that starts with this document. */
  constructor(parts: MemberStoreParts, start: MemberDocument) {
    this.#parts = parts;
    this.#clusterId = start.clusterId;
    this.#next = start.record;
    this.#durable = start.record;
    this.#ledger = start.ledger;
  }

  get ledger(): SlotLedger {
    return this.#ledger;
  }

  /** What others may hear. */
  get record(): MemberRecord {
    return this.#durable;
  }

  /** What the record is to be, as far as it was decided: for the next decision, never for others. */
  get newest(): MemberRecord {
    return this.#next;
  }

  /** See `LedgerStore`. */
  commit(changes: readonly LedgerChange[]): Promise<void> {
    for (const change of changes) {
      applyChange(this.#ledger, change);
      if (change.kind === "taken" || change.kind === "released") this.#isSlotChange = true;
    }
    return this.#write();
  }

  /** Changes the record; resolves when that is durable. The same values again change nothing. */
  change(change: RecordChange): Promise<void> {
    const next = { ...this.#next, ...change };
    const isSame = (Object.keys(change) as (keyof RecordChange)[]).every((field) => next[field] === this.#next[field]);
    if (isSame) return (this.#waiting ?? this.#underWay)?.done ?? Promise.resolve();
    this.#next = { ...next, version: this.#next.version + 1 };
    return this.#write();
  }

  /** Begins another life under another key, without slots; copies that are still to be dropped stay known, whole or begun. */
  restart(record: MemberRecord): Promise<void> {
    const { txCounter, retained, receiving, slots } = this.#ledger;
    assert.ok(
      slots.every((slot) => slot === -1),
      "who holds a slot keeps its key",
    );
    const ledger = emptyLedger(new Int8Array(slots.length).fill(-1));
    ledger.txCounter = txCounter;
    for (const partition of retained) ledger.retained.add(partition);
    for (const [partition, from] of receiving) ledger.receiving.set(partition, from);
    this.#ledger = ledger;
    this.#next = record;
    return this.#write();
  }

  #write(): Promise<void> {
    if (this.#failure !== undefined) return heard(Promise.reject(this.#failure));
    this.#waiting ??= newBatch();
    const { done } = this.#waiting;
    if (!this.#isWriting) void this.#writeAll();
    return done;
  }

  async #writeAll(): Promise<void> {
    this.#isWriting = true;
    // One step, so that changes of the same turn share a write.
    await Promise.resolve();
    for (let batch = this.#take(); batch !== undefined; batch = this.#take()) {
      const record = this.#snapshot();
      try {
        await this.#parts.documents.write(MEMBER_DOCUMENT, this.#encoded(record));
      } catch (error) {
        this.#fail(error, batch);
        return;
      }
      const isNews = record !== this.#durable;
      this.#durable = record;
      if (isNews) this.#parts.onDurable(record);
      else this.#parts.onLedgerDurable();
      batch.settle(undefined);
    }
    this.#isWriting = false;
  }

  #encoded(record: MemberRecord): Uint8Array {
    return encodeMemberDocument({ clusterId: this.#clusterId, record, ledger: this.#ledger });
  }

  #take(): Batch | undefined {
    this.#underWay = this.#waiting;
    this.#waiting = undefined;
    return this.#underWay;
  }

  /** The record as of now; its version is one higher whenever slots changed. */
  #snapshot(): MemberRecord {
    if (this.#isSlotChange) {
      this.#isSlotChange = false;
      this.#next = { ...this.#next, version: this.#next.version + 1, slots: this.#ledger.slots.slice() };
    }
    return this.#next;
  }

  #fail(cause: unknown, batch: Batch): void {
    this.#failure = new Error("the member document could not be written", { cause });
    batch.settle(this.#failure);
    this.#take()?.settle(this.#failure);
    this.#parts.onFailure(this.#failure);
  }
}

function newBatch(): Batch {
  let settle: (error: Error | undefined) => void = () => {};
  const done = new Promise<void>((resolve, reject) => {
    settle = (error) => (error === undefined ? resolve() : reject(error));
  });
  return { done: heard(done), settle };
}

/** Whoever does not wait for it must not end the process by a rejection that nobody heard. */
function heard(done: Promise<void>): Promise<void> {
  done.catch(() => {});
  return done;
}
