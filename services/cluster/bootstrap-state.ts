/** The state of the bootstrap machine and its moves; `bootstrap-core.ts` says when each is made, and why it is safe. Pure. */
import assert from "node:assert/strict";
import type { NodeId } from "../base/ids.ts";
import type { LogFacts } from "../base/ports.ts";
import { PLACEMENT_RULE } from "../placement/placement-table.ts";
import type { BootstrapReply, BootstrapRequest } from "./bootstrap-messages.ts";
import type { BootstrapSettings, SeenPeer } from "./bootstrap-rules.ts";
import { type ClusterMember, HASH_NAME } from "./cluster-config.ts";
import { firstSlotsOf, type OwnRecord, type Proposal } from "./own-record.ts";

/** What happens to a node. */
export type BootstrapInput =
  | { readonly kind: "peer_up"; readonly peer: SeenPeer }
  | { readonly kind: "peer_down"; readonly node: NodeId }
  /** `candidateId`: 32 fresh hex digits, used if this node proposes now */
  | { readonly kind: "tick"; readonly candidateId: string }
  | { readonly kind: "request"; readonly from: NodeId; readonly request: BootstrapRequest }
  /** a member of a cluster that was made without this node has told what was agreed then */
  | { readonly kind: "adopt"; readonly proposal: Proposal }
  | {
      readonly kind: "reply";
      readonly from: NodeId;
      readonly request: BootstrapRequest;
      readonly reply: BootstrapReply;
    };

/** What follows: first make `record` durable, then answer, send and log. */
export interface BootstrapOutput {
  readonly record: OwnRecord | undefined;
  /** for a request only */
  readonly reply: BootstrapReply | undefined;
  readonly sends: readonly { readonly to: NodeId; readonly request: BootstrapRequest }[];
  readonly logs: readonly { readonly level: "info" | "warn" | "error"; readonly facts: LogFacts }[];
}

/** All that the machine knows. `record` is durable, the rest is rebuilt by talking. */
export interface BootstrapState {
  readonly settings: BootstrapSettings;
  record: OwnRecord;
  readonly seen: Map<NodeId, SeenPeer>;
  /** who has promised the attempt that this node proposes */
  readonly promised: Set<NodeId>;
  /** who is known to have taken its slots after this node's commit */
  readonly confirmed: Set<NodeId>;
  /** what the others last objected, in words */
  readonly objections: Map<NodeId, string>;
  /** the lowest proposer that wanted a promise given to another */
  contender: NodeId | undefined;
  /** ticks during which some proposed member could not be seen */
  absentTicks: number;
  /** ticks to wait before proposing again, after giving way */
  holdTicks: number;
}

/** Ticks (of 250 ms) that a proposed member may be away before others are proposed, if there are any. */
export const PATIENCE_TICKS = 20;
/** Ticks that a proposer waits after it gave way to a lower one. */
const HOLD_TICKS = 12;

/** An output while it is being made. */
export interface Draft {
  record: OwnRecord | undefined;
  reply: BootstrapReply | undefined;
  readonly sends: { readonly to: NodeId; readonly request: BootstrapRequest }[];
  readonly logs: { readonly level: "info" | "warn" | "error"; readonly facts: LogFacts }[];
}

/** The machine of a node that starts with `record`. Throws when the settings contradict themselves. */
export function startBootstrapState(settings: BootstrapSettings, record: OwnRecord): BootstrapState {
  assert.ok(settings.expect >= settings.replicaCount, "bootstrap waits for at least N members");
  return {
    settings,
    record,
    seen: new Map(),
    promised: new Set([settings.node.id]),
    confirmed: new Set([settings.node.id]),
    objections: new Map(),
    contender: undefined,
    absentTicks: 0,
    holdTicks: 0,
  };
}

/** This node proposes these members under a fresh cluster id; the attempt it had, if any, is over. */
export function propose(
  state: BootstrapState,
  draft: Draft,
  members: readonly ClusterMember[],
  clusterId: string,
): void {
  const { settings } = state;
  const attempt = state.record.attempt + 1;
  const lineage = state.record.lineage ?? clusterId;
  const { clusterName, partitionCount, replicaCount, bucketDefaults } = settings;
  const rules = { hashName: HASH_NAME, placementRule: PLACEMENT_RULE };
  const config = { clusterId, clusterName, partitionCount, replicaCount, ...rules, members, bucketDefaults };
  const proposal: Proposal = { proposer: settings.node.id, attempt, lineage, config };
  keep(state, draft, { attempt, lineage, stage: { kind: "prepared", proposal } });
  state.promised.clear();
  state.promised.add(settings.node.id);
  state.absentTicks = 0;
  const names = members.map((member) => member.id);
  draft.logs.push({ level: "info", facts: { event: "bootstrap.proposed", clusterId, attempt, members: names } });
  commitIfPromised(state, draft);
}

