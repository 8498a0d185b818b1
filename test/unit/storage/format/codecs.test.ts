/** Every codec: what is encoded decodes to the same, and no other bytes are ever believed or thrown at. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checksum, fileSeed } from "../../../../storage/format/checksum.ts";
import { decodeCleanMarker, encodeCleanMarker } from "../../../../storage/format/clean-marker.ts";
import { decodeDocument, encodeDocument } from "../../../../storage/format/document.ts";
import {
  decodeIndexFile,
  encodeIndexEntry,
  encodeIndexTrailer,
  entryAt,
  indexSeed,
} from "../../../../storage/format/index-file.ts";
import { decodeEdit, encodeEdit, type ManifestChange } from "../../../../storage/format/manifest-edit.ts";
import { decodeManifestHeader, encodeManifestHeader } from "../../../../storage/format/manifest-header.ts";
import {
  decodeIdentity,
  decodeRecord,
  encodeRecord,
  FLAG_META,
  keyOf,
  recordBytes,
  valueOf,
} from "../../../../storage/format/record.ts";
import { decodeSegmentHeader, encodeSegmentHeader } from "../../../../storage/format/segment-header.ts";

const u32 = fc.nat({ max: 0xffffffff });
const u48 = fc.maxSafeNat().map((value) => value % 2 ** 48);
const u64 = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });
const storeId = fc.uint8Array({ minLength: 16, maxLength: 16 });
const offset = fc.nat({ max: 0xffffffff }).map((units) => units * 8);

const record = fc.record({
  seq: u48,
  partition: fc.nat({ max: 0xffff }),
  hash: u64,
  digest: u64,
  flags: fc.constantFrom(0, 1, 2, 4, 6, 16, 23),
  durableUpTo: u48,
  key: fc.uint8Array({ minLength: 1, maxLength: 64 }),
  value: fc.uint8Array({ maxLength: 128 }),
});

const change: fc.Arbitrary<ManifestChange> = fc.oneof(
  fc.record({ kind: fc.constant("ids" as const), nextSegment: u32 }),
  fc.record({ kind: fc.constantFrom("added" as const, "removed" as const), segment: u32 }),
  fc.record({
    kind: fc.constant("sealed" as const),
    segment: u32,
    sizeBytes: fc.maxSafeNat(),
    minSeq: u48,
    maxSeq: u48,
  }),
  fc.record({ kind: fc.constant("actor" as const), actor: u48 }),
  fc.record({ kind: fc.constant("lease" as const), through: fc.maxSafeNat() }),
  fc.record({ kind: fc.constantFrom("suspect" as const, "cleared" as const), partition: fc.nat({ max: 0xffff }) }),
  fc.record({ kind: fc.constant("all-suspect" as const) }),
  fc.record({ kind: fc.constant("dropped" as const), partition: fc.nat({ max: 0xffff }), throughSeq: u48 }),
);

const indexRecord = fc.record({
  seq: u48,
  partition: fc.nat({ max: 0xffff }),
  hash: u64,
  digest: u64,
  offset,
  length: fc.nat({ max: 2 ** 28 }).map((units) => (units * 8) % 2 ** 31),
  flags: fc.constantFrom(0, 1, 16, 17),
});

/** All single bit flips of a file, or enough of them, must be refused by `isBelieved`. */
function flipsAreRefused(bytes: Buffer, isBelieved: (bytes: Buffer) => boolean): void {
  expect(isBelieved(bytes)).toBe(true);
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const flipped = Buffer.from(bytes);
    flipped[bit >>> 3] = (flipped[bit >>> 3] ?? 0) ^ (1 << (bit & 7));
    if (isBelieved(flipped)) expect.fail(`the flip of bit ${bit} was believed`);
  }
}

