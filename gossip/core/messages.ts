/**
 * What members say to each other about who is alive, as values. The codec turns them into bytes. No code here.
 * Source: SWIM (Das et al. 2002), Lifeguard (Dadgar et al. 2018); state table and frames of the gossip-ring notes §A.4, §A.5.
 */

/** Which life of a member: compared generation first, then incarnation. Stored numbers only grow. */
export interface Life {
  /** u32: how often the member has started on its data, durable before its first datagram */
  readonly generation: number;
  /** u32: raised by the member alone, to refute */
  readonly incarnation: number;
}

/** What a member says of itself. */
export interface MemberFacts {
  /** 1 … 63 bytes of ASCII: the stable name */
  readonly nodeId: string;
  /** `host:port` with an IP literal (`[…]` around IPv6), UDP and TCP alike: where it is reached */
  readonly address: string;
  /** ≤ 16 bytes */
  readonly zone: string;
}

/** How well a member feels: travels in every ack. */
export interface Fitness {
  /** Lifeguard's local health: 0 (well) … 7 */
  readonly health: number;
  /** delay of the event loop, log2 of milliseconds, 0 … 255 */
  readonly loopLag: number;
  readonly isDiskWritable: boolean;
  /** it is slow, knows it, and asks to be asked last */
  readonly isDegraded: boolean;
}

/** What the application says of itself. */
export type OwnFitness = Pick<Fitness, "isDiskWritable" | "isDegraded">;

/** Numbers that tell whether two members know the same: a difference asks for an exchange over a link. */
export interface StateHashes {
  /** u32 over (nodeId, life, state) of all members known */
  readonly members: number;
  /** unsigned 64-bit, the application's: here the set of member records */
  readonly records: bigint;
}

/** One statement about a member, spread by piggyback. */
export type Rumor =
  | { readonly kind: "alive"; readonly life: Life; readonly facts: MemberFacts }
  | { readonly kind: "suspect" | "dead"; readonly nodeId: string; readonly life: Life; readonly from: string }
  /** said by the member itself, when it goes in peace */
  | { readonly kind: "left"; readonly nodeId: string; readonly life: Life };

/** One frame of a datagram. */
export type Message =
  /** the target answers, nobody else; an empty target is a greeting to an address: whoever is there answers */
  | { readonly kind: "ping"; readonly seq: number; readonly target: string; readonly hashes: StateHashes }
  /** passed on by a helper it still carries the target's hashes and fitness, under the seq of the ping-req */
  | { readonly kind: "ack"; readonly seq: number; readonly hashes: StateHashes; readonly fitness: Fitness }
  | {
      readonly kind: "ping-req";
      readonly seq: number;
      readonly target: string;
      readonly targetAddress: string;
      /** the helper's nack is due at 0.8 of it */
      readonly timeoutMs: number;
    }
  | { readonly kind: "nack"; readonly seq: number }
  /** our hashes differ: exchange tables with me over a link */
  | { readonly kind: "pull"; readonly what: "members" | "records" }
  | { readonly kind: "user"; readonly topic: number /** ≤ 512 bytes */; readonly bytes: Uint8Array }
  | Rumor;

/** Who sent a datagram, from its authenticated header: its life counts as an ALIVE of that life. */
export interface Sender {
  readonly nodeId: string;
  readonly life: Life;
  /** where the datagram came from, `host:port` */
  readonly address: string;
  /** u32 drawn at random by the process that sent it, from the envelope: two under one name and generation are two processes */
  readonly boot: number;
}

/** What this node believes of a member. */
export type MemberState = "alive" | "suspect" | "dead" | "left";

/** A member as others may see it. */
export interface Member {
  readonly facts: MemberFacts;
  readonly life: Life;
  readonly state: MemberState;
  /** monotonic ms since when it is in this state */
  readonly sinceMs: number;
  /** as it said last; undefined before its first ack */
  readonly fitness: Fitness | undefined;
  readonly recordsHash: bigint | undefined;
}

/** What happened, for whoever listens. */
export type GossipEvent =
  | { readonly kind: "join" | "update" | "suspect" | "dead" | "recover" | "left"; readonly member: Member }
  /** another process speaks under our name: this node must stop */
  | { readonly kind: "duplicate-identity"; readonly detail: string };
