/**
 * How nodes that start empty become one cluster, once: a two-phase agreement as a state machine without I/O. It owns
 * mutable state; every output must be made durable (`record`) before anything of it leaves the node.
 *
 * Invariants, in the words of the tests (DESIGN §3; gossip-ring notes §C 17):
 * B1 A node promises itself to one proposal at a time, durably, before it says so.
 * B2 A proposer commits only when every member of the proposal, itself included, has promised that very attempt; its
 *    own durable record is the commit point. An attempt's cluster id is drawn for it alone.
 * B3 A promise ends only by a higher attempt of the same proposer or by the proposer's word that it withdrew; both
 *    follow the proposer's durable record that it will never commit that attempt. Attempts are never used twice, and
 *    count within a lineage, which is named by the first cluster id that a record draws: a proposer that lost its disk
 *    counts in another, and so ends no promise to what it has forgotten, for it may have committed that.
 * B4 A node takes its slots only out of a promise to the committed proposal; one that has lost its promise takes none.
 * B5 So two committed attempts would need a node that promised both: as any two sets of `expect` nodes share one
 *    (fewer than 2 × expect empty nodes can be started), at most one cluster is ever made, and no slot is held twice.
 *    As many nodes more must be shared as may lose their disks: one wiped node of 2 × expect − 2 does no harm.
 * B6 Blocking is the price: a promise to a proposer that never returns, or returns without its record, is never broken
 *    by itself. It is told in words.
 * Two proposers at once: the higher id withdraws in favour of the lower. Members are the `expect` lowest ids.
 */
import type { NodeId } from "../base/ids.ts";
import type { BootstrapReply, BootstrapRequest } from "./bootstrap-messages.ts";
import { areSameMembers, clusterSeen, objectionTo, proposableMembers, settingsObjection } from "./bootstrap-rules.ts";
import {
  adopt,
  type BootstrapInput,
  type BootstrapOutput,
  type BootstrapState,
  becomeMember,
  commitIfPromised,
  complain,
  type Draft,
  giveWay,
  keep,
  PATIENCE_TICKS,
  propose,
  release,
  sendByStage,
} from "./bootstrap-state.ts";
import type { ClusterMember } from "./cluster-config.ts";
import type { Proposal } from "./own-record.ts";

/** One step. Changes `state` at once; the caller feeds nothing more before the output's record is durable. */
export function takeBootstrapInput(state: BootstrapState, input: BootstrapInput): BootstrapOutput {
  const draft: Draft = { record: undefined, reply: undefined, sends: [], logs: [] };
  switch (input.kind) {
    case "peer_up":
      state.seen.set(input.peer.member.id, input.peer);
      state.promised.delete(input.peer.member.id);
      break;
    case "peer_down":
      state.seen.delete(input.node);
      state.promised.delete(input.node);
      state.objections.delete(input.node);
      if (state.contender === input.node) state.contender = undefined;
      break;
    case "tick":
      takeTick(state, draft, input.candidateId);
      break;
    case "request":
      draft.reply = takeRequest(state, draft, input.from, input.request);
      break;
    case "adopt":
      adopt(state, draft, input.proposal);
      break;
    case "reply":
      takeReply(state, draft, input);
      break;
  }
  return draft;
}

function takeTick(state: BootstrapState, draft: Draft, candidateId: string): void {
  const { stage } = state.record;
  const self = state.settings.node.id;
  state.holdTicks = Math.max(0, state.holdTicks - 1);
  if (stage.kind === "empty") {
    const members = proposableMembers(state.settings, state.seen);
    if (members !== undefined && state.holdTicks === 0) propose(state, draft, members, candidateId);
  } else if (stage.kind === "prepared" && stage.proposal.proposer === self) {
    reviewOwnProposal(state, draft, stage.proposal, candidateId);
  }
  sendByStage(state, draft);
}

