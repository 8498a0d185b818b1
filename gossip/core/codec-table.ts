/**
 * Tables of members ⇄ bytes, for exchanges over links: first a digest of each member, then only what differs, both ways.
 * Version u8, kind u8, counts u16 before lists; numbers big-endian. Must never throw on any bytes, never take more than
 * 4096 members or 4 MiB, and never let a member through with a field that a datagram could not carry.
 */
import { ByteReader, ByteWriter } from "./codec-bytes.ts";
import { factsFlawOf, isNodeId, MAX_U32 } from "./codec-fields.ts";
import type { Life, MemberState } from "./messages.ts";
import type { TableEntry } from "./swim-api.ts";

/** Members in one exchange; further ones wait for the next. */
export const MAX_TABLE_MEMBERS = 4_096;
/** Bytes of one message of an exchange. */
export const MAX_TABLE_BYTES: number = 4 * 1_024 * 1_024;

const FORMAT_VERSION = 1;
const KIND_DIGESTS = 1;
const KIND_ENTRIES = 2;
const KIND_ANSWER = 3;
const STATES: readonly MemberState[] = ["alive", "suspect", "dead", "left"];
/** More than the longest entry: three texts, a life, a state, an age. */
const MAX_ENTRY_BYTES = 224;
const HEAD_BYTES = 8;

/** What tells whether two members believe the same of a third. */
export interface MemberDigest {
  readonly nodeId: string;
  readonly life: Life;
  readonly state: MemberState;
}

/** What one member says to another in an exchange. */
export type TableMessage =
  /** "this is what I believe, in short": asks for an answer */
  | { readonly kind: "digests"; readonly digests: readonly MemberDigest[] }
  /** "this is what you wanted" */
  | { readonly kind: "entries"; readonly entries: readonly TableEntry[] }
  /** "this I believe otherwise; of these tell me more" */
  | { readonly kind: "answer"; readonly entries: readonly TableEntry[]; readonly wanted: readonly string[] };

/** The bytes of a message; of more than `MAX_TABLE_MEMBERS` in a list only the first so many are told. */
export function encodeTable(message: TableMessage): Uint8Array {
  const writer = new ByteWriter(HEAD_BYTES + MAX_ENTRY_BYTES * countOf(message));
  writer.u8(FORMAT_VERSION);
  switch (message.kind) {
    case "digests":
      writer.u8(KIND_DIGESTS);
      writeList(writer, message.digests, writeDigest);
      break;
    case "entries":
      writer.u8(KIND_ENTRIES);
      writeList(writer, message.entries, writeEntry);
      break;
    case "answer":
      writer.u8(KIND_ANSWER);
      writeList(writer, message.entries, writeEntry);
      writeList(writer, message.wanted, (into, nodeId) => into.text(nodeId));
      break;
  }
  return new Uint8Array(writer.written());
}

/** The message in the bytes, or undefined when there is none. Never throws. */
export function decodeTable(bytes: Uint8Array): TableMessage | undefined {
  if (bytes.length > MAX_TABLE_BYTES) return undefined;
  const reader = new ByteReader(bytes);
  if (reader.u8() !== FORMAT_VERSION) return undefined;
  const message = readMessage(reader.u8(), reader);
  return message !== undefined && reader.isDone ? message : undefined;
}

function readMessage(kind: number, reader: ByteReader): TableMessage | undefined {
  if (kind === KIND_DIGESTS) {
    const digests = readList(reader, readDigest);
    return digests === undefined ? undefined : { kind: "digests", digests };
  }
  const entries = kind === KIND_ENTRIES || kind === KIND_ANSWER ? readList(reader, readEntry) : undefined;
  if (entries === undefined || kind === KIND_ENTRIES) return entries && { kind: "entries", entries };
  const wanted = readList(reader, readName);
  return wanted && { kind: "answer", entries, wanted };
}

function countOf(message: TableMessage): number {
  if (message.kind === "digests") return Math.min(message.digests.length, MAX_TABLE_MEMBERS);
  const entryCount = Math.min(message.entries.length, MAX_TABLE_MEMBERS);
  return message.kind === "entries" ? entryCount : entryCount + Math.min(message.wanted.length, MAX_TABLE_MEMBERS);
}

function writeList<T>(writer: ByteWriter, items: readonly T[], write: (writer: ByteWriter, item: T) => void): void {
  const told = items.slice(0, MAX_TABLE_MEMBERS);
  writer.u16(told.length);
  for (const item of told) write(writer, item);
}

/** A list, or undefined when it is too long or has a broken item: nothing is kept for a count that nothing stands behind. */
function readList<T>(reader: ByteReader, read: (reader: ByteReader) => T | undefined): readonly T[] | undefined {
  const count = reader.u16();
  if (count > MAX_TABLE_MEMBERS) return undefined;
  const items: T[] = [];
  for (let index = 0; index < count; index += 1) {
    const item = read(reader);
    if (item === undefined || reader.isBroken) return undefined;
    items.push(item);
  }
  return items;
}

function writeDigest(writer: ByteWriter, digest: MemberDigest): void {
  writer.text(digest.nodeId);
  writeLifeAndState(writer, digest);
}

function readDigest(reader: ByteReader): MemberDigest | undefined {
  const nodeId = reader.text();
  const rest = readLifeAndState(reader);
  return rest !== undefined && isNodeId(nodeId) ? { nodeId, ...rest } : undefined;
}

function writeEntry(writer: ByteWriter, entry: TableEntry): void {
  writer.text(entry.facts.nodeId);
  writeLifeAndState(writer, entry);
  writer.text(entry.facts.address);
  writer.text(entry.facts.zone);
  writer.u32(Math.min(MAX_U32, Math.max(0, Math.round(entry.ageMs))));
}

function readEntry(reader: ByteReader): TableEntry | undefined {
  const nodeId = reader.text();
  const rest = readLifeAndState(reader);
  const facts = { nodeId, address: reader.text(), zone: reader.text() };
  const ageMs = reader.u32();
  return rest !== undefined && factsFlawOf(facts) === undefined ? { facts, ...rest, ageMs } : undefined;
}

function readName(reader: ByteReader): string | undefined {
  const nodeId = reader.text();
  return isNodeId(nodeId) ? nodeId : undefined;
}

function writeLifeAndState(writer: ByteWriter, of: { readonly life: Life; readonly state: MemberState }): void {
  writer.u32(of.life.generation);
  writer.varint(of.life.incarnation);
  writer.u8(STATES.indexOf(of.state));
}

function readLifeAndState(reader: ByteReader): { readonly life: Life; readonly state: MemberState } | undefined {
  const life = { generation: reader.u32(), incarnation: reader.varint() };
  const state = STATES[reader.u8()];
  return state === undefined ? undefined : { life, state };
}