describe("record", () => {
  test("what is encoded decodes to the same, at any place", () => {
    fc.assert(
      fc.property(record, u32, offset, fc.nat({ max: 5 }), (fields, segmentSeed, at, lead) => {
        const bytes = Buffer.alloc(lead * 8 + recordBytes(fields.key.length, fields.value.length) + 40, 0xee);
        const length = encodeRecord(fields, bytes, lead * 8, { segmentSeed, offset: at });
        const found = decodeRecord(bytes, lead * 8, { segmentSeed, offset: at });
        if (found.kind !== "identity") throw new Error(found.kind);
        const { key, value, ...rest } = fields;
        expect(found).toMatchObject(rest);
        expect(found.totalBytes).toBe(length);
        expect(length % 8).toBe(0);
        expect(new Uint8Array(keyOf(bytes, lead * 8, found))).toEqual(new Uint8Array(key));
        expect(new Uint8Array(valueOf(bytes, lead * 8, found))).toEqual(new Uint8Array(value));
      }),
    );
  });

  test("no flip of any bit is believed", () => {
    fc.assert(
      fc.property(record, u32, offset, (fields, segmentSeed, at) => {
        const place = { segmentSeed, offset: at };
        const bytes = Buffer.alloc(recordBytes(fields.key.length, fields.value.length));
        encodeRecord(fields, bytes, 0, place);
        flipsAreRefused(bytes, (flipped) => decodeRecord(flipped, 0, place).kind === "identity");
      }),
      { numRuns: 20 },
    );
  });

  test("is not believed at any other offset of its segment, nor in another segment", () => {
    fc.assert(
      fc.property(record, offset, offset, storeId, (fields, here, there, id) => {
        fc.pre(here !== there);
        const bytes = Buffer.alloc(recordBytes(fields.key.length, fields.value.length));
        const segmentSeed = fileSeed(id, "segment", 7);
        encodeRecord(fields, bytes, 0, { segmentSeed, offset: here });
        expect(decodeRecord(bytes, 0, { segmentSeed, offset: there }).kind).toBe("corrupt");
        const elsewhere = fileSeed(id, "segment", 8);
        expect(decodeRecord(bytes, 0, { segmentSeed: elsewhere, offset: here }).kind).toBe("corrupt");
      }),
    );
  });

  test("cut anywhere, it is short or corrupt; its key is proved as soon as it is there", () => {
    const fields = { seq: 1, partition: 2, hash: 3n, digest: 4n, flags: 0, durableUpTo: 0 };
    const place = { segmentSeed: 5, offset: 64 };
    const bytes = Buffer.alloc(recordBytes(10, 100));
    encodeRecord({ ...fields, key: Buffer.alloc(10, 1), value: Buffer.alloc(100, 2) }, bytes, 0, place);
    for (let length = 0; length < bytes.length; length += 1) {
      const cut = bytes.subarray(0, length);
      expect(decodeRecord(cut, 0, place)).toEqual({ kind: "corrupt", reason: "short" });
      expect(decodeIdentity(cut, 0, place).kind).toBe(length < 58 ? "corrupt" : "identity");
    }
  });

  test("random bytes are never believed, and never thrown at; zeros are the end", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.nat({ max: 300 }),
        u32,
        offset,
        (bytes, at, segmentSeed, where) => {
          const found = decodeRecord(Buffer.from(bytes), at, { segmentSeed, offset: where });
          expect(found.kind).not.toBe("identity");
        },
      ),
      { numRuns: 2000 },
    );
    expect(decodeRecord(Buffer.alloc(64), 0, { segmentSeed: 1, offset: 64 })).toEqual({ kind: "end" });
  });

  test("a record without a key must be a meta record, and a meta record must have none", () => {
    const fields = { seq: 1, partition: 0, hash: 0n, digest: 0n, durableUpTo: 9, value: Buffer.alloc(0) };
    const place = { segmentSeed: 5, offset: 64 };
    const bytes = Buffer.alloc(64);
    encodeRecord({ ...fields, flags: FLAG_META, key: Buffer.alloc(0) }, bytes, 0, place);
    expect(decodeRecord(bytes, 0, place)).toMatchObject({ kind: "identity", durableUpTo: 9, totalBytes: 48 });
    encodeRecord({ ...fields, flags: 0, key: Buffer.alloc(0) }, bytes, 0, place);
    expect(decodeRecord(bytes, 0, place).kind).toBe("corrupt");
    encodeRecord({ ...fields, flags: FLAG_META, key: Buffer.alloc(1) }, bytes, 0, place);
    expect(decodeRecord(bytes, 0, place).kind).toBe("corrupt");
  });
});

describe("segment header", () => {
  test("round trip; no flip is believed; zeros are called empty", () => {
    fc.assert(
      fc.property(u32, storeId, fc.constantFrom("log" as const, "copy" as const), (segment, id, role) => {
        const header = { segment, storeId: Buffer.from(id), role, durability: "os" as const };
        const bytes = encodeSegmentHeader(header);
        expect(decodeSegmentHeader(bytes)).toEqual({ kind: "segment", ...header });
        flipsAreRefused(bytes, (flipped) => decodeSegmentHeader(flipped).kind === "segment");
      }),
      { numRuns: 10 },
    );
    expect(decodeSegmentHeader(Buffer.alloc(64))).toEqual({ kind: "corrupt", reason: "empty" });
  });
});

