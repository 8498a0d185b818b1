/**
 * MemberDocument: the bytes of a node's own member record and slot ledger, in the document "member". It names the cluster
 * that it is about: one that was left behind by a join that never came to its end says nothing of another cluster.
 *
 * Layout: version byte (2), xxh64 of the rest (8 bytes, big-endian), JSON in UTF-8. A document that fails its check is an
 * error, never an empty one: a node that forgot what it gave away could hold a slot twice.
 */
import { xxh64 } from "../base/hash.ts";
import { parseNodeId } from "../base/ids.ts";
import type { MemberKey, MemberRecord, MemberStatus } from "../placement/member-record.ts";
import { parseClusterId, parseFields, parseWhole } from "./cluster-config.ts";
import { parseHandoverKey } from "./handover-messages.ts";
import type { SlotLedger } from "./slot-ledger.ts";
import { ledgerOf, plainLedger } from "./slot-ledger-codec.ts";

/** Name of the document. */
export const MEMBER_DOCUMENT = "member";

const FORMAT_VERSION = 2;
const HEADER_BYTES = 9;
const STATUSES: readonly MemberStatus[] = ["joining", "normal", "leaving", "left"];

/** What the document holds; the record's slots are those of the ledger. */
export interface MemberDocument {
  readonly clusterId: string;
  readonly record: MemberRecord;
  readonly ledger: SlotLedger;
}

/** What reading the document came to. */
export type MemberDocumentRead =
  | (MemberDocument & { readonly kind: "member" })
  | { readonly kind: "absent" }
  | { readonly kind: "corrupt"; readonly reason: string };

/** The bytes. */
export function encodeMemberDocument({ clusterId, record, ledger }: MemberDocument): Uint8Array {
  const { slots: _, ...written } = record;
  const body = Buffer.from(JSON.stringify({ clusterId, record: written, ledger: plainLedger(ledger) }), "utf8");
  const bytes = Buffer.alloc(HEADER_BYTES + body.length);
  bytes[0] = FORMAT_VERSION;
  bytes.writeBigUInt64BE(xxh64(body), 1);
  bytes.set(body, HEADER_BYTES);
  return bytes;
}

/** What is in `bytes` (undefined: there is no document). Never throws. */
export function decodeMemberDocument(bytes: Uint8Array | undefined, partitionCount: number): MemberDocumentRead {
  if (bytes === undefined) return { kind: "absent" };
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length < HEADER_BYTES) return { kind: "corrupt", reason: "shorter than its header" };
  if (buffer[0] !== FORMAT_VERSION) return { kind: "corrupt", reason: `format version ${buffer[0]} is not known` };
  const body = buffer.subarray(HEADER_BYTES);
  if (xxh64(body) !== buffer.readBigUInt64BE(1)) return { kind: "corrupt", reason: "checksum does not match" };
  const fields = parseFields(parseJson(body.toString("utf8")));
  const ledger = ledgerOf(fields?.["ledger"], partitionCount);
  if (ledger === undefined) return { kind: "corrupt", reason: "not a slot ledger" };
  const clusterId = parseClusterId(fields?.["clusterId"]);
  const record = recordOf(fields?.["record"], ledger);
  if (record === undefined || clusterId === undefined) return { kind: "corrupt", reason: "not a member record" };
  return { kind: "member", clusterId, record, ledger };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function recordOf(value: unknown, ledger: SlotLedger): MemberRecord | undefined {
  const fields = parseFields(value);
  if (fields === undefined) return undefined;
  const { zone, host, weight, address, position } = fields;
  const key = parseHandoverKey(fields["key"]);
  const nodeId = typeof fields["nodeId"] === "string" ? parseNodeId(fields["nodeId"]) : undefined;
  const version = parseWhole(fields["version"]);
  const status = STATUSES.find((known) => known === fields["status"]);
  const replaces: MemberKey | undefined = parseHandoverKey(fields["replaces"]);
  if (key === undefined || nodeId === undefined || version === undefined || status === undefined) return undefined;
  if (typeof zone !== "string" || typeof host !== "string" || typeof address !== "string") return undefined;
  if (typeof weight !== "number" || !(weight > 0) || typeof position !== "string") return undefined;
  if (fields["replaces"] !== undefined && replaces === undefined) return undefined;
  const slots = ledger.slots.slice();
  return { key, nodeId, version, status, zone, host, weight, address, position, slots, replaces };
}
