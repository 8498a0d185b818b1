/**
 * OwnRecord: what this node has durably said about its place in a cluster, in the document "node". The holder's own
 * record is the only proof that it holds a slot (DESIGN §3); nothing is promised or served before it is written.
 *
 * Layout: version byte (3), xxh64 of the rest (8 bytes, big-endian), JSON in UTF-8. A record that fails its check is an
 * error, never an empty record: a node that forgot its promises could help to make a second cluster.
 */
import { xxh64 } from "../base/hash.ts";
import { type NodeId, parseNodeId } from "../base/ids.ts";
import { buildPlacementTable } from "../placement/placement-table.ts";
import { type ClusterConfig, parseClusterConfig, parseClusterId, parseFields, parseWhole } from "./cluster-config.ts";

/** Small named files, atomically replaced, durable when written: storage's documents, by shape. */
export interface Documents {
  read(name: string): Uint8Array | undefined;
  write(name: string, bytes: Uint8Array): Promise<void>;
}

/** One attempt of one proposer to make the cluster; its cluster id is drawn for it alone and so names it. */
export interface Proposal {
  readonly proposer: NodeId;
  /** 1, 2, …: of two attempts of one proposer, the higher is the one that it still means */
  readonly attempt: number;
  /** names the record that counts these attempts: the cluster id of its first one. Another lineage: the proposer lost its disk */
  readonly lineage: string;
  readonly config: ClusterConfig;
}

/** How far this node has come. It only goes from `member` nowhere. */
export type BootstrapStage =
  | { readonly kind: "empty" }
  /** promised to this proposal, and to no other until its proposer withdraws it */
  | { readonly kind: "prepared"; readonly proposal: Proposal }
  /** `slots[p]` is the slot held of partition p, −1 for none */
  | { readonly kind: "member"; readonly proposal: Proposal; readonly slots: Int8Array };

/** The whole record. */
export interface OwnRecord {
  readonly nodeId: NodeId;
  readonly clusterName: string;
  /** counts writes of this record */
  readonly revision: number;
  /** the highest attempt that this node has made as a proposer, 0 = none: never used twice */
  readonly attempt: number;
  /** the cluster id of the first attempt; undefined before it */
  readonly lineage: string | undefined;
  readonly stage: BootstrapStage;
}

/** What reading the record came to. */
export type OwnRecordRead =
  | { readonly kind: "record"; readonly record: OwnRecord }
  | { readonly kind: "absent" }
  | { readonly kind: "corrupt"; readonly reason: string };

/** Name of the document that holds the record. */
export const OWN_RECORD_DOCUMENT = "node";

const FORMAT_VERSION = 3;
const HEADER_BYTES = 9;
const SLOT_SYMBOLS = "0123456";
const NO_SLOT_SYMBOL = ".";

/** The record of a node that has promised nothing yet. */
export function emptyOwnRecord(nodeId: NodeId, clusterName: string): OwnRecord {
  return { nodeId, clusterName, revision: 0, attempt: 0, lineage: undefined, stage: { kind: "empty" } };
}

/** The slots that a member takes at bootstrap: slot i of partition p iff it is T(p)[i]. */
export function firstSlotsOf(config: ClusterConfig, node: NodeId): Int8Array {
  const table = buildPlacementTable(config);
  return Int8Array.from({ length: config.partitionCount }, (_, partition) => table.slotOf(partition, node));
}

/** The bytes of a record: about 6 KB for Q = 4096 and a few members. */
export function encodeOwnRecord(record: OwnRecord): Uint8Array {
  const { stage } = record;
  const written = stage.kind === "member" ? { ...stage, slots: slotText(stage.slots) } : stage;
  const body = Buffer.from(JSON.stringify({ ...record, stage: written }), "utf8");
  const bytes = Buffer.alloc(HEADER_BYTES + body.length);
  bytes[0] = FORMAT_VERSION;
  bytes.writeBigUInt64BE(xxh64(body), 1);
  bytes.set(body, HEADER_BYTES);
  return bytes;
}

/** The record in `bytes` (undefined: there is no document). Never throws. */
export function decodeOwnRecord(bytes: Uint8Array | undefined): OwnRecordRead {
  if (bytes === undefined) return { kind: "absent" };
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length < HEADER_BYTES) return { kind: "corrupt", reason: "shorter than its header" };
  if (buffer[0] !== FORMAT_VERSION) return { kind: "corrupt", reason: `format version ${buffer[0]} is not known` };
  const body = buffer.subarray(HEADER_BYTES);
  if (xxh64(body) !== buffer.readBigUInt64BE(1)) return { kind: "corrupt", reason: "checksum does not match" };
  const record = parseOwnRecord(parseJson(body.toString("utf8")));
  return record === undefined ? { kind: "corrupt", reason: "not a node record" } : { kind: "record", record };
}

/** The proposal in `value`, or undefined: its proposer must be one of its members. */
export function parseProposal(value: unknown): Proposal | undefined {
  const fields = parseFields(value);
  if (fields === undefined || typeof fields["proposer"] !== "string") return undefined;
  const proposer = parseNodeId(fields["proposer"]);
  const attempt = parseWhole(fields["attempt"]);
  const lineage = parseClusterId(fields["lineage"]);
  const config = parseClusterConfig(fields["config"]);
  if (proposer === undefined || attempt === undefined || attempt < 1 || config === undefined) return undefined;
  if (lineage === undefined || !config.members.some((member) => member.id === proposer)) return undefined;
  return { proposer, attempt, lineage, config };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function parseOwnRecord(value: unknown): OwnRecord | undefined {
  const fields = parseFields(value);
  if (fields === undefined || typeof fields["nodeId"] !== "string") return undefined;
  const nodeId = parseNodeId(fields["nodeId"]);
  const { clusterName } = fields;
  const revision = parseWhole(fields["revision"]);
  const attempt = parseWhole(fields["attempt"]);
  const lineage = parseClusterId(fields["lineage"]);
  const stage = parseStage(fields["stage"]);
  if (nodeId === undefined || typeof clusterName !== "string") return undefined;
  if (revision === undefined || attempt === undefined || stage === undefined) return undefined;
  if (attempt > 0 !== (lineage !== undefined)) return undefined;
  return { nodeId, clusterName, revision, attempt, lineage, stage };
}

function parseStage(value: unknown): BootstrapStage | undefined {
  const fields = parseFields(value);
  if (fields === undefined) return undefined;
  if (fields["kind"] === "empty") return { kind: "empty" };
  const proposal = parseProposal(fields["proposal"]);
  if (proposal === undefined) return undefined;
  if (fields["kind"] === "prepared") return { kind: "prepared", proposal };
  if (fields["kind"] !== "member" || typeof fields["slots"] !== "string") return undefined;
  const slots = parseSlots(fields["slots"], proposal.config);
  return slots === undefined ? undefined : { kind: "member", proposal, slots };
}

/** One symbol per partition. */
function slotText(slots: Int8Array): string {
  return Array.from(slots, (slot) => SLOT_SYMBOLS[slot] ?? NO_SLOT_SYMBOL).join("");
}

function parseSlots(text: string, config: ClusterConfig): Int8Array | undefined {
  if (text.length !== config.partitionCount) return undefined;
  const slots = Int8Array.from(text, (symbol) => (symbol === NO_SLOT_SYMBOL ? -1 : SLOT_SYMBOLS.indexOf(symbol)));
  const known = SLOT_SYMBOLS.slice(0, config.replicaCount) + NO_SLOT_SYMBOL;
  for (const symbol of text) if (!known.includes(symbol)) return undefined;
  return slots;
}