/** A proposer looks at its own attempt again: is it still possible, and still what it would propose? */
function reviewOwnProposal(state: BootstrapState, draft: Draft, proposal: Proposal, candidateId: string): void {
  if (clusterSeen(state.seen, proposal.config.clusterId) !== undefined) {
    giveWay(state, draft, "a cluster exists already");
    return;
  }
  const isAway = (member: ClusterMember): boolean => member.id !== state.settings.node.id && !state.seen.has(member.id);
  state.absentTicks = proposal.config.members.some(isAway) ? state.absentTicks + 1 : 0;
  const members = proposableMembers(state.settings, state.seen);
  if (members === undefined) return;
  const isOutdated =
    settingsObjection(state.settings, proposal) !== undefined ||
    hasOutdatedMember(state, proposal) ||
    (state.absentTicks >= PATIENCE_TICKS && !areSameMembers(members, proposal.config.members));
  if (isOutdated) propose(state, draft, members, candidateId);
}

/** A member restarted with other labels or another address than were proposed. */
function hasOutdatedMember(state: BootstrapState, { config }: Proposal): boolean {
  return config.members.some((member) => {
    const now = member.id === state.settings.node.id ? state.settings.node : state.seen.get(member.id)?.member;
    return now !== undefined && !areSameMembers([now], [member]);
  });
}

function takeRequest(state: BootstrapState, draft: Draft, from: NodeId, request: BootstrapRequest): BootstrapReply {
  const { stage } = state.record;
  if (stage.kind === "member") {
    const isForeign =
      request.kind === "commit" && request.proposal.config.clusterId !== stage.proposal.config.clusterId;
    if (isForeign) complain(state, draft, from, "it committed a cluster that this node is no member of");
    return { kind: "member", proposal: stage.proposal };
  }
  if (request.kind === "offer") return takeOffer(state, draft, from, request.proposal);
  if (request.kind === "commit") return takeCommit(state, draft, from, request.proposal);
  return takeAsk(state, draft, request);
}

function takeOffer(state: BootstrapState, draft: Draft, from: NodeId, proposal: Proposal): BootstrapReply {
  const { stage } = state.record;
  const { clusterId } = proposal.config;
  if (from !== proposal.proposer) return refused("malformed", "only its proposer offers a proposal");
  if (stage.kind === "prepared") {
    const { proposer, config } = stage.proposal;
    if (config.clusterId === clusterId) return { kind: "promised", clusterId };
    const kept = proposer === from ? keptPromise(state, draft, stage.proposal, proposal) : undefined;
    if (kept !== undefined) return kept;
    const isYielding = proposer === state.settings.node.id && from < proposer;
    if (proposer !== from && !isYielding) {
      const isLower = from < proposer && (state.contender === undefined || from < state.contender);
      if (isLower) state.contender = from;
      return refused("promised_to_another", `promised to node ${proposer}`, { holder: proposer });
    }
  }
  const objection = objectionTo(state.settings, state.seen, proposal);
  if (objection !== undefined) {
    if (objection.reason === "settings_differ") complain(state, draft, from, objection.detail);
    return refused(objection.reason, objection.detail);
  }
  keep(state, draft, { stage: { kind: "prepared", proposal } });
  draft.logs.push({ level: "info", facts: { event: "bootstrap.promised", to: from, clusterId } });
  return { kind: "promised", clusterId };
}

/** Why another attempt of the same proposer does not end the promise to this one; undefined when it does. */
function keptPromise(
  state: BootstrapState,
  draft: Draft,
  promised: Proposal,
  offered: Proposal,
): BootstrapReply | undefined {
  const self = state.settings.node.id;
  const { proposer, attempt, lineage } = promised;
  if (offered.lineage === lineage) {
    if (offered.attempt > attempt) return undefined;
    return refused("stale_attempt", `node ${self} has promised attempt ${attempt}`, { attempt });
  }
  // Its record does not know the attempt that was promised, and cannot say that it is over.
  const detail =
    `node ${self} has promised attempt ${attempt} of node ${proposer}, which node ${proposer} no longer knows: was its ` +
    `data directory lost? If no node is a member yet, empty the data directory of node ${self} too`;
  complain(state, draft, proposer, detail);
  return refused("forgotten_attempt", detail, { attempt });
}

