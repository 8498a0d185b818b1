import { hash } from "node:crypto";
import fc from "fast-check";
import HashRing from "hashring";
import { describe, expect, it } from "vitest";
import type { MemberRecord, Removal } from "../../../../services/placement/member-record.ts";
import { buildPlacementTable, ringHashOf } from "../../../../services/placement/placement-table.ts";
import { fallbacksFor, ownersFor } from "../../../../services/placement/preference-list.ts";
import { vnodesOf, walkRing } from "../../../../services/placement/ring-walk.ts";
import { ringMembersOf, TargetTables } from "../../../../services/placement/target-table.ts";
import type { PlacementTable } from "../../../../services/placement/types.ts";
import { membersIn, nodeId, tableOf } from "../../placement/layouts.ts";
import { anyRecord, anyRemoval, keyOf, N, Q, recordOf, setOf } from "./records.ts";

const removal = (index: number, replacedBy?: number): Removal => ({
  key: keyOf(index),
  by: keyOf(9),
  replacedBy: replacedBy === undefined ? undefined : keyOf(replacedBy),
});

function listsOf(table: PlacementTable, rename: (node: string) => string = (node) => node): unknown {
  return Array.from({ length: table.partitionCount }, (_, partition) => [
    table.ownersOf(partition).map(({ node }) => rename(node)),
    table.fallbacksOf(partition).map((node) => rename(node)),
  ]);
}

const six = (): readonly MemberRecord[] => [1, 2, 3, 4, 5, 6].map((index) => recordOf(index));

describe("positions on the ring", () => {
  it("default to the id: such members give the table and the hash that they gave before there were positions", () => {
    const members = membersIn([2, 2, 2]);
    const positioned = members.map((member) => ({ ...member, position: member.id }));
    expect(tableOf(positioned).ringHash).toBe(tableOf(members).ringHash);
    expect(listsOf(tableOf(positioned))).toEqual(listsOf(tableOf(members)));
  });

  it("are part of the ring hash when they are not the id", () => {
    const members = membersIn([3]).map((member, index) =>
      index === 0 ? { ...member, position: "elsewhere" } : member,
    );
    expect(tableOf(members).ringHash).not.toBe(tableOf(membersIn([3])).ringHash);
  });

  it("let a replacement inherit exactly the walk of whom it replaced: nothing else moves", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 3, max: 12 }),
        fc.nat(),
        fc.constantFrom("a", "0", "zz", "n1x"),
        (count, at, name) => {
          const members = membersIn([count]).map((member, index) => ({ ...member, zone: `zone-${index % 4}` }));
          const old = members[at % count];
          if (old === undefined) throw new Error("one of them");
          const replaced = members.map((member) =>
            member === old ? { ...member, id: nodeId(name), host: "new-host", position: old.id } : member,
          );
          const before = buildPlacementTable({ members, partitionCount: 64, replicaCount: 3 });
          const after = buildPlacementTable({ members: replaced, partitionCount: 64, replicaCount: 3 });
          expect(listsOf(after)).toEqual(listsOf(before, (node) => (node === old.id ? name : node)));
        },
      ),
      { numRuns: 30 },
    );
  });

  it("are taken once: two members in one position are a fault", () => {
    const members = membersIn([3]).map((member) => ({ ...member, position: "same" }));
    expect(() => tableOf(members)).toThrow("position");
  });
});

describe("the walk of a large ring", () => {
  it("meets members in the order that the ring library gives, light ones too", () => {
    const members = membersIn([60])
      .map((member, index) => ({ ...member, weight: index % 7 === 0 ? 1 / 64 : 1 }))
      .toSorted((left, right) => (left.id < right.id ? -1 : 1));
    const servers = Object.fromEntries(members.map((member) => [member.id, { vnodes: vnodesOf(member.weight) }]));
    // The library finds a key by its digest: this one says where on the ring it is.
    const digestOf = (key: string): Buffer => {
      const bytes = Buffer.alloc(16);
      if (!key.startsWith("at/")) return hash("md5", key, "buffer");
      bytes.writeUInt32LE(Number(key.slice(3)));
      return bytes;
    };
    const ring = new HashRing(servers, digestOf, { "vnode count": 0, "max cache size": 1 });
    const { order } = walkRing(members, 64);
    for (let partition = 0; partition < 64; partition += 1) {
      const walk = [...order.subarray(partition * 60, partition * 60 + 60)].map((index) => members[index]?.id);
      expect(walk).toEqual(ring.range(`at/${(partition + 1) * 2 ** 26 - 1}`, 60, true));
    }
  });
});

describe("the cap ratio", () => {
  it("of a cluster that has settled on one holds at every size, and is part of the ring hash", () => {
    const members = membersIn([8]);
    const inputs = { members, partitionCount: 1_024, replicaCount: 3 };
    expect(ringHashOf({ ...inputs, capRatio: 1.1 })).not.toBe(ringHashOf(inputs));
    expect(listsOf(buildPlacementTable({ ...inputs, capRatio: 1.1 }))).toEqual(listsOf(buildPlacementTable(inputs)));
    expect(() => buildPlacementTable({ ...inputs, capRatio: 0.9 })).toThrow("cap");
  });
});

