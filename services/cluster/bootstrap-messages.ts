/** What nodes say to each other while the cluster is made: values and their parsing. Must never decide anything. */
import { type NodeId, parseNodeId } from "../base/ids.ts";
import { parseClusterId, parseFields, parseWhole } from "./cluster-config.ts";
import { type Proposal, parseProposal } from "./own-record.ts";

/** The ask topic of all of them. */
export const BOOTSTRAP_TOPIC = "bootstrap";

/** What a node asks another. */
export type BootstrapRequest =
  /** the proposer: promise this */
  | { readonly kind: "offer"; readonly proposal: Proposal }
  /** the proposer: all have promised, take your slots */
  | { readonly kind: "commit"; readonly proposal: Proposal }
  /** a node that has promised: what became of it? `contender` is a lower proposer that wants this promise too */
  | {
      readonly kind: "ask";
      readonly clusterId: string;
      readonly attempt: number;
      readonly lineage: string;
      readonly contender?: NodeId;
    };

/** Why a proposal is not promised. */
export type BootstrapRefusal =
  | "settings_differ"
  | "not_visible"
  | "not_lowest"
  | "promised_to_another"
  | "stale_attempt"
  | "forgotten_attempt"
  | "stale_identity"
  | "cluster_exists"
  | "not_prepared"
  | "malformed";

/** What it is told. */
export type BootstrapReply =
  | { readonly kind: "promised"; readonly clusterId: string }
  | {
      readonly kind: "refused";
      readonly reason: BootstrapRefusal;
      readonly detail: string;
      /** for `stale_attempt` and `forgotten_attempt`: the attempt that this node has promised to */
      readonly attempt: number;
      /** for `promised_to_another`: to whom */
      readonly holder?: NodeId;
    }
  /** this node is a member: the proposal is the one that was committed */
  | { readonly kind: "member"; readonly proposal: Proposal }
  /** the asked attempt will never be committed */
  | { readonly kind: "withdrawn"; readonly clusterId: string }
  /** nothing is decided, as far as this node knows */
  | { readonly kind: "pending" };

const REFUSALS: readonly BootstrapRefusal[] = [
  "settings_differ",
  "not_visible",
  "not_lowest",
  "promised_to_another",
  "stale_attempt",
  "forgotten_attempt",
  "stale_identity",
  "cluster_exists",
  "not_prepared",
  "malformed",
];

/** The request in the body of an ask, or undefined. */
export function parseBootstrapRequest(body: unknown): BootstrapRequest | undefined {
  const fields = parseFields(body);
  if (fields === undefined) return undefined;
  const kind = fields["kind"];
  if (kind === "offer" || kind === "commit") {
    const proposal = parseProposal(fields["proposal"]);
    return proposal === undefined ? undefined : { kind, proposal };
  }
  const clusterId = parseClusterId(fields["clusterId"]);
  const attempt = parseWhole(fields["attempt"]);
  const lineage = parseClusterId(fields["lineage"]);
  if (kind !== "ask" || clusterId === undefined || attempt === undefined || lineage === undefined) return undefined;
  const contender = parseOptionalNodeId(fields["contender"]);
  const ask = { kind, clusterId, attempt, lineage } as const;
  return contender === undefined ? ask : { ...ask, contender };
}

/** The reply in the body of an answer, or undefined. */
export function parseBootstrapReply(body: unknown): BootstrapReply | undefined {
  const fields = parseFields(body);
  if (fields === undefined) return undefined;
  const kind = fields["kind"];
  if (kind === "pending") return { kind };
  if (kind === "promised" || kind === "withdrawn") {
    const clusterId = parseClusterId(fields["clusterId"]);
    return clusterId === undefined ? undefined : { kind, clusterId };
  }
  if (kind === "member") {
    const proposal = parseProposal(fields["proposal"]);
    return proposal === undefined ? undefined : { kind, proposal };
  }
  return kind === "refused" ? parseRefused(fields) : undefined;
}

function parseRefused(fields: Readonly<Record<string, unknown>>): BootstrapReply | undefined {
  const reason = REFUSALS.find((known) => known === fields["reason"]);
  const attempt = parseWhole(fields["attempt"]);
  const { detail } = fields;
  if (reason === undefined || attempt === undefined || typeof detail !== "string") return undefined;
  const holder = parseOptionalNodeId(fields["holder"]);
  const refused = { kind: "refused", reason, detail, attempt } as const;
  return holder === undefined ? refused : { ...refused, holder };
}

function parseOptionalNodeId(value: unknown): NodeId | undefined {
  return typeof value === "string" ? parseNodeId(value) : undefined;
}
