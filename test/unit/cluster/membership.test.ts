import { describe, expect, it } from "vitest";
import { MEMBER_DOCUMENT } from "../../../services/cluster/member-document.ts";
import { decodeMembersDocument, MEMBERS_DOCUMENT } from "../../../services/cluster/members-file.ts";
import type { MemberRecord } from "../../../services/placement/member-record.ts";
import type { RecordNews } from "../../../services/placement/record-codec.ts";
import { MemoryDocuments } from "./cluster-fixtures.ts";
import { MembershipRig, PARTITION_COUNT, type RigNode } from "./membership-rig.ts";

function written(node: RigNode): RecordNews | undefined {
  const bytes = node.documents.read(MEMBERS_DOCUMENT);
  const read = bytes && decodeMembersDocument(bytes, "c".repeat(32), PARTITION_COUNT);
  return typeof read === "string" ? undefined : read;
}

describe("where a member stands", () => {
  it("is what its record says: an operator's order outlives a restart under the old configuration, which is told", async () => {
    const rig = new MembershipRig(["a", "b", "c"]);
    for (const name of ["a", "b", "c"]) rig.begin(name);
    const ordered = await rig.node("a").operator.obey({ kind: "zone", label: "west" });
    expect(ordered.kind).toBe("done");
    await rig.clock.advance(1_000);
    const again = rig.begin("a", { documents: rig.stop("a") });
    await rig.clock.advance(1_000);
    expect(again.membership.store.record.zone).toBe("west");
    const told = again.log.lines.filter((line) => line.event === "membership.label-overruled");
    expect(told).toMatchObject([{ level: "warn", setting: "zone", recorded: "west", configured: "z" }]);
    expect(told[0]?.["remedy"]).toContain("gyre set a --zone z");
  });

  it("follows the configuration in its address alone", async () => {
    const rig = new MembershipRig(["a", "b", "c"]);
    for (const name of ["a", "b", "c"]) rig.begin(name);
    const self = { address: "elsewhere:1", zone: "other", host: "other", weight: 7 };
    const again = rig.begin("a", { documents: rig.stop("a"), self });
    rig.link("a", "b", "c");
    await rig.clock.advance(1_000);
    const { address, zone, host, weight } = again.membership.store.record;
    expect({ address, zone, host, weight }).toEqual({ address: "elsewhere:1", zone: "z", host: "a", weight: 1 });
    const told = again.log.lines.filter((line) => line.event === "membership.label-overruled");
    expect(told.map((line) => line["setting"])).toEqual(["zone", "host", "weight"]);
  });

  it("follows the configuration when it joins", async () => {
    const rig = new MembershipRig(["a"], 1);
    rig.begin("a");
    const joiner = rig.start("d", { self: { zone: "west", weight: 2 } });
    rig.link("a", "d");
    await joiner.operator.obey({ kind: "join", replaces: undefined });
    expect(joiner.membership.store.record).toMatchObject({ zone: "west", weight: 2 });
    expect(joiner.log.lines.filter((line) => line.event === "membership.label-overruled")).toEqual([]);
  });
});

describe("what is left of a join that never came to its end", () => {
  /** The documents of a node that crashed before it adopted a cluster of its own kind under another id. */
  async function leftovers(): Promise<MemoryDocuments> {
    const other = new MembershipRig(["b", "c", "x"]);
    other.begin("x");
    const joiner = other.start("a");
    other.link("x", "a");
    await joiner.operator.obey({ kind: "join", replaces: undefined });
    const documents = new MemoryDocuments();
    for (const name of [MEMBER_DOCUMENT, MEMBERS_DOCUMENT]) {
      documents.files.set(name, joiner.documents.read(name) ?? new Uint8Array());
    }
    return documents;
  }

  it("says nothing of the cluster that the node then belongs to", async () => {
    const documents = await leftovers();
    const rig = new MembershipRig(["a", "b", "c"], 3, "e".repeat(32));
    const node = rig.begin("a", { documents });
    const { record } = node.membership.store;
    expect([record.key, record.status]).toEqual([rig.firstKey("a"), "normal"]);
    expect(node.membership.set?.members().map((member) => member.nodeId)).toEqual(
      expect.arrayContaining(["a", "b", "c"]),
    );
    expect(node.membership.set?.members()).toHaveLength(3);
    const told = node.log.lines.filter((line) => line.event === "membership.document-ignored");
    expect(told.map((line) => line["document"]).toSorted()).toEqual([MEMBER_DOCUMENT, MEMBERS_DOCUMENT]);
  });

  it("is overwritten by the first thing that the node says", async () => {
    const rig = new MembershipRig(["a", "b", "c"], 3, "e".repeat(32));
    const node = rig.begin("a", { documents: await leftovers() });
    await node.membership.change({ weight: 2 });
    const again = rig.begin("a", { documents: rig.stop("a") });
    expect(again.membership.store.record).toMatchObject({ key: rig.firstKey("a"), weight: 2 });
  });
});

