import { describe, expect, it } from "vitest";
import { joiningRecord } from "../../../services/cluster/first-records.ts";
import { MEMBER_DOCUMENT } from "../../../services/cluster/member-document.ts";
import { MEMBERS_DOCUMENT } from "../../../services/cluster/members-file.ts";
import { parseOrder } from "../../../services/cluster/membership-messages.ts";
import { MemoryDocuments } from "./cluster-fixtures.ts";
import { MembershipRig, memberOf, PARTITION_COUNT, type RigNode } from "./membership-rig.ts";

const JOIN = { kind: "join", replaces: undefined } as const;

/** Three members that know each other, and an empty node with links to all. */
async function threeAndOne(change: { readonly joinsByItself?: boolean } = {}): Promise<MembershipRig> {
  const rig = new MembershipRig(["a", "b", "c"]);
  for (const name of ["a", "b", "c"]) rig.begin(name);
  rig.start("d", change);
  rig.link("a", "b", "c", "d");
  await rig.clock.advance(200);
  return rig;
}

/** Gives all slots away, as a hand-over would. */
async function giveAll({ membership }: RigNode, to: RigNode): Promise<void> {
  const { key, nodeId } = to.membership.store.record;
  for (let partition = 0; partition < PARTITION_COUNT; partition += 1) {
    const slot = membership.store.ledger.slots[partition] ?? -1;
    if (slot < 0) continue;
    const released = { to: key, toNode: nodeId, tx: partition + 1, slot, atMs: 0, isSettled: true };
    await membership.store.commit([{ kind: "released", partition, released }]);
  }
}

function copyOf(documents: MemoryDocuments): MemoryDocuments {
  const copy = new MemoryDocuments();
  for (const [name, bytes] of documents.files) copy.files.set(name, bytes);
  return copy;
}

describe("the way into a cluster", () => {
  it("an empty node that shall join by itself does, under a key of its own, and everyone knows", async () => {
    const rig = await threeAndOne({ joinsByItself: true });
    rig.node("d").operator.start();
    await rig.clock.advance(1_500);
    const { key, status } = rig.node("d").membership.store.record;
    expect(status).toBe("joining");
    for (const name of ["a", "b", "c"]) {
      expect(rig.node(name).membership.set?.memberNamed(rig.node("d").id)?.key).toBe(key);
    }
  });

  it("without the order, or that setting, an empty node stays empty", async () => {
    const rig = await threeAndOne();
    rig.node("d").operator.start();
    await rig.clock.advance(10_000);
    expect(rig.node("d").membership.isMember).toBe(false);
  });

  it("is told in words when no member answers", async () => {
    const rig = new MembershipRig(["a"], 1);
    const { operator } = rig.start("d");
    expect(await operator.obey(JOIN)).toEqual({
      kind: "refused",
      reason: "no member of a cluster answers: name some in GYRE_SEEDS",
    });
  });

  it("is told in words when the members would not take its record", async () => {
    const rig = await threeAndOne();
    const { set } = rig.node("a").membership;
    let refusal: string | undefined;
    for (let index = 0; refusal === undefined; index += 1) {
      const name = `${index}`;
      const key = name.padStart(16, "0");
      const slots = new Int8Array(PARTITION_COUNT).fill(-1);
      const record = { ...joiningRecord(memberOf(name), { key, partitionCount: slots.length, replaced: undefined }) };
      const merged = set?.mergeRecord({ ...record, status: "left" });
      if (merged?.kind === "refused") refusal = merged.reason;
    }
    expect(await rig.node("d").operator.obey(JOIN)).toEqual({
      kind: "refused",
      reason: `the members would refuse this node's record: ${refusal}`,
    });
    expect(rig.node("d").membership.isMember).toBe(false);
  });

  it("two orders at once make one life", async () => {
    const rig = await threeAndOne();
    const { operator, membership } = rig.node("d");
    const replies = await Promise.all([operator.obey(JOIN), operator.obey(JOIN)]);
    expect(replies.map(({ kind }) => kind).toSorted()).toEqual(["done", "refused"]);
    expect(membership.set?.records().filter(({ nodeId }) => nodeId === rig.node("d").id).length).toBe(1);
  });

  it("a wiped disk comes back as another life that replaces the first, durably before it is a member", async () => {
    const rig = await threeAndOne();
    const lost = rig.firstKey("c");
    rig.stop("c");
    const back = rig.start("c");
    rig.link("a", "b", "c");
    expect((await back.operator.obey(JOIN)).kind).toBe("done");
    const { record } = back.membership.store;
    expect([record.replaces, record.position, record.slots.every((slot) => slot === -1)]).toEqual([lost, "c", true]);
    await rig.clock.advance(1_500);
    expect(rig.node("a").membership.set?.removalOf(lost)).toEqual({
      key: lost,
      by: record.key,
      replacedBy: record.key,
    });
    expect([back.documents.read(MEMBERS_DOCUMENT), back.documents.read(MEMBER_DOCUMENT)]).not.toContain(undefined);
  });

  it("a node that joins by itself leaves its former life the time to show that it is alive", async () => {
    const rig = await threeAndOne();
    const former = rig.firstKey("c");
    rig.stop("c");
    const clone = rig.start("c", { joinsByItself: true });
    rig.link("a", "b", "c");
    clone.operator.start();
    await rig.clock.advance(4_500);
    expect([clone.membership.isMember, rig.node("a").membership.set?.isRemoved(former)]).toEqual([false, false]);
    expect(clone.operator.trouble).toBe("node c is a member already: this node takes its place unless it shows itself");
    await rig.clock.advance(3_000);
    expect([clone.membership.isMember, rig.node("a").membership.set?.isRemoved(former)]).toEqual([true, true]);
  });

  it("the place of a dead node is taken over", async () => {
    const rig = await threeAndOne();
    const dead = rig.firstKey("c");
    rig.stop("c");
    expect((await rig.node("a").operator.order(rig.node("d").id, { kind: "join", replaces: dead })).kind).toBe("done");
    await rig.clock.advance(1_500);
    const record = rig.node("a").membership.set?.memberNamed(rig.node("d").id);
    expect([record?.position, record?.replaces, rig.node("b").membership.set?.isRemoved(dead)]).toEqual([
      "c",
      dead,
      true,
    ]);
  });
});

