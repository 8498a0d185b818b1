/** The table of reliability notes §3.6, row by row: what is at the end of a segment, and what it means. */
import { describe, expect, test } from "vitest";
import { encodeRecord, recordBytes } from "../../../storage/format/record.ts";
import { encodeSegmentHeader } from "../../../storage/format/segment-header.ts";
import { joinLoss, type Loss, sealedLossOf, tailVerdictOf } from "../../../storage/recovery-core.ts";
import { type ScannedSegment, scanSegment } from "../../../storage/segment-scan.ts";

const SEED = 77;
const KEY = Buffer.from("k");
const LENGTH = recordBytes(1, 40);

/** A segment of records with these seqs, partition = seq; then damage. */
function segmentOf(
  seqs: readonly number[],
  damage: (bytes: Buffer, at: (seq: number) => number) => void,
): ScannedSegment {
  const bytes = Buffer.alloc(64 + seqs.length * LENGTH + 200);
  encodeSegmentHeader({ segment: 1, storeId: Buffer.alloc(16), role: "log", durability: "fsync" }).copy(bytes);
  for (const [index, seq] of seqs.entries()) {
    const offset = 64 + index * LENGTH;
    const fields = {
      seq,
      partition: seq,
      hash: 1n,
      digest: 1n,
      flags: 0,
      durableUpTo: 0,
      key: KEY,
      value: Buffer.alloc(40, seq),
    };
    encodeRecord(fields, bytes, offset, { segmentSeed: SEED, offset });
  }
  damage(bytes, (seq) => 64 + seqs.indexOf(seq) * LENGTH);
  return scanSegment(bytes, SEED);
}

const flip = (bytes: Buffer, at: number): void => {
  bytes[at] = (bytes[at] ?? 0) ^ 1;
};
const spoilHeader = (seq: number) => (bytes: Buffer, at: (seq: number) => number) => flip(bytes, at(seq) + 9);
const spoilValue = (seq: number) => (bytes: Buffer, at: (seq: number) => number) => flip(bytes, at(seq) + 60);
const zero = (seq: number) => (bytes: Buffer, at: (seq: number) => number) => bytes.fill(0, at(seq), at(seq) + LENGTH);
const nothing = (): void => undefined;
const partitions = (...list: number[]): Loss => ({ kind: "partitions", partitions: list });
const none: Loss = { kind: "none" };
const all: Loss = { kind: "all" };

type Damage = (bytes: Buffer, at: (seq: number) => number) => void;
interface Row {
  readonly title: string;
  readonly damage: Damage;
  /** every seq up to this one is known to have been durable */
  readonly required: number;
  readonly kept: number;
  readonly skipped: number;
  readonly isCut: boolean;
  readonly loss: Loss;
}

describe("a segment of the records 1, 2, 3, 4", () => {
  const rows: readonly Row[] = [
    { title: "whole: nothing is lost", damage: nothing, required: 4, kept: 4, skipped: 0, isCut: false, loss: none },
    {
      title: "ends short of what was durable: all may be lost",
      damage: nothing,
      required: 5,
      kept: 4,
      skipped: 0,
      isCut: false,
      loss: all,
    },
    {
      title: "bad header at the end, not durable: torn",
      damage: spoilHeader(4),
      required: 3,
      kept: 3,
      skipped: 0,
      isCut: true,
      loss: none,
    },
    {
      title: "bad header at the end, durable: lost, and whose is unknown",
      damage: spoilHeader(4),
      required: 4,
      kept: 3,
      skipped: 0,
      isCut: true,
      loss: all,
    },
    {
      title: "bad value at the end, not durable: torn",
      damage: spoilValue(4),
      required: 3,
      kept: 3,
      skipped: 0,
      isCut: true,
      loss: none,
    },
    {
      title: "bad value at the end, durable: its partition lost it",
      damage: spoilValue(4),
      required: 4,
      kept: 3,
      skipped: 1,
      isCut: false,
      loss: partitions(4),
    },
    {
      title: "bad header before durable records: skipped, all suspect",
      damage: spoilHeader(2),
      required: 3,
      kept: 3,
      skipped: 1,
      isCut: false,
      loss: all,
    },
    {
      title: "bad value before durable records: skipped, its partition suspect",
      damage: spoilValue(2),
      required: 3,
      kept: 3,
      skipped: 1,
      isCut: false,
      loss: partitions(2),
    },
    {
      title: "bad header in the last durable record: skipped, all suspect, and the record behind it is kept",
      damage: spoilHeader(3),
      required: 3,
      kept: 3,
      skipped: 1,
      isCut: false,
      loss: all,
    },
    {
      title: "bad record before records that were never durable: a torn group",
      damage: spoilHeader(3),
      required: 2,
      kept: 2,
      skipped: 0,
      isCut: true,
      loss: none,
    },
    {
      title: "zeros before records that were never durable: a torn group",
      damage: zero(3),
      required: 2,
      kept: 2,
      skipped: 0,
      isCut: true,
      loss: none,
    },
    {
      title: "zeros before durable records: lost",
      damage: zero(2),
      required: 4,
      kept: 3,
      skipped: 1,
      isCut: false,
      loss: all,
    },
    {
      title: "zeros at the end, not durable: the end",
      damage: zero(4),
      required: 3,
      kept: 3,
      skipped: 0,
      isCut: false,
      loss: none,
    },
    {
      title: "zeros at the end, durable: lost",
      damage: zero(4),
      required: 4,
      kept: 3,
      skipped: 0,
      isCut: false,
      loss: all,
    },
  ];
  test.each(rows)("$title", ({ damage, required, kept, skipped, isCut, loss }) => {
    const verdict = tailVerdictOf(segmentOf([1, 2, 3, 4], damage), required);
    expect(verdict).toMatchObject({ keptRecords: kept, loss });
    expect(verdict.skipped).toHaveLength(skipped);
    expect(verdict.cutBytes > 0).toBe(isCut);
  });

  test("sealed, every damage is a loss", () => {
    expect(sealedLossOf(segmentOf([1, 2, 3, 4], nothing), 4)).toEqual(none);
    expect(sealedLossOf(segmentOf([1, 2, 3, 4], spoilValue(4)), 4)).toEqual(partitions(4));
    expect(sealedLossOf(segmentOf([1, 2, 3, 4], spoilHeader(1)), 4)).toEqual(all);
    expect(sealedLossOf(segmentOf([1, 2, 3, 4], zero(4)), 4)).toEqual(all);
  });

  test("a record inside the value of another is not found behind damage: its place is wrong", () => {
    const inner = Buffer.alloc(LENGTH);
    const fields = {
      seq: 9,
      partition: 9,
      hash: 1n,
      digest: 1n,
      flags: 0,
      durableUpTo: 0,
      key: KEY,
      value: Buffer.alloc(40),
    };
    encodeRecord(fields, inner, 0, { segmentSeed: SEED, offset: 8 });
    const scanned = segmentOf([1, 2, 3], (bytes, at) => {
      inner.copy(bytes, at(2));
    });
    expect(scanned.records.map((record) => record.identity.seq)).toEqual([1, 3]);
  });
});

test("losses join: all swallows, partitions unite", () => {
  expect(joinLoss(none, partitions(1))).toEqual(partitions(1));
  expect(joinLoss(partitions(1, 2), partitions(2, 3))).toEqual(partitions(1, 2, 3));
  expect(joinLoss(partitions(1), all)).toEqual(all);
  expect(joinLoss(all, none)).toEqual(all);
});
