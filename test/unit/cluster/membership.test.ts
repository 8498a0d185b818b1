import { describe, expect, it } from "vitest";
import { MEMBERS_DOCUMENT } from "../../../services/cluster/members-file.ts";
import { decodeNews } from "../../../services/placement/record-codec.ts";
import { MembershipRig, PARTITION_COUNT, type RigNode } from "./membership-rig.ts";

function written(node: RigNode): ReturnType<typeof decodeNews> {
  const bytes = node.documents.read(MEMBERS_DOCUMENT);
  return bytes && decodeNews(bytes, PARTITION_COUNT);
}

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
    void membership.merge({ records: [], removals: [removal] }).then(() => {
      isSecond = true;
    });
    await rig.clock.advance(10);
    expect([isFirst, isSecond]).toEqual([false, false]);
    open();
    await rig.clock.advance(10);
    expect([isFirst, isSecond]).toEqual([true, true]);
  });

  it("a life that is over is durably left before the next one begins: a restart finds one life", async () => {
    const rig = new MembershipRig(["a", "b", "c"]);
    const { membership, operator } = rig.begin("a");
    rig.start("b");
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

  it("a life that joined through a member that did not know of an earlier one removes it when it hears of it", async () => {
    const rig = new MembershipRig(["a", "b", "c"]);
    for (const name of ["a", "b", "c"]) rig.begin(name);
    rig.start("d");
    rig.link("a", "d");
    await rig.node("d").operator.obey({ kind: "join", replaces: undefined });
    await rig.clock.advance(2_000);
    const earlier = rig.node("d").membership.store.record.key;
    rig.stop("d");
    // Its disk is lost; b has never heard of it.
    rig.start("d");
    rig.link("b", "d");
    await rig.node("d").operator.obey({ kind: "join", replaces: undefined });
    const { key } = rig.node("d").membership.store.record;
    expect(rig.node("b").membership.set?.recordOf(earlier)).toBeUndefined();
    rig.link("a", "b", "c", "d");
    await rig.clock.advance(5_000);
    for (const name of ["a", "b", "c", "d"]) {
      const { set } = rig.node(name).membership;
      expect(set?.removalOf(earlier)).toEqual({ key: earlier, by: key, replacedBy: key });
      expect(set?.memberNamed(rig.node("d").id)?.key).toBe(key);
    }
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