describe("what cannot be read", () => {
  it.each([MEMBER_DOCUMENT, MEMBERS_DOCUMENT])("keeps a node from starting: %s", async (name) => {
    const rig = new MembershipRig(["a", "b", "c"]);
    const { membership } = rig.begin("a");
    await membership.change({ weight: 2 });
    await membership.remove(rig.firstKey("b"), undefined);
    const documents = rig.stop("a");
    const bytes = Buffer.from(documents.read(name) ?? new Uint8Array());
    bytes[bytes.length - 3] = (bytes[bytes.length - 3] ?? 0) ^ 1;
    documents.files.set(name, bytes);
    expect(() => rig.begin("a", { documents })).toThrow("of the data directory");
    // as a version that is not known yet would be
    documents.files.set(name, Buffer.of(99, ...bytes.subarray(1)));
    expect(() => rig.begin("a", { documents })).toThrow("of the data directory");
  });
});

describe("whom a node is introduced to", () => {
  it("a newcomer is not introduced by what it exchanged before it was a member", async () => {
    const rig = new MembershipRig(["a", "b", "c"]);
    for (const name of ["a", "b", "c", "d"]) rig.start(name);
    rig.link("a", "b", "c", "d");
    await rig.clock.advance(3_000);
    for (const name of ["a", "b", "c"]) rig.begin(name);
    const { operator, membership } = rig.node("d");
    for (const name of ["a", "b", "c"]) rig.links.cut.add(`d>${name}`);
    rig.links.cut.delete("d>a");
    const answer = await operator.obey({ kind: "join", replaces: undefined });
    expect(answer.kind).toBe("done");
    rig.links.cut.add("d>a");
    expect(membership.isIntroduced()).toBe(false);
    await rig.clock.advance(3_000);
    expect(membership.isIntroduced()).toBe(false);
    rig.links.cut.clear();
    await rig.clock.advance(3_000);
    expect(membership.isIntroduced()).toBe(true);
  });

  it("another life under another key is introduced anew", async () => {
    const rig = new MembershipRig(["a"], 1);
    rig.begin("a");
    rig.start("d");
    rig.link("a", "d");
    const { operator, membership } = rig.node("d");
    await operator.obey({ kind: "join", replaces: undefined });
    await rig.clock.advance(2_000);
    expect(membership.isIntroduced()).toBe(true);
    await membership.change({ status: "left" });
    rig.links.cut.add("d>a");
    expect((await operator.obey({ kind: "join", replaces: undefined })).kind).toBe("done");
    expect(membership.isIntroduced()).toBe(false);
  });
});

describe("what is durable", () => {
  it("news of a removal that another is still writing is taken only when it is durable", async () => {
    const rig = new MembershipRig(["a", "b", "c"]);
    const { membership, documents } = rig.begin("a");
    await rig.clock.advance(100);
    let open = (): void => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const write = documents.write.bind(documents);
    documents.write = async (name, bytes) => {
      if (name === MEMBERS_DOCUMENT) await gate;
      await write(name, bytes);
    };
    const removal = { key: rig.firstKey("b"), by: rig.firstKey("c"), replacedBy: undefined };
    let isFirst = false;
    let isSecond = false;
    void membership.merge({ records: [], removals: [removal] }).then(() => {
      isFirst = true;
    });
    await rig.clock.advance(10);
    // nothing follows from it yet: it might be forgotten
    expect([membership.set?.isRemoved(removal.key), membership.table?.all.length]).toEqual([false, 3]);
    void membership.merge({ records: [], removals: [removal] }).then(() => {
      isSecond = true;
    });
    await rig.clock.advance(10);
    expect([isFirst, isSecond]).toEqual([false, false]);
    open();
    await rig.clock.advance(10);
    expect([isFirst, isSecond]).toEqual([true, true]);
    expect([membership.set?.isRemoved(removal.key), membership.table?.all.length]).toEqual([true, 2]);
  });

  it("a life that is over is durably left before the next one begins: a restart finds one life", async () => {
    const rig = new MembershipRig(["a", "b", "c"]);
    const { membership, operator } = rig.begin("a");
    rig.begin("b");
    rig.link("a", "b");
    await rig.clock.advance(100);
    for (let partition = 0; partition < PARTITION_COUNT; partition += 1) {
      const slot = membership.store.ledger.slots[partition] ?? -1;
      if (slot < 0) continue;
      const released = { to: rig.firstKey("b"), toNode: rig.node("b").id, tx: 1, slot, atMs: 0, isSettled: true };
      await membership.store.commit([{ kind: "released", partition, released }]);
    }
    await membership.change({ status: "leaving" });
    await rig.clock.advance(100);
    expect(membership.store.record.status).toBe("left");
    expect((await operator.obey({ kind: "join", replaces: undefined })).kind).toBe("done");
    const documents = rig.stop("a");
    const again = rig.begin("a", { documents });
    await rig.clock.advance(100);
    expect(again.membership.set?.memberNamed(again.id)?.key).toBe(again.membership.store.record.key);
    expect(again.membership.set?.conflicts()).toEqual([]);
    expect(written(again)?.records.find(({ key }) => key === rig.firstKey("a"))?.status).toBe("left");
  });
});

