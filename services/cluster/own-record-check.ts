/** Opening a node's record: whose it is, and what of the configuration it overrules. Refuses rather than guesses. */
import type { Log } from "../base/ports.ts";
import type { BootstrapSettings } from "./bootstrap-rules.ts";
import {
  type Documents,
  decodeOwnRecord,
  emptyOwnRecord,
  OWN_RECORD_DOCUMENT,
  type OwnRecord,
  type Proposal,
} from "./own-record.ts";

/** Why a record keeps this node from starting. */
export type OwnRecordErrorCode = "RECORD_CORRUPT" | "OTHER_NODE" | "OTHER_CLUSTER";

/** The record of the data directory is unreadable, or belongs to another node or cluster. */
export class OwnRecordError extends Error {
  readonly code: OwnRecordErrorCode;
  constructor(code: OwnRecordErrorCode, message: string) {
    super(message);
    this.name = "OwnRecordError";
    this.code = code;
  }
}

/**
 * The record in the documents, or a fresh one. Throws `OwnRecordError`. A member's Q, N and labels are those of its record,
 * anyone's Q is that of its store: a configuration that says otherwise is warned about and has no effect.
 */
export function openOwnRecord(documents: Documents, settings: BootstrapSettings, log: Log): OwnRecord {
  const record = checkedRecord(documents, settings);
  for (const { setting, recorded, configured } of overruledSettings(record, settings)) {
    log.warn({ event: "cluster.setting-overruled", setting, recorded, configured });
  }
  return record;
}

function checkedRecord(documents: Documents, settings: BootstrapSettings): OwnRecord {
  const read = decodeOwnRecord(documents.read(OWN_RECORD_DOCUMENT));
  if (read.kind === "absent") return emptyOwnRecord(settings.node.id, settings.clusterName);
  if (read.kind === "corrupt") {
    throw new OwnRecordError("RECORD_CORRUPT", `the node record of the data directory is corrupt: ${read.reason}`);
  }
  const { record } = read;
  if (record.nodeId !== settings.node.id) {
    const message = `the data directory belongs to node ${record.nodeId}, this process is configured as ${settings.node.id}`;
    throw new OwnRecordError("OTHER_NODE", message);
  }
  if (record.clusterName !== settings.clusterName) {
    const message = `the data directory belongs to cluster ${record.clusterName}, this process is configured for ${settings.clusterName}`;
    throw new OwnRecordError("OTHER_CLUSTER", message);
  }
  return record;
}

/** One thing that the data directory says otherwise than the configuration. */
export interface OverruledSetting {
  readonly setting: string;
  readonly recorded: string | number;
  readonly configured: string | number;
}

/** What the configuration says in vain: Q for a store that is there, the rest for a member. */
export function overruledSettings(record: OwnRecord, settings: BootstrapSettings): readonly OverruledSetting[] {
  const { stage } = record;
  const configured = settings.configuredPartitionCount ?? settings.partitionCount;
  const recorded = stage.kind === "member" ? stage.proposal.config.partitionCount : settings.partitionCount;
  const partitions = { setting: "partitions (Q)", recorded, configured };
  const compared = [partitions, ...(stage.kind === "member" ? memberSettings(record, stage.proposal, settings) : [])];
  return compared.filter((one) => one.recorded !== one.configured);
}

function memberSettings(
  record: OwnRecord,
  { config }: Proposal,
  settings: BootstrapSettings,
): readonly OverruledSetting[] {
  const node = config.members.find((member) => member.id === record.nodeId);
  return [
    { setting: "replicas (N)", recorded: config.replicaCount, configured: settings.replicaCount },
    // who joined later is not named there: its own member record has its labels
    { setting: "zone", recorded: node?.zone ?? settings.node.zone, configured: settings.node.zone },
    { setting: "host", recorded: node?.host ?? settings.node.host, configured: settings.node.host },
    { setting: "weight", recorded: node?.weight ?? settings.node.weight, configured: settings.node.weight },
  ];
}
