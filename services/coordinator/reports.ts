/** Who did what in a request, for `explain` and for the reasons in an error. Built only then: never on the fast path. */
import type { NodeId } from "../base/ids.ts";
import type { Explain, ReplicaReport } from "./contract.ts";
import type { FanOut } from "./fan-out.ts";
import type { Seat } from "./needs.ts";
import type { ReadVoter } from "./read-voter-core.ts";
import type { CoordinatorRoom, RequestScope } from "./request-scope.ts";
import type { WriteParty } from "./write-party-core.ts";

/** 16 hex digits of an unsigned 64-bit number. */
export function hex64(value: bigint): string {
  return value.toString(16).padStart(16, "0");
}

/** The part of each replica in a read. */
export function readReports(
  scope: RequestScope,
  voters: readonly ReadVoter[],
  fanOut: FanOut,
): readonly ReplicaReport[] {
  return voters.map((voter, index) =>
    reportOf(scope, voter.seat, {
      slot: voter.slot,
      asked: voter.question,
      answer: readAnswerOf(voter),
      digest: isInDoubt(voter) ? undefined : voter.digest,
      askedAfterMs: fanOut.askedAfterMs(index),
      latencyMs: fanOut.tookMs(index),
    }),
  );
}

/** The part of each replica in a write. */
export function writeReports(
  scope: RequestScope,
  parties: readonly WriteParty[],
  fanOut: FanOut,
): readonly ReplicaReport[] {
  return parties.map((party, index) =>
    reportOf(scope, party.seat, {
      slot: party.slot,
      asked: party.state === "idle" ? "nothing" : "store",
      answer: writeAnswerOf(party),
      digest: party.digest,
      askedAfterMs: fanOut.askedAfterMs(index),
      latencyMs: fanOut.tookMs(index),
      isHint: party.state === "stored" && party.seat.role === "fallback",
    }),
  );
}

/** A replica that was not asked, and why. */
export function unaskedReport(scope: RequestScope, seat: Seat, answer: string): ReplicaReport {
  return reportOf(scope, seat, {
    slot: seat.slot,
    asked: "nothing",
    answer,
    digest: undefined,
    askedAfterMs: undefined,
    latencyMs: undefined,
  });
}

/** An owner that was asked to coordinate in our place. */
export function forwardReport(
  scope: RequestScope,
  seat: Seat,
  heard: Pick<Heard, "answer" | "askedAfterMs" | "latencyMs">,
): ReplicaReport {
  return reportOf(scope, seat, { slot: seat.slot, asked: "store", digest: undefined, ...heard });
}

/** The document that `explain=true` adds. */
export function explainOf(
  room: CoordinatorRoom,
  scope: RequestScope,
  what: {
    readonly replicas: readonly ReplicaReport[];
    readonly repaired: readonly NodeId[];
    readonly isHedged: boolean;
  },
): Explain {
  return {
    partition: scope.location.partition,
    ringHash: hex64(scope.table.ringHash),
    coordinator: room.self,
    replicas: what.replicas,
    repaired: what.repaired,
    hedged: what.isHedged,
  };
}

interface Heard {
  readonly slot: number;
  readonly asked: ReplicaReport["asked"];
  readonly answer: string;
  readonly digest: bigint | undefined;
  readonly askedAfterMs: number | undefined;
  readonly latencyMs: number | undefined;
  /** the version is among its hints now, durably */
  readonly isHint?: boolean;
}

function reportOf(scope: RequestScope, seat: Seat, heard: Heard): ReplicaReport {
  return {
    node: seat.node,
    role: seat.role,
    slot: heard.slot,
    zone: scope.table.zoneOf(seat.node),
    asked: heard.asked,
    answer: heard.answer,
    ...(heard.digest === undefined ? {} : { digest: hex64(heard.digest) }),
    ...(heard.askedAfterMs === undefined ? {} : { askedAfterMs: toMicros(heard.askedAfterMs) }),
    ...(heard.latencyMs === undefined ? {} : { latencyMs: toMicros(heard.latencyMs) }),
    hint: heard.isHint === true,
  };
}

/** Milliseconds, rounded to microseconds. */
function toMicros(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}

function readAnswerOf(voter: ReadVoter): string {
  if (voter.state === "idle") return "not_asked";
  if (voter.state === "asked") return "pending";
  if (voter.state !== "answered") return voter.reason;
  return isInDoubt(voter) ? "in_doubt" : "ok";
}

/** It named no version: what it holds is hidden for now, or it lacks the key and may have lost it. That is no absence, and no digest 0. */
function isInDoubt({ state, isSuspect, digest }: ReadVoter): boolean {
  return state === "answered" && isSuspect && digest === 0n;
}

function writeAnswerOf(party: WriteParty): string {
  if (party.state === "asked") return "pending";
  if (party.state === "stored") return "ok";
  return party.state === "idle" && party.reason === "" ? "not_asked" : party.reason;
}