describe("lives that end", () => {
  it("who leaves has left once its last receiver has said that it has all, whatever the table does", async () => {
    const rig = new MembershipRig(["a", "b", "c"]);
    const { membership } = rig.begin("a");
    const { store } = membership;
    const to = { to: rig.firstKey("b"), toNode: rig.begin("b").id };
    rig.link("a", "b");
    const held = [...store.ledger.slots].flatMap((slot, partition) => (slot < 0 ? [] : [{ slot, partition }]));
    for (const { slot, partition } of held) {
      const released = { ...to, tx: partition + 1, slot, atMs: 0, isSettled: false };
      await store.commit([{ kind: "released", partition, released }]);
    }
    await membership.change({ status: "leaving" });
    await rig.clock.advance(1_000);
    expect(store.record.status).toBe("leaving");
    for (const { partition } of held) await store.commit([{ kind: "settled", partition, tx: partition + 1 }]);
    await rig.clock.advance(10);
    expect(store.record.status).toBe("left");
  });

  it("who leaves has left only once it keeps nothing for others, too", async () => {
    const rig = new MembershipRig(["a", "b", "c"]);
    let isDrained = false;
    rig.start("a", { mayLeave: () => isDrained });
    const { membership } = rig.begin("a");
    const { store } = membership;
    const to = { to: rig.firstKey("b"), toNode: rig.begin("b").id };
    rig.link("a", "b");
    for (const [partition, slot] of [...store.ledger.slots].entries()) {
      if (slot < 0) continue;
      const released = { ...to, tx: partition + 1, slot, atMs: 0, isSettled: true };
      await store.commit([{ kind: "released", partition, released }]);
    }
    await membership.change({ status: "leaving" });
    membership.reviewStatus();
    await rig.clock.advance(1_000);
    expect(store.record.status).toBe("leaving");
    isDrained = true;
    membership.reviewStatus();
    await rig.clock.advance(10);
    expect(store.record.status).toBe("left");
  });

  /** d joined through a, and again, on an empty disk, through b, which had never heard of it; now all meet. */
  async function twoLives(isEarlierBusy: boolean): Promise<{ rig: MembershipRig; earlier: string; key: string }> {
    const rig = new MembershipRig(["a", "b", "c"]);
    for (const name of ["a", "b", "c"]) rig.begin(name);
    rig.start("d");
    rig.link("a", "d");
    await rig.node("d").operator.obey({ kind: "join", replaces: undefined });
    if (isEarlierBusy) await rig.node("d").membership.change({ weight: 9 });
    await rig.clock.advance(2_000);
    const earlier = rig.node("d").membership.store.record.key;
    rig.stop("d");
    rig.start("d");
    rig.link("b", "d");
    await rig.node("d").operator.obey({ kind: "join", replaces: undefined });
    if (!isEarlierBusy) await rig.node("d").membership.change({ weight: 9 });
    const { key } = rig.node("d").membership.store.record;
    expect(rig.node("b").membership.set?.recordOf(earlier)).toBeUndefined();
    rig.link("a", "b", "c", "d");
    await rig.clock.advance(5_000);
    return { rig, earlier, key };
  }

  it("a life that joined through a member that did not know of an earlier one removes it when it is the one that counts", async () => {
    const { rig, earlier, key } = await twoLives(false);
    for (const name of ["a", "b", "c", "d"]) {
      const { set } = rig.node(name).membership;
      expect(set?.removalOf(earlier)).toEqual({ key: earlier, by: key, replacedBy: key });
      expect(set?.memberNamed(rig.node("d").id)?.key).toBe(key);
    }
  });

  it("and calls for its operator, once, when the other one counts: both may live, and must not remove each other", async () => {
    const { rig, earlier } = await twoLives(true);
    for (const name of ["a", "b", "c", "d"]) expect(rig.node(name).membership.set?.removals()).toEqual([]);
    const told = rig.node("d").log.lines.filter(({ event }) => event === "membership.name-taken");
    expect(told).toMatchObject([{ level: "error", key: earlier }]);
  });
});

