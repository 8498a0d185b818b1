/**
 * What the API needs of membership, declared here and satisfied by `node`: facts, dry runs, changes. Verdicts, words and
 * documents are made of them here. Types only: no code.
 */
import type { NodeId } from "../base/ids.ts";
import type { KeyName } from "../coordinator/contract.ts";

/** A member: what its record says, what gossip says of its liveness, what it still has to move. */
export interface ClusterMember {
  readonly node: NodeId;
  /** 16 hex digits; empty before the cluster is made */
  readonly memberKey: string;
  /** `waiting`: an empty node that is no member yet; `removed`: by an operator, whatever its record says */
  readonly status: "waiting" | "joining" | "normal" | "leaving" | "left" | "removed";
  readonly liveness: "alive" | "suspect" | "dead" | "left" | "unknown";
  /** for how long it has been so, as this node saw it */
  readonly sinceMs: number;
  /** as the member said last; undefined before it said anything */
  readonly fitness:
    | {
        readonly isDiskWritable: boolean;
        /** it is slow, and asks to be asked last */
        readonly isDegraded: boolean;
        readonly loopDelayMs: number;
        /** 0 (well) … 7 */
        readonly health: number;
      }
    | undefined;
  /** peer address */
  readonly address: string;
  readonly zone: string;
  readonly host: string;
  readonly weight: number;
  /** by its own record */
  readonly slotsHeld: number;
  /** in the target table */
  readonly slotsTarget: number;
  /** slots that it should hold and does not yet */
  readonly incoming: number;
  /** slots that it holds and should not any more */
  readonly outgoing: number;
  /** 16 hex digits of the set of records that it knows; undefined when it never said */
  readonly recordsHash: string | undefined;
}

/** One hand-over that this node takes part in. */
export interface ActiveMove {
  readonly partition: number;
  /** undefined until the donor has said which one it gives */
  readonly slot: number | undefined;
  /** undefined: the slot of a removed member is made anew from the other holders; or nobody is asked for it now */
  readonly from: NodeId | undefined;
  readonly to: NodeId;
  readonly phase: "waiting" | "copying" | "catching-up" | "sealed" | "verifying" | "minting";
  /** received by this node so far; undefined while nothing has come, and where it is the donor */
  readonly bytes: number | undefined;
  /** of the partition that are here by now; undefined as `bytes` is */
  readonly keys: number | undefined;
  /** why it does not go on, in words; undefined while it does */
  readonly stalled: string | undefined;
}

/** How far the ring is from its target: the counts from everyone's records, the rest as this node knows it. */
export interface MovesView {
  readonly partitionsLeft: number;
  readonly copiesLeft: number;
  /** received by this node in hand-overs, of late */
  readonly bytesPerSecond: number;
  /** at the pace of late; undefined while that is unknown */
  readonly etaSeconds: number | undefined;
  readonly active: readonly ActiveMove[];
}

/** A membership change that an operator asks for. `node` need not be the node asked. */
export type PlanChange =
  | { readonly kind: "join"; readonly node: NodeId }
  | { readonly kind: "leave"; readonly node: NodeId }
  /** `force`: although it is alive, or fewer sources are left than W asks for */
  | { readonly kind: "remove"; readonly node: NodeId; readonly force: boolean }
  | { readonly kind: "replace"; readonly node: NodeId; readonly with: NodeId; readonly force: boolean }
  | { readonly kind: "weight"; readonly node: NodeId; readonly weight: number }
  | { readonly kind: "zone"; readonly node: NodeId; readonly zone: string }
  | { readonly kind: "host"; readonly node: NodeId; readonly host: string };

/** All facts on the cluster that this node has, from memory. Verdict and words are made of them by the API. */
export interface ClusterStatus {
  readonly cluster: string;
  /** undefined before the cluster is made */
  readonly clusterId: string | undefined;
  readonly node: NodeId;
  /** what a node that is no member waits for, in words; undefined for a member */
  readonly waitingFor: string | undefined;
  readonly partitions: number;
  readonly replicas: number;
  /** 16 hex digits */
  readonly ringHash: string;
  /** 16 hex digits */
  readonly recordsHash: string;
  readonly members: readonly ClusterMember[];
  readonly moves: MovesView;
  /** of each partition, how many of its slots are held by nodes that can be reached; as long as Q */
  readonly reachableHolders: ArrayLike<number>;
  /** slots that nobody holds, and that are not on their way either (their holder was removed) */
  readonly vacant: readonly { readonly partition: number; readonly slot: number }[];
  /** what was planned here last and may still be committed */
  readonly pendingPlan:
    | { readonly planHash: string; readonly changes: readonly PlanChange[]; readonly ageMs: number }
    | undefined;
  /** what else is wrong here, in words: each makes the cluster `degraded` */
  readonly concerns: readonly string[];
  /** further facts by name: recovery, suspectPartitions, hints, anti-entropy */
  readonly details: Readonly<Record<string, unknown>>;
}

