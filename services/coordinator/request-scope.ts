/** Where a request lives: its key's place, its bucket's settings, and the seats that may answer. Must never ask anyone. */
import type { BucketSettings } from "../base/bucket-settings.ts";
import type { NodeId } from "../base/ids.ts";
import type { Clock, Log } from "../base/ports.ts";
import type { Peers } from "../peers/messages.ts";
import { locate } from "../placement/partitioner.ts";
import type { PlacementTable, SlotHolder } from "../placement/types.ts";
import type { KeyLocation, LocalReplica, ReplicaRefusal } from "../replica/contract.ts";
import type { KeyName } from "./contract.ts";
import type { FanOutWindows } from "./fan-out.ts";
import type {
  BucketLookup,
  CollectedHistory,
  CoordinatorCounters,
  HandoffSink,
  KeyScan,
  Liveness,
  PlacementSource,
  RepairSink,
  Seat,
  StandInReplica,
} from "./needs.ts";
import type { PeerHealth } from "./peer-health.ts";
import type { HedgeBudget, ReplicaRanking } from "./replica-ranking-core.ts";
import type { Stagger } from "./stagger.ts";

/** The replica of this node, which may also know where a slot went that it held. */
export interface LocalOwner extends LocalReplica {
  /** why the partition is not served: `moved` with `facts.to`, or `not_owner`; undefined while a slot is held */
  refusalOf?(partition: number): ReplicaRefusal | undefined;
}

/** What the composition root hands to a coordinator. */
export interface CoordinatorParts {
  readonly self: NodeId;
  readonly clock: Clock;
  readonly placement: PlacementSource;
  readonly buckets: BucketLookup;
  readonly local: LocalOwner;
  readonly peers: Peers;
  readonly scan: KeyScan;
  readonly repairs: RepairSink;
  readonly handoff: HandoffSink;
  readonly log: Log;
  readonly collected: CollectedHistory;
  /** undefined: whoever can be reached is alive */
  readonly liveness?: Liveness;
  /** undefined: this node keeps no hints, and its requests never ask stand-ins */
  readonly fallback?: StandInReplica;
  /** this node turns requests away, or has them wait for room; undefined: it never does */
  readonly isShedding?: () => boolean;
}

/** The parts, and what all requests of one coordinator share. */
export interface CoordinatorRoom extends CoordinatorParts, FanOutWindows {
  readonly counters: CoordinatorCounters;
  readonly ranking: ReplicaRanking;
  readonly hedges: HedgeBudget;
  /** what writes may spend on owners that are slow, and nothing worse */
  readonly writeHedges: HedgeBudget;
  readonly seats: SeatCache;
  readonly stagger: Stagger;
}

/** One request's place. */
export interface RequestScope {
  readonly table: PlacementTable;
  readonly location: KeyLocation;
  /** `n` is capped at the cluster's N */
  readonly settings: BucketSettings;
  /** everyone who may answer, in slot order */
  readonly seats: readonly Seat[];
  /** this node's place among the seats, −1 when it holds none of the bucket's slots */
  readonly localIndex: number;
}

const NO_SEATS: readonly Seat[] = [];

interface CachedSeats {
  table: PlacementTable;
  readonly holders: readonly SlotHolder[];
  readonly seats: readonly Seat[];
}

/**
 * Seats by partition and n, so that no request makes its own. Tables come ten times a second while slots move, and mostly
 * differ in one partition: seats are made anew on demand, and only where the holders are other ones.
 */
export class SeatCache {
  readonly #byReplicaCount: CachedSeats[][] = [];