/** What this node has to say to the members it sees, by how far it has come. */
export function sendByStage(state: BootstrapState, draft: Draft): void {
  const { stage } = state.record;
  const self = state.settings.node.id;
  if (stage.kind === "empty") return;
  const { proposal } = stage;
  const isOwn = proposal.proposer === self;
  for (const { id } of proposal.config.members) {
    if (id === self || !state.seen.has(id)) continue;
    if (stage.kind === "prepared" && !isOwn) draft.sends.push({ to: id, request: askAbout(state, proposal) });
    else if (stage.kind === "prepared" && !state.promised.has(id)) {
      draft.sends.push({ to: id, request: { kind: "offer", proposal } });
    } else if (stage.kind === "member" && isOwn && !state.confirmed.has(id)) {
      draft.sends.push({ to: id, request: { kind: "commit", proposal } });
    }
  }
}

function askAbout(state: BootstrapState, { attempt, lineage, config }: Proposal): BootstrapRequest {
  const ask = { kind: "ask", clusterId: config.clusterId, attempt, lineage } as const;
  return state.contender === undefined ? ask : { ...ask, contender: state.contender };
}

/** The commit point of a proposer: all members, itself included, have promised. */
export function commitIfPromised(state: BootstrapState, draft: Draft): void {
  const { stage } = state.record;
  if (stage.kind !== "prepared") return;
  if (!stage.proposal.config.members.every((member) => state.promised.has(member.id))) return;
  becomeMember(state, draft, stage.proposal);
  sendByStage(state, draft);
}

/** Takes the slots of a committed proposal that this node has promised. */
export function becomeMember(state: BootstrapState, draft: Draft, proposal: Proposal): void {
  const slots = firstSlotsOf(proposal.config, state.settings.node.id);
  keep(state, draft, { stage: { kind: "member", proposal, slots } });
  state.objections.clear();
  const { clusterId, members } = proposal.config;
  const slotCount = slots.filter((slot) => slot >= 0).length;
  const names = members.map((member) => member.id);
  draft.logs.push({ level: "info", facts: { event: "bootstrap.joined", clusterId, members: names, slotCount } });
}

/**
 * Becomes a member of a cluster that was made without this node (or with it, on a disk that is lost), and holds no slot.
 * Only from empty: a promise that was given may be what another node's commit rests on.
 */
export function adopt(state: BootstrapState, draft: Draft, proposal: Proposal): void {
  if (state.record.stage.kind !== "empty" || proposal.config.partitionCount !== state.settings.partitionCount) return;
  const slots = new Int8Array(proposal.config.partitionCount).fill(-1);
  keep(state, draft, { stage: { kind: "member", proposal, slots } });
  state.objections.clear();
  draft.logs.push({ level: "info", facts: { event: "bootstrap.adopted", clusterId: proposal.config.clusterId } });
}

/** A proposer ends its own attempt. */
export function giveWay(state: BootstrapState, draft: Draft, why: string): void {
  state.holdTicks = HOLD_TICKS;
  release(state, draft, why);
}

/** Ends the promise that this node has given. */
export function release(state: BootstrapState, draft: Draft, why: string): void {
  keep(state, draft, { stage: { kind: "empty" } });
  state.contender = undefined;
  draft.logs.push({ level: "info", facts: { event: "bootstrap.promise-ended", reason: why } });
}

/** Changes the record and has it made durable. */
export function keep(
  state: BootstrapState,
  draft: Draft,
  change: Partial<Pick<OwnRecord, "attempt" | "lineage" | "stage">>,
): void {
  state.record = { ...state.record, ...change, revision: state.record.revision + 1 };
  draft.record = state.record;
}

/** Says once what someone must act on. */
export function complain(state: BootstrapState, draft: Draft, about: NodeId, detail: string): void {
  if (state.objections.get(about) === detail) return;
  state.objections.set(about, detail);
  draft.logs.push({ level: "error", facts: { event: "bootstrap.refused", node: about, detail } });
}
