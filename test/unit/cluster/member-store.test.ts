import { describe, expect, it } from "vitest";
import { firstRecordOf } from "../../../services/cluster/first-records.ts";
import { decodeMemberDocument, MEMBER_DOCUMENT } from "../../../services/cluster/member-document.ts";
import { MemberStore } from "../../../services/cluster/member-store.ts";
import { emptyLedger } from "../../../services/cluster/slot-ledger.ts";
import type { MemberRecord } from "../../../services/placement/member-record.ts";
import { MemoryDocuments } from "./cluster-fixtures.ts";
import { agreementOf, memberOf, PARTITION_COUNT } from "./membership-rig.ts";

/** Documents whose writes end when the test says so. */
class SlowDocuments extends MemoryDocuments {
  #ends: (() => void)[] = [];

  override async write(name: string, bytes: Uint8Array): Promise<void> {
    const copy = bytes.slice();
    await new Promise<void>((end) => this.#ends.push(end));
    await super.write(name, copy);
  }

  get waitingCount(): number {
    return this.#ends.length;
  }

  async endOne(): Promise<void> {
    this.#ends.shift()?.();
    await turn();
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function storeOver<D extends MemoryDocuments>(documents: D) {
  const record = firstRecordOf(agreementOf(["a"]).config, memberOf("a"));
  const heard: MemberRecord[] = [];
  const failures: Error[] = [];
  let ledgerCount = 0;
  const store = new MemberStore(
    {
      documents,
      onDurable: (one) => heard.push(one),
      onLedgerDurable: () => (ledgerCount += 1),
      onFailure: (error) => failures.push(error),
    },
    { clusterId: "c".repeat(32), record, ledger: emptyLedger(record.slots.slice()) },
  );
  return { store, documents, heard, failures, ledgerCount: () => ledgerCount };
}

const released = { to: "b".repeat(16), toNode: memberOf("b").id, tx: 1, slot: 0, atMs: 1, isSettled: false };

describe("what others may hear", () => {
  it("is the durable record, while the ledger is the newest", async () => {
    const { store, documents, heard } = storeOver(new SlowDocuments());
    void store.commit([{ kind: "released", partition: 3, released }]);
    await turn();
    expect([store.ledger.slots[3], store.record.slots[3], heard.length]).toEqual([-1, 0, 0]);
    await documents.endOne();
    expect([store.record.slots[3], store.record.version, heard.length]).toEqual([-1, 2, 1]);
  });

  it("keeps its slots when the ledger changes later", async () => {
    const { store } = storeOver(new MemoryDocuments());
    await store.commit([{ kind: "released", partition: 3, released }]);
    const told = store.record;
    await store.commit([{ kind: "released", partition: 4, released }]);
    expect([told.slots[4], store.record.slots[4]]).toEqual([0, -1]);
  });

  it("is not told anew when only the ledger changed", async () => {
    const { store, heard, ledgerCount } = storeOver(new MemoryDocuments());
    await store.commit([{ kind: "counted", tx: 7 }]);
    expect([heard.length, ledgerCount(), store.record.version]).toEqual([0, 1, 1]);
  });
});

describe("coalescing", () => {
  it("many changes of one turn, and all that come during a write, cost one write each", async () => {
    const { store, documents } = storeOver(new SlowDocuments());
    const first = [3, 4, 5].map((partition) => store.commit([{ kind: "released", partition, released }]));
    await turn();
    const second = [6, 7, 8].map((partition) => store.commit([{ kind: "released", partition, released }]));
    void store.change({ weight: 2 });
    await documents.endOne();
    await Promise.all(first);
    expect([documents.writeCount, store.record.version]).toEqual([1, 2]);
    await documents.endOne();
    await Promise.all(second);
    expect([documents.writeCount, store.record.weight, documents.waitingCount]).toEqual([2, 2, 0]);
    const read = decodeMemberDocument(documents.read(MEMBER_DOCUMENT), PARTITION_COUNT);
    expect(read.kind === "member" && read.record).toEqual(store.record);
  });

  it("the same change again waits for the write that is under way", async () => {
    const { store, documents } = storeOver(new SlowDocuments());
    void store.change({ status: "leaving" });
    await turn();
    let isDone = false;
    void store.change({ status: "leaving" }).then(() => {
      isDone = true;
    });
    await turn();
    expect(isDone).toBe(false);
    await documents.endOne();
    expect([isDone, documents.writeCount, store.record.version]).toEqual([true, 1, 2]);
  });
});

describe("a write that fails", () => {
  it("ends the node, rejects whoever waits, and all that come later", async () => {
    const documents = new MemoryDocuments();
    const { store, failures, heard } = storeOver(documents);
    documents.failure = new Error("the disk is gone");
    await expect(store.commit([{ kind: "released", partition: 3, released }])).rejects.toThrow("could not be written");
    await expect(store.change({ weight: 3 })).rejects.toThrow("could not be written");
    expect([failures.length, heard.length, store.record.slots[3]]).toEqual([1, 0, 0]);
  });
});

describe("another life", () => {
  it("begins without slots, counts its transfers on, and knows the copies that are still to be dropped, whole or begun", async () => {
    const { store, documents } = storeOver(new MemoryDocuments());
    for (let partition = 0; partition < PARTITION_COUNT; partition += 1) {
      await store.commit([{ kind: "released", partition, released: { ...released, tx: partition + 1 } }]);
    }
    await store.commit([{ kind: "receiving", partition: 1, from: "d".repeat(16) }]);
    await store.commit([{ kind: "counted", tx: 99 }]);
    const key = "c".repeat(16);
    const slots = new Int8Array(PARTITION_COUNT).fill(-1);
    await store.restart({ ...store.record, key, version: 1, status: "joining", slots });
    const read = decodeMemberDocument(documents.read(MEMBER_DOCUMENT), PARTITION_COUNT);
    expect(read.kind === "member" && [read.record.key, read.ledger.txCounter, read.ledger.retained.size]).toEqual([
      key,
      99,
      PARTITION_COUNT,
    ]);
    expect(store.ledger.released.size).toBe(0);
    expect([...store.ledger.receiving.keys()]).toEqual([1]);
  });
});