  /** The believed holders of the partition's slots 0 … n − 1; a slot that nobody is believed to hold is left out. */
  ownersOf(table: PlacementTable, partition: number, n: number): readonly Seat[] {
    const byPartition = (this.#byReplicaCount[n] ??= []);
    const cached = byPartition[partition];
    if (cached?.table === table) return cached.seats;
    const holders = table.ownersOf(partition);
    if (cached !== undefined && isSame(cached.holders, holders)) {
      cached.table = table;
      return cached.seats;
    }
    const seats: readonly Seat[] = holders
      .filter((holder) => holder.slot < n)
      .map(({ node, slot }) => ({ node, slot, role: "owner" }));
    byPartition[partition] = { table, holders, seats };
    return seats;
  }
}

function isSame(left: readonly SlotHolder[], right: readonly SlotHolder[]): boolean {
  if (left === right) return true;
  return (
    left.length === right.length &&
    left.every((holder, at) => holder.node === right[at]?.node && holder.slot === right[at]?.slot)
  );
}

/** The scope of a request for one key, or undefined before the cluster is made. */
export function scopeOf(room: CoordinatorRoom, name: KeyName): RequestScope | undefined {
  const table = room.placement.table();
  if (table === undefined) return undefined;
  const settings = cappedSettings(room.buckets.settingsOf(name.bucket), table.replicaCount);
  const location = locate(name, table.partitionCount);
  const owners = room.seats.ownersOf(table, location.partition, settings.n);
  const slot = room.local.slotOf(location.partition);
  // The table says who may own; only the node's own durable record says that it does.
  if (slot < 0 || slot >= settings.n) return { table, location, settings, seats: owners, localIndex: -1 };
  const inTable = onlySeatOf(owners, room.self, slot);
  if (inTable >= 0) return { table, location, settings, seats: owners, localIndex: inTable };
  const others = owners.filter((seat) => seat.node !== room.self);
  const seats: readonly Seat[] = [...others, { node: room.self, slot, role: "owner" }];
  return { table, location, settings, seats, localIndex: seats.length - 1 };
}

/**
 * The index of the node's seat if it is for this slot and the only one, −1 otherwise. A believed table may name a node
 * twice; this one has one seat, for what it holds, or it would call itself.
 */
function onlySeatOf(owners: readonly Seat[], node: NodeId, slot: number): number {
  let found = -1;
  for (let index = 0; index < owners.length; index += 1) {
    const seat = owners[index];
    if (seat?.node !== node) continue;
    if (found >= 0 || seat.slot !== slot) return -1;
    found = index;
  }
  return found;
}

/** Settings whose `n` the cluster can serve; the same object when it can already. */
export function cappedSettings(settings: BucketSettings, replicaCount: number): BucketSettings {
  return settings.n <= replicaCount ? settings : { ...settings, n: replicaCount };
}

/** How replicas are to be ordered. */
export interface Asking {
  /** monotonic */
  readonly nowMs: number;
  /** somebody in doubt may be asked first, to see whether it has recovered: only where another is asked beside it in time */
  readonly mayProbe: boolean;
}

/**
 * The order in which replicas are asked: this node (its digest and object cost no trip), then the reachable by latency,
 * then a local store that may have lost data, then those in doubt, then the others.
 */
export function askOrder(room: CoordinatorRoom, scope: RequestScope, asking: Asking): readonly Seat[] {
  const { seats, localIndex } = scope;
  const local = seats[localIndex];
  const { partition, key } = scope.location;
  const isWhole = !room.local.isSuspect(partition) && room.local.isHidden?.(partition, key) !== true;
  const isLocalFirst = local !== undefined && isWhole;
  const order: Seat[] = isLocalFirst ? [local] : [];
  const fixed = order.length;
  let others = NO_SEATS;
  for (let i = 0; i < seats.length; i += 1) {
    const seat = seats[i];
    if (seat === undefined || i === localIndex) continue;
    if (room.health.standingOf(seat.node, asking.nowMs) === "well") order.push(seat);
    else others = [...others, seat];
  }
  room.ranking.sort(order, fixed);
  if (local !== undefined && !isLocalFirst) order.push(local);
  if (others.length > 0) addOthers(room.health, { order, fixed, others }, asking);
  return order;
}

/** Adds those who are not well, the unreachable last; the one that is tried goes before all but this node. */
function addOthers(
  health: PeerHealth,
  seats: { readonly order: Seat[]; readonly fixed: number; readonly others: readonly Seat[] },
  { nowMs, mayProbe }: Asking,
): void {
  const { order, fixed, others } = seats;
  const isDoubtful = (seat: Seat): boolean => health.standingOf(seat.node, nowMs) === "doubtful";
  const doubtful = others.filter(isDoubtful);
  // By its latency it is the last, and would never be asked.
  const probe = mayProbe ? doubtful.find((seat) => health.takeProbe(seat.node, nowMs)) : undefined;
  if (probe !== undefined) order.splice(fixed, 0, probe);
  order.push(...doubtful.filter((seat) => seat !== probe), ...others.filter((seat) => !isDoubtful(seat)));
}