function takeCommit(state: BootstrapState, draft: Draft, from: NodeId, proposal: Proposal): BootstrapReply {
  const { stage } = state.record;
  if (stage.kind === "prepared" && stage.proposal.config.clusterId === proposal.config.clusterId) {
    becomeMember(state, draft, stage.proposal);
    return { kind: "member", proposal: stage.proposal };
  }
  const detail = `node ${state.settings.node.id} has no promise for this cluster: was its data directory lost?`;
  complain(state, draft, from, detail);
  return refused("not_prepared", detail);
}

function takeAsk(state: BootstrapState, draft: Draft, ask: Extract<BootstrapRequest, { kind: "ask" }>): BootstrapReply {
  const self = state.settings.node.id;
  const { stage } = state.record;
  const isCurrent = stage.kind === "prepared" && stage.proposal.config.clusterId === ask.clusterId;
  const isOwn = stage.kind === "prepared" && stage.proposal.proposer === self;
  if (isCurrent && isOwn && ask.contender !== undefined && ask.contender < self) {
    giveWay(state, draft, `node ${ask.contender} proposes first`);
    return { kind: "withdrawn", clusterId: ask.clusterId };
  }
  // Only a record that counted the attempt knows that it is over: one that lost its disk may have committed it.
  const isEnded = !isCurrent && ask.lineage === state.record.lineage && ask.attempt <= state.record.attempt;
  return isEnded ? { kind: "withdrawn", clusterId: ask.clusterId } : { kind: "pending" };
}

function takeReply(
  state: BootstrapState,
  draft: Draft,
  { from, request, reply }: Extract<BootstrapInput, { kind: "reply" }>,
): void {
  if (reply.kind === "member") {
    takeMemberReply(state, draft, from, reply.proposal);
    return;
  }
  const { stage } = state.record;
  if (stage.kind === "member") {
    if (reply.kind === "refused" && request.kind === "commit") complain(state, draft, from, reply.detail);
    return;
  }
  if (stage.kind === "empty") return;
  const { proposal } = stage;
  const isOwn = proposal.proposer === state.settings.node.id;
  if (reply.kind === "withdrawn") {
    const isOver =
      request.kind === "ask" && from === proposal.proposer && reply.clusterId === proposal.config.clusterId;
    if (isOver && !isOwn) release(state, draft, `node ${from} withdrew`);
  } else if (isOwn && request.kind === "offer" && request.proposal.config.clusterId === proposal.config.clusterId) {
    takeOfferReply(state, draft, from, reply);
  }
}

function takeOfferReply(state: BootstrapState, draft: Draft, from: NodeId, reply: BootstrapReply): void {
  if (reply.kind === "promised") {
    if (state.seen.has(from)) state.promised.add(from);
    state.objections.delete(from);
    commitIfPromised(state, draft);
    return;
  }
  if (reply.kind !== "refused") return;
  if (reply.reason === "settings_differ") complain(state, draft, from, reply.detail);
  else state.objections.set(from, reply.detail);
  const isBehind = reply.holder !== undefined && reply.holder < state.settings.node.id;
  if (isBehind) giveWay(state, draft, `node ${reply.holder} proposes first`);
}

/** Some node is a member: of what this node promised, or of a cluster without it. */
function takeMemberReply(state: BootstrapState, draft: Draft, from: NodeId, committed: Proposal): void {
  const { clusterId } = committed.config;
  const peer = state.seen.get(from);
  if (peer !== undefined) state.seen.set(from, { ...peer, clusterId });
  const { stage } = state.record;
  if (stage.kind === "empty") return;
  const isOurs = stage.proposal.config.clusterId === clusterId;
  if (stage.kind === "member") {
    if (isOurs) state.confirmed.add(from);
    return;
  }
  if (isOurs) becomeMember(state, draft, stage.proposal);
  else if (from === stage.proposal.proposer) release(state, draft, `node ${from} is a member of another cluster`);
}

function refused(
  reason: Extract<BootstrapReply, { kind: "refused" }>["reason"],
  detail: string,
  more: { readonly attempt?: number; readonly holder?: NodeId } = {},
): BootstrapReply {
  return { kind: "refused", reason, detail, attempt: 0, ...more };
}
