import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeBody, encodeBody } from "../../../../services/peers/binary-json.ts";
import { buildPlacementTable } from "../../../../services/placement/placement-table.ts";
import {
  allOf,
  decodeNews,
  encodeNews,
  parseDigests,
  parseNews,
  plainDigests,
  plainNews,
} from "../../../../services/placement/record-codec.ts";
import { RecordSet } from "../../../../services/placement/record-set.ts";
import { packSlots, parseSlotText } from "../../../../services/placement/slot-packing.ts";
import { membersIn } from "../../placement/layouts.ts";
import { anyRecord, anyRemoval, anySlots, keyOf, Q, recordOf, setOf } from "./records.ts";

const anyNews = fc.record({
  records: fc.uniqueArray(anyRecord, { maxLength: 5, selector: (record) => record.key }),
  removals: fc.uniqueArray(anyRemoval, { maxLength: 5, selector: (removal) => removal.key }),
});

function throughMessagePack(value: unknown): unknown {
  const decoded = decodeBody(encodeBody(value));
  return decoded.kind === "body" ? decoded.body : undefined;
}

describe("slots as text", () => {
  it("come back as they were, and are never longer than 3 bits a partition in base64", () => {
    fc.assert(
      fc.property(fc.constantFrom(64, 128, 1_024).chain(anySlots), (slots) => {
        const text = packSlots(slots);
        expect(parseSlotText(text, slots.length)).toEqual(slots);
        expect(text.length).toBeLessThanOrEqual(4 * Math.ceil((1 + (slots.length * 3) / 8) / 3));
      }),
    );
  });

  it("take all slots of the largest N, in every partition of the largest Q", () => {
    const slots = Int8Array.from({ length: 4_096 }, (_, partition) => (partition % 8) - 1);
    expect(parseSlotText(packSlots(slots), 4_096)).toEqual(slots);
    expect(packSlots(slots).length).toBe(2_052);
  });

  it("have one text each: any other is refused", () => {
    fc.assert(
      fc.property(fc.oneof(fc.base64String({ maxLength: 70 }), fc.string({ maxLength: 90 }), fc.anything()), (text) => {
        const slots = parseSlotText(text, Q);
        if (slots !== undefined) expect(packSlots(slots)).toBe(text);
      }),
      { numRuns: 1_000 },
    );
    fc.assert(
      fc.property(anySlots(Q), fc.nat(), fc.nat(255), (slots, at, byte) => {
        const bytes = Buffer.from(packSlots(slots), "base64");
        if (bytes.length > 0) bytes[at % bytes.length] = byte;
        const parsed = parseSlotText(bytes.toString("base64"), Q);
        if (parsed !== undefined) expect(packSlots(parsed)).toBe(bytes.toString("base64"));
      }),
      { numRuns: 1_000 },
    );
  });
});

describe("news", () => {
  it("come back as they were, through MessagePack and through bytes", () => {
    fc.assert(
      fc.property(anyNews, (news) => {
        expect(parseNews(throughMessagePack(plainNews(news)), Q)).toEqual(news);
        expect(decodeNews(encodeNews(news), Q)).toEqual(news);
      }),
    );
  });

  it("are refused when a byte is another, or some are missing", () => {
    const bytes = encodeNews(allOf(setOf([recordOf(1), recordOf(2)])));
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const damaged = Uint8Array.from(bytes);
        damaged[at] = (damaged[at] ?? 0) ^ flip;
        expect(decodeNews(damaged, Q)).toBeUndefined();
        expect(decodeNews(bytes.subarray(0, at), Q)).toBeUndefined();
      }),
    );
  });

  it("never throw, whatever is handed in, and what they take the set takes or refuses in words", () => {
    const odd = fc.oneof(
      fc.anything(),
      fc.constantFrom<unknown>(null, -1, "", "0".repeat(16), 2 ** 60, Number.NaN, "\ud800", [], {}),
    );
    const oddRecord = fc
      .tuple(anyRecord, fc.constantFrom(...Object.keys(recordOf(1))), odd)
      .map(([record, field, value]) => {
        const { records } = plainNews({ records: [record], removals: [] }) as { records: readonly object[] };
        return { ...records[0], [field]: value };
      });
    fc.assert(
      fc.property(fc.array(oddRecord, { maxLength: 3 }), fc.array(odd, { maxLength: 3 }), (records, removals) => {
        const set = new RecordSet(Q, 3);
        for (const list of [[], removals]) {
          for (const record of parseNews({ records, removals: list }, Q)?.records ?? []) set.mergeRecord(record);
        }
        expect(parseNews(throughMessagePack(plainNews(allOf(set))), Q)).toEqual(allOf(set));
      }),
      { numRuns: 1_000 },
    );
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 64 }), fc.anything()), (value) => {
        if (value instanceof Uint8Array) expect(decodeNews(value, Q)).toBeUndefined();
        parseNews(value, Q);
        parseDigests(value);
      }),
    );
  });

  it("of 256 members fit into a document of 1 MiB at Q = 4096, with room to spare", () => {
    const table = buildPlacementTable({ members: membersIn([86, 85, 85]), partitionCount: 4_096, replicaCount: 3 });
    const records = table.members.map((member, index) => {
      const slots = Int8Array.from({ length: 4_096 }, (_, partition) => table.slotOf(partition, member.id));
      return { ...recordOf(index, {}, 4_096), nodeId: member.id, position: member.id, slots };
    });
    const bytes = encodeNews({
      records,
      removals: records.map(({ key }) => ({ key, by: keyOf(1), replacedBy: keyOf(2) })),
    });
    expect(bytes.length).toBeLessThan(128 * 1_024);
    expect(decodeNews(bytes, 4_096)?.records).toEqual(records);
  });
});

describe("digests", () => {
  it("come back as they were, and say what each side lacks", () => {
    fc.assert(
      fc.property(anyNews, anyNews, (mine, theirs) => {
        const [own, other] = [mine, theirs].map(({ records, removals }) => {
          const set = new RecordSet(Q, 3);
          for (const record of records) set.mergeRecord(record);
          for (const removal of removals) set.mergeRemoval(removal);
          return set;
        });
        if (own === undefined || other === undefined) throw new Error("two sets");
        const digests = parseDigests(throughMessagePack(plainDigests(other.digests())));
        expect(digests).toEqual(other.digests());
        const lacking = own.newerThan(digests ?? []);
        for (const record of own.records()) {
          const known = other.recordOf(record.key)?.version ?? 0;
          expect(lacking.records.includes(record) || record.version <= known).toBe(true);
          if (record.version < known) expect(lacking.records).not.toContain(record);
        }
      }),
    );
  });
});
