/**
 * Capped placement: who holds which slot of which partition. For each slot the walk around the ring is followed to the
 * first member in a zone not used yet for the partition, then on a host not used yet, then any, that is below its cap
 * (c × its fair share). Zones come before caps: when every member of the best kind is full, the one with the most room
 * takes it anyway, so that two replicas never share a zone or host while others exist. (In no measured layout was a cap
 * passed.) Slot by slot over all partitions rather than partition by partition: about 0.3 % less movement at 16 members.
 * Stateless: equal members give equal slots on every node. Source: DESIGN §3; gossip-ring notes §B.3.
 */
import { fairShares } from "./fair-shares.ts";
import type { RingWalks } from "./ring-walk.ts";
import type { RingMember } from "./types.ts";

/** Up to this many members the hottest may hold 1.10 × its share; a large cluster's 1.25 × (less would move too much). */
const TIGHT_CAP_MEMBERS = 32;
const TIGHT_CAP = 1.1;
const LOOSE_CAP = 1.25;
/** Rounding of shares must not turn a whole number into the next. */
const ROUNDING = 1e-6;

/** The question: members sorted by position, and their walks. */
export interface PlacementQuestion {
  readonly members: readonly RingMember[];
  readonly walks: RingWalks;
  readonly partitionCount: number;
  readonly replicaCount: number;
  /** how far above its fair share a member may go, ≥ 1 */
  readonly capRatio: number;
}

/** `holders[p * placed + s]` is the index of the member that holds slot s of partition p. */
export interface SlotTable {
  /** slots given per partition: min(replicas, members) */
  readonly placed: number;
  readonly holders: Uint16Array;
}

/**
 * How far above the fair share a member may go, by the size of the cluster. Between the two ratios the cap in slots stands
 * still while shares shrink (33 to 36 members): a step there would take slots from where a full member's surplus had gone.
 */
export function capRatioOf(memberCount: number): number {
  return Math.min(LOOSE_CAP, Math.max(TIGHT_CAP, (TIGHT_CAP * memberCount) / TIGHT_CAP_MEMBERS));
}

/** The most slots that each member should hold, in the order of `members`; `capRatio` defaults to the rule by size. */
export function slotCaps(
  members: readonly RingMember[],
  partitionCount: number,
  replicaCount: number,
  capRatio: number = capRatioOf(members.length),
): Uint32Array {
  return Uint32Array.from(fairShares(members, partitionCount, replicaCount), (share) =>
    Math.max(Math.ceil(share - ROUNDING), Math.floor(capRatio * share + ROUNDING)),
  );
}

/** Gives every slot of every partition a holder. O(partitions × replicas × members) at worst, far less in practice. */
export function placeSlots(question: PlacementQuestion): SlotTable {
  const { members, partitionCount, replicaCount } = question;
  const placed = Math.min(replicaCount, members.length);
  const state: PlacementState = {
    question,
    placed,
    zones: labelNumbers(members.map((member) => member.zone)),
    hosts: labelNumbers(members.map((member) => JSON.stringify([member.zone, member.host]))),
    caps: slotCaps(members, partitionCount, replicaCount, question.capRatio),
    loads: new Uint32Array(members.length),
    holders: new Uint16Array(partitionCount * placed),
  };
  for (let slot = 0; slot < placed; slot += 1) {
    for (let partition = 0; partition < partitionCount; partition += 1) {
      const holder = chooseHolder(state, partition, slot);
      state.holders[partition * placed + slot] = holder;
      state.loads[holder] = (state.loads[holder] ?? 0) + 1;
    }
  }
  return { placed, holders: state.holders };
}

interface PlacementState {
  readonly question: PlacementQuestion;
  readonly placed: number;
  /** the zone and the host of each member, as numbers */
  readonly zones: Uint16Array;
  readonly hosts: Uint16Array;
  readonly caps: Uint32Array;
  readonly loads: Uint32Array;
  readonly holders: Uint16Array;
}

/** What a member would be to the partition, best first; `HELD` = it holds a slot of it already. */
const NEW_ZONE = 0;
const NEW_HOST = 1;
const SAME_HOST = 2;
const HELD = 3;

function chooseHolder(state: PlacementState, partition: number, slot: number): number {
  const { memberCount, order } = state.question.walks;
  const start = partition * memberCount;
  let withRoom = -1;
  let kindWithRoom = HELD;
  let any = -1;
  let kindOfAny = HELD;
  for (let step = 0; step < memberCount; step += 1) {
    const member = order[start + step] ?? 0;
    const kind = kindOf(state, partition * state.placed, slot, member);
    if (kind === HELD) continue;
    if (kind < kindWithRoom && fillOf(state, member) < 1) {
      if (kind === NEW_ZONE) return member;
      withRoom = member;
      kindWithRoom = kind;
    }
    if (kind < kindOfAny || (kind === kindOfAny && fillOf(state, member) < fillOf(state, any))) {
      any = member;
      kindOfAny = kind;
    }
  }
  return kindWithRoom <= kindOfAny ? withRoom : any;
}

function kindOf(state: PlacementState, start: number, slot: number, member: number): number {
  let kind = NEW_ZONE;
  for (let earlier = 0; earlier < slot; earlier += 1) {
    const holder = state.holders[start + earlier] ?? 0;
    if (holder === member) return HELD;
    if (state.hosts[holder] === state.hosts[member]) kind = SAME_HOST;
    else if (kind === NEW_ZONE && state.zones[holder] === state.zones[member]) kind = NEW_HOST;
  }
  return kind;
}

/** Load ÷ cap: 1 and above is full. */
function fillOf(state: PlacementState, member: number): number {
  return (state.loads[member] ?? 0) / (state.caps[member] ?? 1);
}

function labelNumbers(labels: readonly string[]): Uint16Array {
  const numbers = new Map<string, number>();
  return Uint16Array.from(labels, (label) => {
    const known = numbers.get(label);
    if (known !== undefined) return known;
    numbers.set(label, numbers.size);
    return numbers.size - 1;
  });
}
