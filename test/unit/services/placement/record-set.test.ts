import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { MemberRecord, Removal } from "../../../../services/placement/member-record.ts";
import { encodeNews } from "../../../../services/placement/record-codec.ts";
import { RecordSet } from "../../../../services/placement/record-set.ts";
import { nodeId } from "../../placement/layouts.ts";
import { anyRecord, anyRemoval, contentsOf, keyOf, N, Q, recordOf, setOf } from "./records.ts";

type News = { readonly record: MemberRecord } | { readonly removal: Removal };

const anyNews: fc.Arbitrary<News> = fc.oneof(
  { arbitrary: anyRecord.map((record) => ({ record })), weight: 3 },
  { arbitrary: anyRemoval.map((removal) => ({ removal })), weight: 1 },
);

function take(set: RecordSet, news: readonly News[]): RecordSet {
  for (const one of news) {
    if ("record" in one) set.mergeRecord(one.record);
    else set.mergeRemoval(one.removal);
  }
  return set;
}

function mergedInto(set: RecordSet, other: RecordSet): RecordSet {
  const news = other.newerThan(set.digests());
  return take(set, [...news.records.map((record) => ({ record })), ...news.removals.map((removal) => ({ removal }))]);
}

const fresh = (news: readonly News[]): RecordSet => take(new RecordSet(Q, N), news);

describe("merging records", () => {
  it("comes to the same whatever the order in which things were heard", () => {
    fc.assert(
      fc.property(
        fc
          .array(anyNews, { maxLength: 12 })
          .chain((news) => fc.tuple(fc.constant(news), fc.shuffledSubarray(news, { minLength: news.length }))),
        ([news, shuffled]) => {
          expect(contentsOf(fresh(shuffled))).toEqual(contentsOf(fresh(news)));
        },
      ),
    );
  });

  it("is commutative, associative and idempotent for whole sets that compare digests", () => {
    const some = fc.array(anyNews, { maxLength: 8 });
    fc.assert(
      fc.property(some, some, some, (a, b, c) => {
        const left = mergedInto(mergedInto(fresh(a), fresh(b)), fresh(c));
        const right = mergedInto(fresh(c), mergedInto(fresh(b), fresh(a)));
        expect(contentsOf(right)).toEqual(contentsOf(left));
        expect(contentsOf(left)).toEqual(contentsOf(fresh([...a, ...b, ...c])));
        const before = left.changeCount;
        expect(left.newerThan(left.digests())).toEqual({ records: [], removals: [] });
        take(left, [...a, ...b, ...c]);
        expect(left.changeCount).toBe(before);
      }),
    );
  });

  it("has equal hashes exactly for equal contents", () => {
    const some = fc.array(anyNews, { maxLength: 4 });
    fc.assert(
      fc.property(some, some, (a, b) => {
        const [one, other] = [fresh(a), fresh(b)];
        const isSame =
          JSON.stringify([one.records(), one.removals()]) === JSON.stringify([other.records(), other.removals()]);
        expect(one.hash === other.hash).toBe(isSame);
      }),
    );
  });

  it("never takes an older version, and never loses a removal", () => {
    fc.assert(
      fc.property(fc.array(anyNews, { maxLength: 15 }), (news) => {
        const set = new RecordSet(Q, N);
        for (const one of news) {
          const versions = new Map(set.records().map((record) => [record.key, record.version]));
          const removed = set.removals().map((removal) => removal.key);
          take(set, [one]);
          for (const [key, version] of versions) expect(set.recordOf(key)?.version).toBeGreaterThanOrEqual(version);
          for (const key of removed) expect(set.isRemoved(key)).toBe(true);
        }
        for (const { key } of set.removals()) expect(set.members().some((record) => record.key === key)).toBe(false);
      }),
    );
  });

  it("keeps one of two records of one version, the same on every node, and then has one hash", () => {
    const one = recordOf(1, { zone: "a" });
    const other = recordOf(1, { zone: "b" });
    const [left, right] = [setOf([one]), setOf([other])];
    expect(left.hash).not.toBe(right.hash);
    mergedInto(left, right);
    mergedInto(right, left);
    expect(left.hash).toBe(right.hash);
    expect(left.recordOf(keyOf(1))).toEqual(right.recordOf(keyOf(1)));
  });

  it("does not care in which order the fields of a record were put together", () => {
    const record = recordOf(1);
    const turned = Object.fromEntries(Object.entries(record).toReversed()) as unknown as MemberRecord;
    expect(setOf([turned]).hash).toBe(setOf([record]).hash);
    expect(setOf([record]).mergeRecord(turned)).toEqual({ kind: "known" });
  });

  it("settles two operators' removals of one member by the smaller writer", () => {
    const removal = (by: number, to: number): Removal => ({ key: keyOf(1), by: keyOf(by), replacedBy: keyOf(to) });
    const left = setOf([recordOf(1)], [removal(2, 8)]);
    const right = setOf([recordOf(1)], [removal(3, 9)]);
    mergedInto(left, right);
    mergedInto(right, left);
    expect(left.removalOf(keyOf(1))).toEqual(removal(2, 8));
    expect(contentsOf(right)).toEqual(contentsOf(left));
  });
});

