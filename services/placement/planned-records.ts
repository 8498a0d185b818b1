/**
 * What an operator's changes would make of the records, and what stands against them, in words. Nothing is done here: the
 * members write their own records when a plan is committed. Keys that newcomers will draw are stood in for.
 */
import { xxh64 } from "../base/hash.ts";
import type { NodeId } from "../base/ids.ts";
import type { MemberKey, MemberRecord } from "./member-record.ts";
import type { RecordSet } from "./record-set.ts";

/** A change of who belongs, or of what a member says of itself. */
export type PlannedChange =
  | { readonly kind: "join"; readonly node: NodeId }
  | { readonly kind: "leave"; readonly node: NodeId }
  /** `force`: although it is alive, or fewer sources of its partitions are left than their writes were told to */
  | { readonly kind: "remove"; readonly node: NodeId; readonly force: boolean }
  | { readonly kind: "replace"; readonly node: NodeId; readonly with: NodeId; readonly force: boolean }
  | { readonly kind: "weight"; readonly node: NodeId; readonly weight: number }
  | { readonly kind: "zone"; readonly node: NodeId; readonly zone: string }
  | { readonly kind: "host"; readonly node: NodeId; readonly host: string };

/** An empty node that could join, as it says of itself. */
export interface WaitingNode {
  readonly node: NodeId;
  readonly zone: string;
  readonly host: string;
  readonly weight: number;
}

/** What planning must know beyond the records. */
export interface PlanFacts {
  readonly waiting: readonly WaitingNode[];
  isAlive(node: NodeId): boolean;
  /** estimated size of one copy */
  bytesOf(partition: number): number;
}

/** The records as they would be, without the changes that are refused. */
export interface PlannedRecords {
  readonly set: RecordSet;
  readonly refusals: readonly string[];
}

const MAX_WEIGHT = 64;
const MAX_LABEL_CHARS = 255;
/** Writer of planned removals: nobody's key. */
const PLANNER: MemberKey = "0".repeat(16);

/** Applies the changes to a copy of the records, in order. A node named by two of them is refused. */
export function plannedRecords(
  records: RecordSet,
  changes: readonly PlannedChange[],
  facts: Pick<PlanFacts, "waiting" | "isAlive">,
): PlannedRecords {
  const set = records.copy();
  const refusals: string[] = [];
  const named = new Set<NodeId>();
  if (changes.length === 0) refusals.push("there is nothing to do: name at least one change");
  for (const change of changes) {
    const nodes = new Set(change.kind === "replace" ? [change.node, change.with] : [change.node]);
    const twice = [...nodes].find((node) => named.has(node));
    for (const node of nodes) named.add(node);
    const refusal = twice === undefined ? applied(set, change, facts) : `node ${twice} is named twice`;
    if (refusal !== undefined) refusals.push(refusal);
  }
  return { set, refusals };
}

type Facts = Pick<PlanFacts, "waiting" | "isAlive">;

/** Why the change cannot be; undefined: it is made. */
function applied(set: RecordSet, change: PlannedChange, facts: Facts): string | undefined {
  if (change.kind === "join") return joined(set, change.node, { waiting: facts.waiting, replaced: undefined });
  const member = set.memberNamed(change.node);
  if (member === undefined) return `node ${change.node} is no member`;
  switch (change.kind) {
    case "leave":
      if (member.status === "leaving") return `node ${change.node} is leaving already`;
      return rewritten(set, member, { status: "leaving" });
    case "remove":
      return aliveRefusal(change, facts) ?? removed(set, member, undefined);
    case "replace":
      if (change.with === change.node) return joined(set, change.with, { waiting: facts.waiting, replaced: undefined });
      return aliveRefusal(change, facts) ?? joined(set, change.with, { waiting: facts.waiting, replaced: member });
    case "weight":
    case "zone":
    case "host":
      return flawOf(change) ?? rewritten(set, member, valueOf(change));
  }
}

type LabelChange = Extract<PlannedChange, { readonly kind: "weight" | "zone" | "host" }>;

function valueOf(change: LabelChange): Partial<MemberRecord> {
  if (change.kind === "weight") return { weight: change.weight };
  return change.kind === "zone" ? { zone: change.zone } : { host: change.host };
}

function flawOf(change: LabelChange): string | undefined {
  if (change.kind === "weight") {
    const isWeight = change.weight > 0 && change.weight <= MAX_WEIGHT;
    return isWeight ? undefined : `a weight is more than 0, at most ${MAX_WEIGHT}`;
  }
  const { length } = change.kind === "zone" ? change.zone : change.host;
  return length > 0 && length <= MAX_LABEL_CHARS ? undefined : `a ${change.kind} is 1 to ${MAX_LABEL_CHARS} characters`;
}

function aliveRefusal(
  change: { readonly kind: string; readonly node: NodeId; readonly force: boolean },
  facts: Facts,
): string | undefined {
  if (change.force || !facts.isAlive(change.node)) return undefined;
  return `node ${change.node} is alive: let it leave, so that it hands over what it alone may hold, or ${change.kind} it with force`;
}

/** A newcomer, in the place of `replaced` or of its own former life, which was lost with its disk: that is removed. */
function joined(
  set: RecordSet,
  node: NodeId,
  { waiting, replaced }: { readonly waiting: readonly WaitingNode[]; readonly replaced: MemberRecord | undefined },
): string | undefined {
  const isEmpty = waiting.some((one) => one.node === node);
  const former = set.memberNamed(node);
  if (former !== undefined && !isEmpty) return `node ${node} is a member already (${former.status})`;
  // One that has left may come back: its process still runs, and its record says what it is.
  const left = set.records().find((one) => one.nodeId === node && one.status === "left" && !set.isRemoved(one.key));
  const newcomer = waiting.find((one) => one.node === node) ?? left;
  if (newcomer === undefined) return `node ${node} is not waiting to join: start it empty, with seeds of this cluster`;
  const { zone, host, weight } = newcomer;
  const place = replaced ?? former;
  const record: MemberRecord = {
    key: plannedKeyOf(node),
    nodeId: node,
    version: 1,
    status: "joining",
    zone,
    host,
    weight,
    address: node,
    position: place?.position ?? node,
    slots: new Int8Array(set.partitionCount).fill(-1),
    replaces: place?.key,
  };
  const lives = [former, replaced].flatMap((life) => life ?? []);
  for (const life of lives) removed(set, life, record.key);
  return refusalOf(node, set.mergeRecord(record));
}

/** Stands in for the key that the newcomer will draw: the same on every node that plans. */
function plannedKeyOf(node: NodeId): MemberKey {
  return xxh64(Buffer.from(`planned\0${node}`, "utf8"))
    .toString(16)
    .padStart(16, "0");
}

function removed(set: RecordSet, { key, nodeId }: MemberRecord, replacedBy: MemberKey | undefined): string | undefined {
  return refusalOf(nodeId, set.mergeRemoval({ key, by: PLANNER, replacedBy }));
}

function rewritten(set: RecordSet, record: MemberRecord, change: Partial<MemberRecord>): string | undefined {
  return refusalOf(record.nodeId, set.mergeRecord({ ...record, ...change, version: record.version + 1 }));
}

function refusalOf(node: NodeId, merge: ReturnType<RecordSet["mergeRecord"]>): string | undefined {
  return merge.kind === "refused" ? `the record of node ${node} would be refused: ${merge.reason}` : undefined;
}
