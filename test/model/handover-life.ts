/** What the hand-over's world is made of: lives of disks, what they know and what they are doing; and where tests plant bugs. */
import type { NodeId } from "../../services/base/ids.ts";
import type { DonorCore } from "../../services/cluster/handover-donor-core.ts";
import type { HandoverReply, HandoverRequest } from "../../services/cluster/handover-messages.ts";
import type { MintCore } from "../../services/cluster/handover-mint-core.ts";
import type { OldCopyCore } from "../../services/cluster/handover-old-copy-core.ts";
import type { ReceiverCore } from "../../services/cluster/handover-receiver-core.ts";
import type {
  HandoverEffect,
  HandoverEvent,
  HandoverFacts,
  HandoverTimes,
} from "../../services/cluster/handover-steps.ts";
import { emptyLedger, type LedgerChange, type SlotLedger } from "../../services/cluster/slot-ledger.ts";
import type { MemberKey } from "../../services/placement/member-record.ts";

export const N = 3;
export const QUORUM = 2;
export const KEYS = 8;
export const LIVES = 24;

export type Status = "none" | "joining" | "normal" | "leaving" | "left";

/** What a node knows of a member. */
export interface Row {
  readonly version: number;
  readonly status: Status;
  readonly slots: Int8Array;
  /** whose place on the walk it has */
  readonly position: number;
}

export type Role = "donor" | "oldCopy" | "receiver" | "mint";
export interface Core {
  take(event: HandoverEvent, facts: HandoverFacts): readonly HandoverEffect[];
}
export interface Cores {
  readonly donor: DonorCore;
  readonly oldCopy: OldCopyCore;
  readonly receiver: ReceiverCore;
  readonly mint: MintCore;
}
export interface Attempt {
  readonly partition: number;
  readonly dirty: Map<number, number>;
  seq: number;
}
interface Commit {
  readonly changes: readonly LedgerChange[];
  readonly status: Status;
  readonly position: number;
}

/** What the tables of a node were made from, a little while ago. */
interface Seen {
  readonly rows: readonly (Row | undefined)[];
  readonly removed: ReadonlySet<number>;
}

/** One life of one disk. */
export interface Life {
  readonly index: number;
  readonly key: MemberKey;
  readonly nodeId: NodeId;
  isUp: boolean;
  /** so long it does nothing, and then all at once */
  pausedUntil: number;
  epoch: number;
  /** these three as issued */
  position: number;
  status: Status;
  ledger: SlotLedger;
  durable: { version: number; status: Status; position: number; ledger: SlotLedger };
  commits: Commit[];
  lastDue: number;
  drawnTx: number;
  rows: (Row | undefined)[];
  removed: Set<number>;
  table: Seen;
  isTableDue: boolean;
  met: Set<number>;
  readonly data: Int32Array[];
  /** partitions of which this disk may lack something; it does not, and nothing here finds that out */
  readonly suspect: Set<number>;
  held: Int8Array;
  isGateClosed: boolean[];
  writing: number[];
  gateWaiters: (() => void)[][];
  writeWaiters: (() => void)[][];
  attempts: Map<number, Attempt>;
  cores: Cores[];
}

/** What planted bugs may do to the world. */
export interface PlantedWorld {
  below(bound: number): number;
  life(index: number): Life;
  atNode(life: Life, delay: number, run: () => void): void;
  coresOf(life: Life, partition: number): Cores;
  feed(life: Life, partition: number, role: Role, event: HandoverEvent): void;
  serve(at: Life, request: HandoverRequest, reply: (reply: HandoverReply) => void): void;
  commit(life: Life, changes: readonly LedgerChange[], then: () => void): void;
  target(life: Life, partition: number): number[];
  registers(life: Life, partition: number): Int32Array;
  facts(life: Life, partition: number, role: Role | "answer"): HandoverFacts;
  /** To be called before a copy is taken away: is it the last one of something that was acknowledged? */
  judgeLoss(life: Life, partition: number): void;
}