describe("index file", () => {
  function fileOf(id: Uint8Array, records: readonly (typeof indexRecord extends fc.Arbitrary<infer T> ? T : never)[]) {
    const subject = { storeId: id, segment: 9, segmentBytes: 4096 };
    const entries = Buffer.alloc(records.length * 32);
    for (const [at, entry] of records.entries()) encodeIndexEntry(entry, entries, at * 32);
    const trailer = encodeIndexTrailer(subject, records.length, checksum(entries, indexSeed(subject)));
    return { subject, bytes: Buffer.concat([entries, trailer]) };
  }

  test("round trip; no flip is believed; not for another segment, store or length", () => {
    fc.assert(
      fc.property(storeId, fc.array(indexRecord, { maxLength: 4 }), (id, records) => {
        const { subject, bytes } = fileOf(id, records);
        const index = decodeIndexFile(bytes, subject);
        if (index.kind !== "index") throw new Error(index.reason);
        expect(records.map((_, at) => entryAt(index.entries, at))).toEqual(records);
        flipsAreRefused(bytes, (flipped) => decodeIndexFile(flipped, subject).kind === "index");
        const others = [
          { ...subject, segment: 10 },
          { ...subject, segmentBytes: 4104 },
          { ...subject, storeId: id.map((byte) => byte ^ 1) },
        ];
        for (const other of others) expect(decodeIndexFile(bytes, other).kind).toBe("corrupt");
      }),
      { numRuns: 20 },
    );
  });

  test("random bytes are never believed, and never thrown at", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), storeId, (bytes, id) => {
        const subject = { storeId: id, segment: 1, segmentBytes: 64 };
        expect(decodeIndexFile(Buffer.from(bytes), subject).kind).toBe("corrupt");
      }),
    );
  });
});

describe("manifest", () => {
  test("header: round trip, and no flip is believed", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), storeId, u32, (number, id, partitionCount) => {
        const header = { number, storeId: Buffer.from(id), partitionCount };
        const bytes = encodeManifestHeader(header);
        expect(decodeManifestHeader(bytes)).toEqual({ kind: "manifest", ...header });
        flipsAreRefused(bytes, (flipped) => decodeManifestHeader(flipped).kind === "manifest");
      }),
      { numRuns: 10 },
    );
  });

  test("edit: round trip; no flip, no cut, no other place is believed", () => {
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), u32, offset, (changes, manifestSeed, at) => {
        const place = { manifestSeed, offset: at };
        const bytes = encodeEdit(changes, place);
        expect(decodeEdit(bytes, 0, place)).toEqual({ kind: "edit", changes, totalBytes: bytes.length });
        flipsAreRefused(bytes, (flipped) => decodeEdit(flipped, 0, place).kind === "edit");
        for (let length = 0; length < bytes.length; length += 1) {
          expect(decodeEdit(bytes.subarray(0, length), 0, place).kind).toBe("corrupt");
        }
        expect(decodeEdit(bytes, 0, { manifestSeed, offset: at + 8 }).kind).toBe("corrupt");
      }),
      { numRuns: 30 },
    );
  });

  test("random bytes are never believed, and never thrown at", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat({ max: 200 }), (bytes, at) => {
        expect(decodeEdit(Buffer.from(bytes), at, { manifestSeed: 1, offset: 48 }).kind).toBe("corrupt");
        expect(decodeManifestHeader(Buffer.from(bytes)).kind).toBe("corrupt");
        expect(decodeSegmentHeader(Buffer.from(bytes)).kind).toBe("corrupt");
      }),
      { numRuns: 1000 },
    );
  });
});

describe("documents and the clean marker", () => {
  test("round trip; no flip is believed; not under another name", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (content) => {
        const bytes = encodeDocument("slots", content);
        expect(decodeDocument("slots", bytes)).toEqual({ kind: "document", content: Buffer.from(content) });
        expect(decodeDocument("slotz", bytes).kind).toBe("corrupt");
        flipsAreRefused(bytes, (flipped) => decodeDocument("slots", flipped).kind === "document");
      }),
      { numRuns: 20 },
    );
  });

  test("random bytes are never believed, and never thrown at", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        expect(decodeDocument("a", Buffer.from(bytes)).kind).toBe("corrupt");
        expect(decodeCleanMarker(Buffer.from(bytes)).kind).toBe("corrupt");
      }),
    );
  });

  test("the clean marker comes back whole, and any other document under its name is none", () => {
    const facts = {
      storeId: "00".repeat(16),
      actor: 5,
      manifestNumber: 2,
      manifestBytes: 96,
      lastSeq: 7,
      lastSegment: 1,
      lastOffset: 64,
    };
    expect(decodeCleanMarker(encodeCleanMarker(facts))).toEqual({ kind: "clean", facts });
    const bad: readonly string[] = [
      "",
      "null",
      "[]",
      "{}",
      JSON.stringify({ ...facts, lastSeq: -1 }),
      JSON.stringify({ ...facts, actor: "5" }),
      JSON.stringify({ ...facts, storeId: "xyz" }),
    ];
    for (const text of bad)
      expect(decodeCleanMarker(encodeDocument("CLEAN", Buffer.from(text)))).toEqual({ kind: "corrupt" });
  });
});
