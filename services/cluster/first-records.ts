/**
 * The first records of members: those that everyone can compute from the agreement, and the one of a node that joins later.
 * Must never derive slots for a node whose own document is there: that document alone says what it holds.
 */
import { xxh64 } from "../base/hash.ts";
import type { NodeId } from "../base/ids.ts";
import type { MemberKey, MemberRecord } from "../placement/member-record.ts";
import type { ClusterConfig, ClusterMember } from "./cluster-config.ts";
import { decodeMemberDocument, MEMBER_DOCUMENT, type MemberDocument } from "./member-document.ts";
import { type Documents, firstSlotsOf } from "./own-record.ts";
import { OwnRecordError } from "./own-record-check.ts";
import { emptyLedger } from "./slot-ledger.ts";

/** The key of a member of the first hour: everyone can compute it. */
export function firstKeyOf(clusterId: string, node: NodeId): MemberKey {
  return xxh64(Buffer.from(`${clusterId}\0${node}`, "utf8"))
    .toString(16)
    .padStart(16, "0");
}

/** The first record of a member of the first hour. */
export function firstRecordOf(config: ClusterConfig, member: ClusterMember): MemberRecord {
  return recordOf(member, {
    key: firstKeyOf(config.clusterId, member.id),
    status: "normal",
    slots: firstSlotsOf(config, member.id),
  });
}

/** The first record of a node that joins a running cluster, in the place of `replaced` if that is given. */
export function joiningRecord(
  self: ClusterMember,
  life: { readonly key: MemberKey; readonly partitionCount: number; readonly replaced: MemberRecord | undefined },
): MemberRecord {
  const slots = new Int8Array(life.partitionCount).fill(-1);
  const record = recordOf(self, { key: life.key, status: "joining", slots });
  if (life.replaced === undefined) return record;
  return { ...record, position: life.replaced.position, replaces: life.replaced.key };
}

function recordOf(
  { id, zone, host, weight, address }: ClusterMember,
  life: Pick<MemberRecord, "key" | "status" | "slots">,
): MemberRecord {
  return { ...life, nodeId: id, version: 1, zone, host, weight, address, position: id, replaces: undefined };
}

/** What a member begins with. */
export interface OpenedMember extends MemberDocument {
  /** nothing durable was found: the record is what the agreement gives */
  readonly isFresh: boolean;
  /** a document was found that is about another cluster, and ignored */
  readonly isStale: boolean;
}

/**
 * What this node has durably said, or what it says first: a member of the first hour holds what the agreement gives it.
 * A document about another cluster was left by a join that never came to its end (only an empty node writes one before it is a
 * member): it says nothing. Throws `OwnRecordError` when the document is unreadable, or a member that joined has none.
 */
export function openMember(
  documents: Documents,
  {
    config,
    self,
    firstSlots,
  }: { readonly config: ClusterConfig; readonly self: ClusterMember; readonly firstSlots: Int8Array },
): OpenedMember {
  const read = decodeMemberDocument(documents.read(MEMBER_DOCUMENT), config.partitionCount);
  if (read.kind === "corrupt") {
    throw new OwnRecordError("RECORD_CORRUPT", `the member record of the data directory is corrupt: ${read.reason}`);
  }
  const { clusterId } = config;
  const isStale = read.kind === "member" && read.clusterId !== clusterId;
  if (read.kind === "member" && !isStale) return { ...read, isFresh: false, isStale };
  const member = config.members.find(({ id }) => id === self.id);
  if (member === undefined) {
    throw new OwnRecordError(
      "RECORD_CORRUPT",
      "the data directory says that this node joined, and has lost its member record",
    );
  }
  const record = { ...firstRecordOf(config, member), slots: firstSlots };
  return { clusterId, record, ledger: emptyLedger(firstSlots.slice()), isFresh: true, isStale };
}