describe("who has left", () => {
  async function leftMember(): Promise<MembershipRig> {
    const rig = await threeAndOne();
    await rig.node("c").operator.obey({ kind: "leave" });
    await giveAll(rig.node("c"), rig.node("a"));
    await rig.clock.advance(1_500);
    expect(rig.node("c").membership.store.record.status).toBe("left");
    return rig;
  }

  it("stays so after a restart, also when it shall join by itself", async () => {
    const rig = await leftMember();
    const documents = rig.stop("c");
    const again = rig.begin("c", { documents, joinsByItself: true });
    rig.link("a", "b", "c");
    again.operator.start();
    await rig.clock.advance(10_000);
    expect(again.membership.store.record.status).toBe("left");
    expect(rig.node("a").membership.set?.memberNamed(again.id)).toBe(undefined);
  });

  it("comes back by an order, under another key", async () => {
    const rig = await leftMember();
    const former = rig.node("c").membership.store.record.key;
    expect(await rig.node("a").operator.order(rig.node("c").id, JOIN)).toEqual({ kind: "done", status: "joining" });
    await rig.clock.advance(1_500);
    const record = rig.node("a").membership.set?.memberNamed(rig.node("c").id);
    expect([record?.key === former, record?.status]).toEqual([false, "joining"]);
  });

  it("comes back in the place of a dead node: a crash at any write leaves no life that waits for the dead one", async () => {
    const rig = await leftMember();
    const dead = rig.firstKey("b");
    rig.stop("b");
    const { documents, operator } = rig.node("c");
    const states: MemoryDocuments[] = [];
    const write = documents.write.bind(documents);
    documents.write = async (name, bytes) => {
      await write(name, bytes);
      states.push(copyOf(documents));
    };
    expect((await operator.obey({ kind: "join", replaces: dead })).kind).toBe("done");
    rig.stop("c");
    for (const state of states) {
      const { membership } = rig.begin("c", { documents: state });
      const { replaces } = membership.store.record;
      expect(replaces === undefined || membership.set?.isRemoved(replaces)).toBe(true);
      rig.stop("c");
    }
    expect(states.length).toBeGreaterThan(1);
  });
});

describe("orders", () => {
  it("a leave is taken back, and a join is given up", async () => {
    const rig = await threeAndOne();
    const { operator } = rig.node("c");
    expect(await operator.obey({ kind: "leave" })).toEqual({ kind: "done", status: "leaving" });
    expect(await operator.obey({ kind: "abort" })).toEqual({ kind: "done", status: "normal" });
    expect(await operator.obey({ kind: "abort" })).toEqual({
      kind: "refused",
      reason: "this node is normal: nothing is under way",
    });
    await rig.node("d").operator.obey(JOIN);
    expect(await rig.node("d").operator.obey({ kind: "abort" })).toEqual({ kind: "done", status: "leaving" });
  });

  it("a leave that is over is not taken back, though its end is not durable yet", async () => {
    const rig = await threeAndOne();
    const { operator, membership } = rig.node("c");
    await operator.obey({ kind: "leave" });
    await giveAll(rig.node("c"), rig.node("a"));
    membership.reviewStatus();
    const reply = await operator.obey({ kind: "abort" });
    await rig.clock.advance(100);
    expect([reply.kind, membership.store.record.status]).toEqual(["refused", "left"]);
  });

  it("a removed node obeys nothing, and says what to do", async () => {
    const rig = await threeAndOne();
    await rig.node("a").membership.remove(rig.firstKey("c"), undefined);
    await rig.clock.advance(500);
    const { operator, removals } = rig.node("c");
    expect(removals.length).toBe(1);
    for (const order of [JOIN, { kind: "leave" }, { kind: "abort" }] as const) {
      const reply = await rig.node("b").operator.order(rig.node("c").id, order);
      expect(reply).toEqual({
        kind: "refused",
        reason: "this node was removed: wipe its data directory and join anew",
      });
    }
    void operator;
  });

  it("a node that cannot be reached is named", async () => {
    const rig = await threeAndOne();
    rig.links.cut.add("a>c");
    const reply = await rig.node("a").operator.order(rig.node("c").id, { kind: "leave" });
    expect(reply).toEqual({ kind: "refused", reason: "node c cannot be reached (lost)" });
  });

  it("a weight that no record may have is not an order", () => {
    for (const weight of [0, -1, 65, Number.NaN, "1"]) expect(parseOrder({ kind: "weight", weight })).toBe(undefined);
    expect(parseOrder({ kind: "weight", weight: 64 })).toEqual({ kind: "weight", weight: 64 });
  });
});

it("plans nothing more when it is stopped", async () => {
  const rig = await threeAndOne({ joinsByItself: true });
  rig.links.cut.add("d>a").add("d>b").add("d>c");
  rig.node("d").operator.start();
  await rig.clock.advance(100);
  for (const name of ["a", "b", "c", "d"]) rig.stop(name);
  await rig.clock.advance(10_000);
  expect(rig.clock.plannedCount).toBe(0);
});