/** Who holds one partition. Index = slot in `owners`: the node that coordinators ask for that slot. */
export interface PartitionPlacement {
  readonly partition: number;
  readonly owners: readonly NodeId[];
  /** should hold a slot and do not yet */
  readonly pending: readonly NodeId[];
  /** hold a slot and should not any more */
  readonly departing: readonly NodeId[];
  readonly fallbacks: readonly NodeId[];
  /** slots that nobody holds now */
  readonly vacant: readonly number[];
}

/** A part of the ring. Before the cluster is made there are no partitions. */
export interface RingPage {
  readonly ringHash: string;
  /** Q */
  readonly partitionCount: number;
  /** ascending */
  readonly partitions: readonly PartitionPlacement[];
}

/** How the copies of a partition were healed, as this node alone knows it. */
export interface PartitionHealing {
  /** this node holds a replica of it; where it does not, it compares nothing, and knows of no comparison of others */
  readonly isHeldHere: boolean;
  /**
   * its other holders, with when this node last compared the partition with them to the end, ms since 1970; undefined: never in
   * this life, which says something only where it is held here
   */
  readonly verified: readonly { readonly node: NodeId; readonly atMs: number | undefined }[];
  /** why its old tombstones are not collected yet; undefined: none waits, or another node leads their collection */
  readonly tombstonesWaitFor: string | undefined;
}

/** Who holds one key. */
export type KeyPlacement = PartitionPlacement & { readonly ringHash: string; readonly healing: PartitionHealing };

/** What one member gains and loses by a plan. Bytes are estimates from what this node holds of the same partitions. */
export interface PlannedShare {
  readonly node: NodeId;
  readonly incoming: number;
  readonly outgoing: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** The ring before or after a plan. */
export interface PlannedRing {
  /** slots of the fullest member over its fair share, 1 = even */
  readonly maxOverFair: number;
  /** slots of the fullest member over the mean of all */
  readonly hottestOverMean: number;
  readonly slots: Readonly<Record<string, number>>;
  readonly zones: Readonly<Record<string, number>>;
  /** partitions whose owners lie in fewer zones than they could */
  readonly zoneViolations: number;
  /** `zonesUsed[k]` partitions have owners in k zones */
  readonly zonesUsed: readonly number[];
}

/** What changes would do; nothing has been done. */
export interface MembershipPlan {
  /** over the changes and all records: equal hashes, equal outcome */
  readonly planHash: string;
  readonly changes: readonly PlanChange[];
  readonly moves: readonly PlannedShare[];
  readonly bytes: number;
  readonly movedCopies: number;
  /** the fewest copies that any placement would have to move */
  readonly minimumCopies: number;
  readonly before: PlannedRing;
  readonly after: PlannedRing;
  /** in words; a plan with one of them is never committed */
  readonly refusals: readonly string[];
  readonly warnings: readonly string[];
}

/** A change cannot be looked at or made here and now. `isRetryable`: another node or a later try may do it. */
export interface ChangeFailed {
  readonly kind: "failed";
  readonly detail: string;
  /** `unknown`: some of it may have been done */
  readonly outcome: "not_applied" | "unknown";
  readonly isRetryable: boolean;
}

/** A rule of safety stands against the change; nothing was done. */
export interface ChangeRefused {
  readonly kind: "refused";
  /** in words, at least one */
  readonly refusals: readonly string[];
}

/** What planning answers. */
export type PlanAnswer = { readonly kind: "planned"; readonly plan: MembershipPlan } | ChangeFailed;

/** What committing answers. `plan_changed`: the records are not those of the plan; `unknown_plan`: not planned here. */
export type CommitAnswer =
  | { readonly kind: "committed"; readonly plan: MembershipPlan }
  | { readonly kind: "plan_changed" | "unknown_plan"; readonly detail: string }
  | ChangeRefused
  | ChangeFailed;

/** What aborting answers: who gives up joining (it will leave) or leaving (it stays). */
export type AbortAnswer =
  | {
      readonly kind: "aborted";
      readonly nodes: readonly { readonly node: NodeId; readonly status: ClusterMember["status"] }[];
    }
  | ChangeRefused
  | ChangeFailed;

/** What leaving answers: slots move from now on; the process runs until it holds none. */
export type LeaveAnswer = { readonly kind: "leaving"; readonly slotsHeld: number } | ChangeRefused | ChangeFailed;

/** Membership as the API sees it. The reads are from memory and never wait; the changes are durable when answered. */
export interface ClusterDoor {
  status(): ClusterStatus;
  /** the partitions `from … from + limit − 1`, as many of them as there are */
  ring(page: { readonly from: number; readonly limit: number }): RingPage;
  ringOf(name: KeyName): KeyPlacement;
  /** Dry run, with the records as this node knows them. The plan can be committed afterwards if `isKept` of its hash. */
  plan(changes: readonly PlanChange[], isKept: (planHash: string) => boolean): Promise<PlanAnswer>;
  /** Does what was planned here under this hash, if the same plan would still come out. */
  commit(planHash: string): Promise<CommitAnswer>;
  /** Takes back the join or leave of `node`, or all that are under way; slots already moved are moved back. */
  abort(node?: NodeId): Promise<AbortAnswer>;
  /** This node plans and commits its own leave. */
  leave(): Promise<LeaveAnswer>;
}
