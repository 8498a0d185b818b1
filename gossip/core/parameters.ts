/**
 * How fast and how patiently members watch each other: profiles, their checks, and the formulas over the number of members.
 * Source: memberlist's formulas with the changes measured in gossip-ring notes §A.1, §A.6, §A.7.
 */
import assert from "node:assert/strict";

/** All numbers of the protocol; times in ms. */
export interface SwimParameters {
  /** one member is probed in each; stretched by the local health */
  readonly probeIntervalMs: number;
  /** how long a direct answer may take before helpers are asked */
  readonly probeTimeoutMs: number;
  readonly indirectCount: number;
  /** shortest suspicion = this · max(1, log10 n) · interval */
  readonly suspicionMultiplier: number;
  /** longest suspicion = this · shortest */
  readonly suspicionMaxMultiplier: number;
  /** more accusers than this do not shorten a suspicion further */
  readonly confirmationCap: number;
  readonly gossipIntervalMs: number;
  readonly gossipFanout: number;
  /** each rumor is sent at least this often */
  readonly retransmitFloor: number;
  readonly retransmitMultiplier: number;
  readonly gossipToDeadMs: number;
  /** local health is below this */
  readonly healthCeiling: number;
  /** a forced exchange of tables, for up to 32 members; more take longer */
  readonly syncIntervalMs: number;
  readonly recontactIntervalMs: number;
  readonly seedIntervalMs: number;
  /** how long dead and left members are remembered */
  readonly forgetAfterMs: number;
  readonly leaveLingerMs: number;
  /** a slower loop (p99) counts against the local health */
  readonly loopDelayLimitMs: number;
  /** how long in a row this process may abstain from verdicts because it was late */
  readonly abstainLimitMs: number;
  readonly queueCap: number;
  /** for the messages of one datagram, without its envelope */
  readonly datagramBytes: number;
}

/** Names of the profiles that a configuration may choose. */
export type ProfileName = "fast" | "steady" | "wan";

/**
 * Two numbers differ from the notes, by measurement (docs/MEMBERSHIP.md): at three members a suspicion has one possible further
 * accuser, so that a member that hears nobody decides alone: 10 instead of 8 outlast most of its trouble, and a real
 * crash, which two accuse, is found as soon as before. And 8 sends of a rumor at 64 members (4 for each digit of their number,
 * where we have 6) left somebody out of one update in a hundred for more than a second.
 */
const FAST: SwimParameters = {
  probeIntervalMs: 500,
  probeTimeoutMs: 200,
  indirectCount: 3,
  suspicionMultiplier: 6,
  suspicionMaxMultiplier: 10,
  confirmationCap: 3,
  gossipIntervalMs: 200,
  gossipFanout: 3,
  retransmitFloor: 8,
  retransmitMultiplier: 6,
  gossipToDeadMs: 30_000,
  healthCeiling: 8,
  syncIntervalMs: 60_000,
  recontactIntervalMs: 15_000,
  seedIntervalMs: 30_000,
  forgetAfterMs: 24 * 3_600_000,
  leaveLingerMs: 1000,
  loopDelayLimitMs: 100,
  abstainLimitMs: 10_000,
  queueCap: 4096,
  datagramBytes: 1353,
};

/** `fast` finds the dead soonest; `steady` forgives longer pauses (memberlist's LAN timers); `wan` is for far links. */
export const PROFILES: Readonly<Record<ProfileName, SwimParameters>> = {
  fast: FAST,
  steady: {
    ...FAST,
    probeIntervalMs: 1000,
    probeTimeoutMs: 450,
    suspicionMultiplier: 4,
    suspicionMaxMultiplier: 6,
    confirmationCap: 2,
  },
  wan: {
    ...FAST,
    probeIntervalMs: 5000,
    probeTimeoutMs: 2000,
    suspicionMaxMultiplier: 6,
    gossipIntervalMs: 500,
    gossipFanout: 4,
    gossipToDeadMs: 60_000,
  },
};

/** What is wrong with them, in words; undefined when nothing is. */
export function faultOf(parameters: SwimParameters): string | undefined {
  for (const [name, value] of Object.entries(parameters)) {
    if (!Number.isFinite(value) || value <= 0) return `${name} must be a positive number`;
  }
  // The helpers' nacks and the link's answer must fit between the timeout and the end of the interval.
  if (2 * parameters.probeTimeoutMs >= parameters.probeIntervalMs)
    return "twice probeTimeoutMs must be less than probeIntervalMs";
  if (parameters.suspicionMaxMultiplier < 1) return "suspicionMaxMultiplier must be at least 1";
  if (parameters.datagramBytes < 700) return "datagramBytes must hold one user message of 512 bytes: at least 700";
  return undefined;
}

/** The bounds of one suspicion among n members (this one included), and how many further accusers bring it to the shorter. */
export function suspicionBounds(
  parameters: SwimParameters,
  memberCount: number,
): { readonly shortestMs: number; readonly longestMs: number; readonly confirmations: number } {
  assert(memberCount >= 1);
  const scale = Math.max(1, Math.log10(memberCount));
  const shortestMs = Math.floor(parameters.suspicionMultiplier * scale * parameters.probeIntervalMs);
  return {
    shortestMs,
    longestMs: parameters.suspicionMaxMultiplier * shortestMs,
    confirmations: Math.max(0, Math.min(parameters.confirmationCap, memberCount - 2)),
  };
}

/** How often a rumor is sent among n members. */
export function retransmitLimit(parameters: SwimParameters, memberCount: number): number {
  const rounds = parameters.retransmitMultiplier * Math.ceil(Math.log10(memberCount + 1));
  return Math.max(parameters.retransmitFloor, rounds);
}

/** Between two forced exchanges of tables among n members, ms. */
export function syncIntervalMs(parameters: SwimParameters, memberCount: number): number {
  if (memberCount <= 32) return parameters.syncIntervalMs;
  return parameters.syncIntervalMs * (Math.ceil(Math.log2(memberCount) - 5) + 1);
}