describe("what is no record is refused", () => {
  it.each<[string, Partial<MemberRecord>, string]>([
    ["slots of another Q", { slots: new Int8Array(Q * 2).fill(-1) }, "partitions"],
    ["a slot beyond N", { slots: new Int8Array(Q).fill(N) }, "slot"],
    ["a slot below none", { slots: new Int8Array(Q).fill(-2) }, "slot"],
    ["slots of one that left", { status: "left", slots: new Int8Array(Q).fill(0) }, "left"],
    ["version 0", { version: 0 }, "version"],
    ["half a version", { version: 1.5 }, "version"],
    ["a version that no count of writes reaches", { version: 2 ** 33 }, "jumps"],
    ["no weight", { weight: 0 }, "weight"],
    ["too much weight", { weight: 65 }, "weight"],
    ["a position that could be anything", { position: "__proto__" }, "position"],
    ["a position with a port", { position: "n1:11211" }, "position"],
    ["one that replaces itself", { replaces: keyOf(1) }, "replaces"],
  ])("%s", (_, change, reason) => {
    const set = new RecordSet(Q, N);
    const merged = set.mergeRecord(recordOf(1, change));
    expect(merged).toMatchObject({ kind: "refused", reason: expect.stringContaining(reason) as string });
    expect(set.records()).toEqual([]);
  });

  it("a jump of the version above the known one", () => {
    const set = setOf([recordOf(1, { version: 10 })]);
    expect(set.mergeRecord(recordOf(1, { version: 10 + 2 ** 32 + 1 })).kind).toBe("refused");
    expect(set.mergeRecord(recordOf(1, { version: 10 + 2 ** 32 })).kind).toBe("taken");
  });

  it("a key that changes its name", () => {
    const set = setOf([recordOf(1)]);
    expect(set.mergeRecord(recordOf(1, { nodeId: nodeId("other"), version: 2 })).kind).toBe("refused");
  });

  it("members beyond what the document can hold; those known can still change, and be removed", () => {
    const set = new RecordSet(4_096, 7);
    const slots = Int8Array.from({ length: 4_096 }, (_, partition) => (partition % 8) - 1);
    let count = 0;
    while (set.mergeRecord(recordOf(count, { slots }, 4_096)).kind === "taken") {
      expect(set.fill).toBeLessThanOrEqual(1);
      count += 1;
    }
    expect(set.fill).toBeGreaterThan(0.99);
    expect(count).toBeGreaterThanOrEqual(300);
    expect(set.mergeRecord(recordOf(1, { version: 2, zone: "elsewhere", slots }, 4_096)).kind).toBe("taken");
    for (let index = 0; index < 4_096; index += 1)
      expect(set.mergeRemoval({ key: keyOf(index), by: keyOf(1), replacedBy: keyOf(2) }).kind).toBe("taken");
    expect(set.mergeRemoval({ key: keyOf(5_000), by: keyOf(1), replacedBy: undefined }).kind).toBe("refused");
    expect(encodeNews({ records: set.records(), removals: set.removals() }).length).toBeLessThan(1_024 * 1_024);
  });
});

describe("members that count", () => {
  it("are those that were not removed and have not left", () => {
    const set = setOf(
      [
        recordOf(1),
        recordOf(2, { status: "left" }),
        recordOf(3),
        recordOf(4, { status: "joining" }),
        recordOf(5, { status: "leaving" }),
      ],
      [{ key: keyOf(3), by: keyOf(1), replacedBy: undefined }],
    );
    expect(set.members().map((record) => record.key)).toEqual([1, 4, 5].map(keyOf));
    expect(set.conflicts()).toEqual([]);
  });

  it.each<[string, Partial<MemberRecord>, Partial<MemberRecord>, number]>([
    ["the one that replaces the other", { version: 9 }, { replaces: keyOf(1) }, 2],
    ["the one that replaces the other, whichever key is smaller", { replaces: keyOf(2) }, { version: 9 }, 1],
    ["else the one that wrote more", { version: 9 }, { version: 3 }, 1],
  ])("of two lives of one name: %s, and the other is reported", (_, first, second, winner) => {
    const name = nodeId("same");
    const set = setOf([recordOf(1, { nodeId: name, ...first }), recordOf(2, { nodeId: name, ...second })]);
    expect(set.memberNamed(name)?.key).toBe(keyOf(winner));
    expect(set.conflicts()).toEqual([{ nodeId: name, kept: keyOf(winner), ignored: keyOf(3 - winner) }]);
  });

  it("a copy is a set of its own", () => {
    const set = setOf([recordOf(1)]);
    const copy = set.copy();
    copy.mergeRecord(recordOf(2));
    expect(set.records()).toHaveLength(1);
    expect(copy.records()).toHaveLength(2);
  });
});
