/** Opening a node's record: whose it is, and what of the configuration it overrules. Refuses rather than guesses. */
import type { Log } from "../base/ports.ts";
import type { BootstrapSettings } from "./bootstrap-rules.ts";
import { type Documents, decodeOwnRecord, emptyOwnRecord, OWN_RECORD_DOCUMENT, type OwnRecord } from "./own-record.ts";

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
 * The record in the documents, or a fresh one. Throws `OwnRecordError`. A member's Q and N are those of its record, anyone's
 * Q is that of its store: a configuration that says otherwise is warned about and has no effect. (Labels: `Membership`.)
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
  readonly recorded: number;
  readonly configured: number;
}

/** What the configuration says in vain: Q for a store that is there, N for a member. */
export function overruledSettings(record: OwnRecord, settings: BootstrapSettings): readonly OverruledSetting[] {
  const { stage } = record;
  const configured = settings.configuredPartitionCount ?? settings.partitionCount;
  const recorded = stage.kind === "member" ? stage.proposal.config.partitionCount : settings.partitionCount;
  const compared = [{ setting: "partitions (Q)", recorded, configured }];
  if (stage.kind === "member") {
    const { replicaCount } = stage.proposal.config;
    compared.push({ setting: "replicas (N)", recorded: replicaCount, configured: settings.replicaCount });
  }
  return compared.filter((one) => one.recorded !== one.configured);
}
