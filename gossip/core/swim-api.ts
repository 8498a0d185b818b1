/**
 * What the SWIM core takes and gives, as values: the shell around it owns sockets, clocks and disks, and does what it is told. No code here.
 * Must never name a socket, a clock or a file. Source: the sans-I/O shape of foca; gossip-ring notes part C item 1.
 */
import type { GossipEvent, Life, Member, MemberFacts, MemberState, Message, OwnFitness, Sender } from "./messages.ts";
import type { SwimParameters } from "./parameters.ts";

/** Why two members should exchange what they know over a link: the table of SWIM, or the application's records. */
export type SyncTopic = "members" | "records";

/**
 * Something for the shell to do, in the order given. After `persist-generation` the core sends nothing by itself until the shell
 * has called `onGenerationDurable`, so no shell can break the rule that a generation is durable before its first datagram.
 */
export type Output =
  /** one datagram: all messages fit `parameters.datagramBytes` by `messageBytes`; `nodeId` is unknown for a seed's address */
  | {
      readonly kind: "send";
      readonly to: string;
      readonly nodeId: string | undefined;
      readonly messages: readonly Message[];
    }
  /** call `onTimer(id)` after this; ids are never used twice */
  | { readonly kind: "timer"; readonly id: number; readonly delayMs: number }
  /** the timer is not wanted any more; calling it all the same is harmless */
  | { readonly kind: "cancel-timer"; readonly id: number }
  /** call `onDecision(id)` after one turn of the loop, when what arrived meanwhile has been handed in */
  | { readonly kind: "decide-soon"; readonly id: number }
  | { readonly kind: "event"; readonly event: GossipEvent }
  /** a user message that a member sent or passed on; publish it again if it was news */
  | { readonly kind: "user"; readonly from: string; readonly topic: number; readonly bytes: Uint8Array }
  /** ask this member over a link whether it is there; answer with `onTcpPing(seq, ok)` */
  | { readonly kind: "tcp-ping"; readonly seq: number; readonly nodeId: string; readonly address: string }
  /** exchange tables (`table()` → `onTable`) or records with this member, both ways, over a link */
  | { readonly kind: "sync-with"; readonly nodeId: string; readonly address: string; readonly what: SyncTopic }
  /** someone remembers a later life of ours than ours: make this generation durable, then call `onGenerationDurable` */
  | { readonly kind: "persist-generation"; readonly generation: number; readonly why: "rolled back or wiped disk" }
  /** resolve the seeds' names and call `join` for every address */
  | { readonly kind: "re-resolve-seeds" }
  /** the farewell has been told to enough members: the shell may close */
  | { readonly kind: "leave-done" };

/** One line of the table that two members exchange over a link. */
export interface TableEntry {
  readonly facts: MemberFacts;
  readonly life: Life;
  readonly state: MemberState;
  /** for how long it has been so: tombstones are forgotten by everybody at about the same time. ms */
  readonly ageMs: number;
}

/** What the core needs to begin. */
export interface SwimOptions {
  readonly facts: MemberFacts;
  /** durable before the core is made: greater than that of every earlier start on this data */
  readonly generation: number;
  /** u32 drawn at random by this process: tells two processes under one name and generation apart; the same as in the envelope */
  readonly boot: number;
  readonly parameters: SwimParameters;
  /** uniform in [0, 1) */
  readonly random: () => number;
  /** true while the application says that the node belongs: a dead one that does is never forgotten */
  readonly isKept: (nodeId: string) => boolean;
}

/** What the application spreads by piggyback: newer bytes of one subject replace older ones that wait. */
export interface Publication {
  /** u8 */
  readonly topic: number;
  readonly subject: string;
  /** ≤ 512 bytes */
  readonly bytes: Uint8Array;
  /** "ring" goes before "user", both after news of membership */
  readonly priority: "ring" | "user";
}

/** What has happened inside so far, for metrics. */
export interface SwimCounters {
  probes: number;
  failedProbes: number;
  /** probes whose verdict was dropped, because this process itself was late */
  discardedProbes: number;
  indirectAcks: number;
  /** only the link answered: datagrams are lost on the way */
  tcpOnlyAcks: number;
  refutations: number;
  syncs: number;
  /** rumors dropped because the queue was full */
  droppedRumors: number;
}

/**
 * The core as its shell sees it. All times are monotonic ms and never go back. After each call, `drain()` gives what is to be done.
 * Nothing throws on anything that a member may say.
 */
export interface Swim {
  /** Begins probing and gossiping. Once. */
  start(nowMs: number): void;
  /** The messages of one authenticated datagram. */
  onMessages(sender: Sender, messages: readonly Message[], nowMs: number): void;
  /** A timer of `drain()` has run out. Timers cancelled or unknown are ignored. */
  onTimer(id: number, nowMs: number): void;
  /** One turn of the loop has passed since `decide-soon`. */
  onDecision(id: number, nowMs: number): void;
  onTcpPing(seq: number, ok: boolean, nowMs: number): void;
  /** The table of a member, from an exchange over a link. */
  onTable(peer: string, table: readonly TableEntry[], nowMs: number): void;
  onGenerationDurable(generation: number, nowMs: number): void;
  /** The system refused a datagram to this member (unreachable, not full): its probe goes on to helpers at once. */
  onSendFailed(nodeId: string, nowMs: number): void;
  /** Says hello to an address: a ping whose target is the empty name, which everyone answers. Own addresses do no harm. */
  join(address: string, nowMs: number): void;
  /** Says farewell; `leave-done` follows. Answers probes until the shell closes. */
  leave(nowMs: number): void;
  /** Unsigned 64 bits. */
  setRecordsHash(hash: bigint): void;
  /** p99 delay of the event loop in ms since the last call, and how the application fares. */
  setFitness(loopDelayMs: number, own: OwnFitness): void;
  publish(publication: Publication): void;
  /** What is to be done now, and forgets it. */
  drain(): readonly Output[];
  /** All members that are not forgotten, this one first. O(n). */
  members(): readonly Member[];
  member(nodeId: string): Member | undefined;
  /** What to send to a peer in an exchange over a link, this node first. O(n). */
  table(nowMs: number): readonly TableEntry[];
  /** Belongs into the header of every datagram sent. */
  readonly life: Life;
  /** u32 of the table; equal tables have equal hashes */
  readonly membersHash: number;
  /** Lifeguard's local health, 0 (well) … 7 */
  readonly health: number;
  readonly counters: Readonly<SwimCounters>;
}