/** Whose facts of what. */
export interface FactsOf {
  readonly world: PlantedWorld;
  readonly at: Life;
  readonly partition: number;
  readonly role: Role | "answer";
}

/** Where a test plants a bug: nothing in the cores changes. */
export interface Seams {
  readonly onRequest?: (world: PlantedWorld, at: Life, request: HandoverRequest) => HandoverRequest;
  readonly onReply?: (world: PlantedWorld, at: Life, request: HandoverRequest, reply: HandoverReply) => HandoverReply;
  /** false: the effect is not carried out, the seam has done something else */
  readonly onEffect?: (world: PlantedWorld, at: Life, partition: number, effect: HandoverEffect) => boolean;
  readonly onLearn?: (world: PlantedWorld, at: Life) => void;
  readonly facts?: (facts: HandoverFacts, of: FactsOf) => HandoverFacts;
  /** a removal of a copy that failed is tried again whatever has happened meanwhile */
  readonly isEmptiedRegardless?: boolean;
}

export interface WorldSettings {
  readonly seed: number;
  readonly partitions: number;
  readonly seams: Seams;
  readonly times: HandoverTimes;
  readonly sourceCount: number;
  /** coordinators leave removed members out when they decide; else minting is quiet for as long as an operation lasts */
  readonly isDiscounting: boolean;
  readonly lossRate: number;
  /** more is removed than the cluster can bear: reads may miss, but no copy is dropped that is the last one */
  readonly isBeyondBearing: boolean;
  /** neither splits nor pauses nor shy newcomers */
  readonly isGentle: boolean;
  /** 0 … 0.15 */
  readonly gossipRate: number;
  /** how often nodes come and go, 0 … 1 */
  readonly changeRate: number;
  /** the first members stay, and no others come */
  readonly isBackAndForth: boolean;
}

export interface Counts {
  transfers: number;
  mints: number;
  writes: number;
  reads: number;
  removals: number;
  crashes: number;
  joins: number;
  leaves: number;
  weighings: number;
  aborts: number;
  over: number;
  splits: number;
  pauses: number;
}

/** Nothing has happened yet. */
export function noCounts(): Counts {
  const changes = { removals: 0, crashes: 0, joins: 0, leaves: 0, weighings: 0, splits: 0, pauses: 0 };
  return { transfers: 0, mints: 0, writes: 0, reads: 0, ...changes, aborts: 0, over: 0 };
}

export const keyOf = (index: number): MemberKey => `${index}`.padStart(16, "0");
export const indexOf = (key: MemberKey): number => Number(key);

/** A disk that was never used. */
export function newLife(index: number, partitions: number): Life {
  const none = (): Int8Array => new Int8Array(partitions).fill(-1);
  return {
    index,
    key: keyOf(index),
    nodeId: `n${index}` as NodeId,
    isUp: false,
    pausedUntil: 0,
    epoch: 0,
    position: index,
    status: "none",
    ledger: emptyLedger(none()),
    durable: { version: 0, status: "none", position: index, ledger: emptyLedger(none()) },
    commits: [],
    lastDue: 0,
    drawnTx: 0,
    rows: Array.from({ length: LIVES }, () => undefined),
    removed: new Set(),
    table: { rows: [], removed: new Set() },
    isTableDue: false,
    met: new Set(),
    suspect: new Set(),
    data: Array.from({ length: partitions }, () => new Int32Array(KEYS)),
    held: none(),
    isGateClosed: [],
    writing: [],
    gateWaiters: [],
    writeWaiters: [],
    attempts: new Map(),
    cores: [],
  };
}

/** What a node says of itself: what is durable. */
export function rowOf(life: Life): Row {
  const { version, status, position, ledger } = life.durable;
  return { version, status, slots: ledger.slots.slice(), position };
}

/** Whether nothing keeps a node that leaves. */
export function isAtRest(life: Life): boolean {
  const { slots, staged, minting, released } = life.ledger;
  if (slots.some((slot) => slot !== -1) || staged.size > 0 || minting.size > 0) return false;
  return [...released.values()].every((one) => one.isSettled || life.removed.has(indexOf(one.to)));
}