describe("the target table of a record set", () => {
  it("has those who join and those who are normal, and nobody who leaves, has left, or was removed", () => {
    const set = setOf(
      [
        recordOf(1),
        recordOf(2, { status: "joining" }),
        recordOf(3, { status: "leaving" }),
        recordOf(4, { status: "left" }),
        recordOf(5),
      ],
      [removal(5)],
    );
    const { table, members } = new TargetTables(N).of(set);
    expect(table.members.map((member) => member.id)).toEqual(["n1", "n2"]);
    expect([...members.keys()]).toEqual([keyOf(1), keyOf(2)]);
  });

  it("is the same object as long as nothing changes that it is made from", () => {
    const set = setOf(six());
    const targets = new TargetTables(N);
    const { table } = targets.of(set);
    set.mergeRecord(recordOf(1, { version: 2, slots: new Int8Array(Q).fill(0), address: "10.9.9.9:1" }));
    expect(targets.of(set).table).toBe(table);
    set.mergeRecord(recordOf(1, { version: 3, weight: 2 }));
    expect(targets.of(set).table).not.toBe(table);
    expect(targets.of(setOf(six())).table).toBe(table);
  });

  it("is the same on every node whatever was heard first, for any records at all", () => {
    fc.assert(
      fc.property(
        fc
          .tuple(fc.array(anyRecord, { maxLength: 6 }), fc.array(anyRemoval, { maxLength: 2 }))
          .chain(([records, removals]) =>
            fc.tuple(
              fc.constant(records),
              fc.shuffledSubarray(records, { minLength: records.length }),
              fc.constant(removals),
            ),
          ),
        ([records, shuffled, removals]) => {
          const [one, other] = [records, shuffled].map((list) => {
            const set = setOf([]);
            for (const record of list) set.mergeRecord(record);
            for (const one_ of removals) set.mergeRemoval(one_);
            return new TargetTables(N).of(set).table;
          });
          expect(other?.ringHash).toBe(one?.ringHash);
          expect(other && listsOf(other)).toEqual(one && listsOf(one));
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe("who takes another's place", () => {
  const successor = (changes: Partial<MemberRecord> = {}): MemberRecord =>
    recordOf(7, { status: "joining", position: "n2", replaces: keyOf(2), zone: "zone-2", ...changes });

  it("waits outside the ring while the other should still hold slots", () => {
    const before = new TargetTables(N).of(setOf(six())).table;
    const waiting = new TargetTables(N).of(setOf([...six(), successor()]));
    expect(waiting.table.ringHash).toBe(before.ringHash);
    expect(waiting.members.has(keyOf(7))).toBe(false);
  });

  it.each<[string, Partial<MemberRecord>, readonly Removal[]]>([
    ["once it is removed", {}, [removal(2, 7)]],
    ["while it leaves", { status: "leaving" }, []],
    ["after it has left", { status: "left" }, []],
  ])("stands exactly there %s: nothing else moves", (_, change, removals) => {
    const before = new TargetTables(N).of(setOf(six())).table;
    const records = six().map((record) => (record.key === keyOf(2) ? { ...record, ...change } : record));
    const after = new TargetTables(N).of(setOf([...records, successor()], removals)).table;
    expect(listsOf(after)).toEqual(listsOf(before, (node) => (node === "n2" ? "n7" : node)));
  });

  it("under the same name, after its disk was lost, needs not wait", () => {
    const reborn = recordOf(7, { nodeId: nodeId("n2"), zone: "zone-2", host: "host-2", replaces: keyOf(2) });
    const { table, members } = new TargetTables(N).of(setOf([...six(), reborn]));
    expect(members.has(keyOf(7))).toBe(true);
    expect(table.ringHash).toBe(new TargetTables(N).of(setOf(six())).table.ringHash);
  });

  it("keeps the position when another one claims it too, and the other stands beside it", () => {
    const named = successor();
    const unnamed = recordOf(8, { position: "n2", replaces: keyOf(2) });
    const sameName = recordOf(6, { nodeId: nodeId("n2") });
    const records = [...six().slice(0, 5), named, unnamed, sameName];
    const ring = ringMembersOf(setOf(records, [removal(2, 7)]));
    expect(ring.find((member) => member.id === "n7")?.position).toBe("n2");
    expect(ring.find((member) => member.id === "n8")?.position).toBe(`n2#${keyOf(8)}`);
    expect(ring.find((member) => member.id === "n2")?.position).toBe(`n2#${keyOf(6)}`);
  });

  it("never takes two out of the ring that wait for each other", () => {
    const records = [recordOf(1, { replaces: keyOf(2) }), recordOf(2, { replaces: keyOf(1) }), recordOf(3)];
    expect(ringMembersOf(setOf(records)).map((member) => member.id)).toContain("n3");
    expect(ringMembersOf(setOf(records))).toHaveLength(2);
  });
});

describe("preference lists over a table with gaps", () => {
  it("never take the holder of a slot that the bucket does not use", () => {
    const table = new TargetTables(N).of(setOf(six())).table;
    const [first, , third] = table.ownersOf(0);
    if (first === undefined || third === undefined) throw new Error("three owners");
    const gappy: PlacementTable = { ...table, ownersOf: () => [first, third] };
    expect(ownersFor(gappy, 0, 2)).toEqual([first]);
    expect(fallbacksFor(gappy, 0, 2)[0]).toBe(third.node);
    expect(ownersFor(gappy, 0, 3)).toEqual([first, third]);
  });
});