describe("a disk that is an old copy", () => {
  /** The words of the failure of a member whose record others know otherwise than its disk. */
  async function failuresOf(alter: (record: MemberRecord) => MemberRecord): Promise<readonly string[]> {
    const rig = new MembershipRig(["a", "b", "c"]);
    const { membership, failures } = rig.begin("a");
    await membership.change({ weight: 2 });
    await membership.merge({ records: [alter(membership.store.record)], removals: [] });
    return failures.map(({ message }) => message);
  }

  it("ends its node when others know a newer record of it", async () => {
    const [why] = await failuresOf((record) => ({ ...record, version: record.version + 1 }));
    expect(why).toContain("the data directory is an old copy");
  });

  it("and when they know another one of the same version: the copy has caught up", async () => {
    const [why] = await failuresOf((record) => ({ ...record, slots: record.slots.slice().fill(-1, 0, 8) }));
    expect(why).toContain("the data directory is an old copy");
  });

  it("but not when they know what it says itself, or less", async () => {
    expect(await failuresOf((record) => ({ ...record }))).toEqual([]);
    expect(await failuresOf((record) => ({ ...record, version: 1, weight: 7 }))).toEqual([]);
  });

  it("says nothing new of itself before another member was asked what it knows", async () => {
    const rig = new MembershipRig(["a", "b", "c"]);
    for (const name of ["a", "b", "c"]) rig.begin(name);
    rig.link("a", "b", "c");
    await rig.clock.advance(1_000);
    const old = new MemoryDocuments();
    await rig.node("a").membership.change({ weight: 2 });
    for (const [name, bytes] of rig.node("a").documents.files) old.files.set(name, bytes);
    // what the copy lacks
    await rig.node("a").membership.change({ weight: 3 });
    await rig.clock.advance(1_000);
    rig.stop("a");
    const again = rig.begin("a", { documents: old, self: { address: "elsewhere:1" } });
    await rig.clock.advance(5_000);
    const { store } = again.membership;
    expect([again.membership.isConfirmed, store.record.address, store.record.weight]).toEqual([false, "a:4500", 2]);
    rig.link("a", "b");
    await rig.clock.advance(100);
    expect(again.failures.map(({ message }) => message)[0]).toContain("the data directory is an old copy");
  });

  it("cannot be told of the only member", () => {
    const rig = new MembershipRig(["a"], 1);
    expect(rig.begin("a").membership.isConfirmed).toBe(true);
  });
});

describe("what can never be durable", () => {
  it("ends the node, and is heard by whoever waits for it: of the others, and of itself", async () => {
    for (const name of [MEMBER_DOCUMENT, MEMBERS_DOCUMENT]) {
      const rig = new MembershipRig(["a", "b", "c"]);
      const { membership, documents, failures } = rig.begin("a");
      const write = documents.write.bind(documents);
      documents.write = async (at, bytes) => {
        if (at === name) throw new Error("the disk is gone");
        await write(at, bytes);
      };
      const removal = { key: rig.firstKey("b"), by: rig.firstKey("c"), replacedBy: undefined };
      const waiting =
        name === MEMBER_DOCUMENT
          ? () => membership.change({ weight: 5 + failures.length })
          : () => membership.merge({ records: [], removals: [removal] });
      await expect(waiting()).rejects.toThrow("could not be written");
      // nobody waits for these
      for (let each = 0; each < 3; each += 1) void membership.change({ weight: 20 + each });
      await expect(waiting()).rejects.toThrow("written");
      expect(failures).toHaveLength(1);
      expect(membership.set?.isRemoved(removal.key)).toBe(false);
    }
  });

  it("is told to whoever waits when the node stops", async () => {
    const rig = new MembershipRig(["a", "b", "c"]);
    const { membership } = rig.begin("a");
    rig.stop("a");
    const removal = { key: rig.firstKey("b"), by: rig.firstKey("c"), replacedBy: undefined };
    await expect(membership.merge({ records: [], removals: [removal] })).rejects.toThrow("stopping");
  });
});

describe("bounds", () => {
  it("a stopped node plans nothing more", async () => {
    const rig = new MembershipRig(["a", "b", "c"]);
    for (const name of ["a", "b", "c"]) rig.begin(name);
    rig.link("a", "b", "c");
    await rig.clock.advance(150);
    void rig.node("a").membership.change({ weight: 2 });
    await rig.clock.advance(105);
    for (const name of ["a", "b", "c"]) rig.stop(name);
    await rig.clock.advance(5_000);
    expect(rig.clock.plannedCount).toBe(0);
  });

  it("a node that waits to join is not sent everyone's records again and again", async () => {
    const rig = new MembershipRig(["a", "b", "c"]);
    for (const name of ["a", "b", "c"]) rig.begin(name);
    const { log } = rig.start("d");
    rig.link("a", "b", "c", "d");
    await rig.clock.advance(10_000);
    expect(log.lines.filter(({ event }) => event === "records.exchange-malformed")).toEqual([]);
  });
});
