/**
 * Records and removals as plain values and as text with one spelling each: equal records have equal texts on every node,
 * in whatever order their fields were put together. What is compared, summed up and written is this text.
 */
import { xxh64 } from "../base/hash.ts";
import type { MemberRecord, Removal } from "./member-record.ts";
import { packSlots } from "./slot-packing.ts";

/** What is worked out once a record; records are never changed in place. */
interface Spelling {
  readonly text: string;
  readonly sizeBytes: number;
  readonly sum: string;
}

const spellings = new WeakMap<MemberRecord, Spelling>();

/** A record as values of strings and numbers only, fields in a fixed order. */
export function plainRecord(record: MemberRecord): unknown {
  const { key, nodeId, version, status, zone, host, weight, address, position, slots, replaces } = record;
  const labels = { zone, host, weight, address, position };
  return { key, nodeId, version, status, ...labels, slots: packSlots(slots), replaces: replaces ?? null };
}

/** A removal as an array of strings. */
export function plainRemoval({ key, by, replacedBy }: Removal): unknown {
  return [key, by, replacedBy ?? null];
}

/** The one text of a record. */
export function recordText(record: MemberRecord): string {
  return spellingOf(record).text;
}

/** Bytes that the record takes up in a document. */
export function recordSizeBytes(record: MemberRecord): number {
  return spellingOf(record).sizeBytes;
}

/** 16 hex digits that name all that is known of a member: its record, its removal, or both. */
export function sumOf(record: MemberRecord | undefined, removal: Removal | undefined): string {
  const own = record === undefined ? "" : spellingOf(record).sum;
  return removal === undefined ? own : sumOfText(`${own}${JSON.stringify(plainRemoval(removal))}`);
}

function spellingOf(record: MemberRecord): Spelling {
  const known = spellings.get(record);
  if (known !== undefined) return known;
  const text = JSON.stringify(plainRecord(record));
  const spelling = { text, sizeBytes: Buffer.byteLength(text), sum: sumOfText(text) };
  spellings.set(record, spelling);
  return spelling;
}

function sumOfText(text: string): string {
  return xxh64(Buffer.from(text, "utf8")).toString(16).padStart(16, "0");
}
