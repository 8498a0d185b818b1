/** FORMAT.md is true: each of its examples is read by the codecs, and is what the codecs would write. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { checksum, fileSeed, seedAt } from "../../../../storage/format/checksum.ts";
import { decodeDocument, encodeDocument } from "../../../../storage/format/document.ts";
import { decodeIndexFile, encodeIndexEntry, entryAt } from "../../../../storage/format/index-file.ts";
import { decodeEdit, encodeEdit } from "../../../../storage/format/manifest-edit.ts";
import { decodeManifestHeader } from "../../../../storage/format/manifest-header.ts";
import { decodeRecord, encodeRecord, keyOf, valueOf } from "../../../../storage/format/record.ts";
import { decodeSegmentHeader, encodeSegmentHeader } from "../../../../storage/format/segment-header.ts";

const text = readFileSync(join(import.meta.dirname, "../../../../storage/FORMAT.md"), "utf8");
const storeId = Buffer.from("000102030405060708090a0b0c0d0e0f", "hex");

function example(name: string): Buffer {
  const block = new RegExp(`\`\`\`hex ${name}\n([0-9a-f\\s]+)\`\`\``).exec(text)?.[1];
  if (block === undefined) throw new Error(`FORMAT.md has no example "${name}"`);
  return Buffer.from(block.replaceAll(/\s/g, ""), "hex");
}

describe("the examples of FORMAT.md", () => {
  test("the seeds are those in the text", () => {
    const seed = fileSeed(storeId, "segment", 1);
    expect(text).toContain(`segment 1 of this store is \`${seed.toString(16)}\``);
    expect(text).toContain(`at offset 64 it is \`${seedAt(seed, 64).toString(16)}\``);
  });

  test("the segment holds the record that the text says, and encodes to the same bytes", () => {
    const bytes = example("segment");
    const header = decodeSegmentHeader(bytes);
    expect(header).toEqual({ kind: "segment", segment: 1, storeId, role: "log", durability: "fsync" });
    const place = { segmentSeed: fileSeed(storeId, "segment", 1), offset: 64 };
    const record = decodeRecord(bytes, 64, place);
    if (record.kind !== "identity") throw new Error(record.kind);
    expect(record).toMatchObject({ seq: 7, partition: 4, hash: 0x1122334455667788n, digest: 0x99n, durableUpTo: 6 });
    expect([keyOf(bytes, 64, record).toString(), valueOf(bytes, 64, record).toString()]).toEqual(["alice", "hello"]);
    const again = Buffer.alloc(64);
    encodeRecord({ ...record, key: Buffer.from("alice"), value: Buffer.from("hello") }, again, 0, place);
    const headerAgain = encodeSegmentHeader({ segment: 1, storeId, role: "log", durability: "fsync" });
    expect(Buffer.concat([headerAgain, again])).toEqual(bytes);
  });

  test("the index file is about that record", () => {
    const bytes = example("index");
    const index = decodeIndexFile(bytes, { storeId, segment: 1, segmentBytes: 128 });
    if (index.kind !== "index") throw new Error(index.reason);
    expect(index.count).toBe(1);
    const entry = entryAt(index.entries, 0);
    expect(entry).toEqual({
      seq: 7,
      partition: 4,
      hash: 0x1122334455667788n,
      digest: 0x99n,
      offset: 64,
      length: 64,
      flags: 0,
    });
    const again = Buffer.alloc(32);
    encodeIndexEntry(entry, again, 0);
    expect(again).toEqual(bytes.subarray(0, 32));
  });

  test("the manifest says what the text says, and encodes to the same bytes", () => {
    const bytes = example("manifest");
    expect(decodeManifestHeader(bytes)).toMatchObject({ number: 2, partitionCount: 64 });
    const place = { manifestSeed: fileSeed(storeId, "manifest", 2), offset: 48 };
    const edit = decodeEdit(bytes, 48, place);
    if (edit.kind !== "edit") throw new Error(edit.reason);
    expect(edit.changes).toEqual([
      { kind: "ids", nextSegment: 17 },
      { kind: "actor", actor: 0xa1b2c3 },
      { kind: "sealed", segment: 1, sizeBytes: 128, minSeq: 7, maxSeq: 7 },
      { kind: "dropped", partition: 3, throughSeq: 9 },
    ]);
    expect(encodeEdit(edit.changes, place)).toEqual(bytes.subarray(48));
  });

  test("the document holds its content, and encodes to the same bytes", () => {
    const bytes = example("document");
    expect(decodeDocument("ring", bytes)).toEqual({ kind: "document", content: Buffer.from("hello") });
    expect(encodeDocument("ring", Buffer.from("hello"))).toEqual(bytes);
  });

  test("the checksum is the CRC-32 of zlib, by its published check value", () => {
    expect(checksum(Buffer.from("123456789"), 0)).toBe(0xcbf43926);
  });
});
