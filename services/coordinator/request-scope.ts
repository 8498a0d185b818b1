/** Where a request lives: its key's place, its bucket's settings, and the seats that may answer. Must never ask anyone. */
import type { BucketSettings } from "../base/bucket-settings.ts";
import type { NodeId } from "../base/ids.ts";
import type { Clock, Log } from "../base/ports.ts";
import type { Peers } from "../peers/messages.ts";
import { locate } from "../placement/partitioner.ts";
import { ownersFor } from "../placement/preference-list.ts";
import type { PlacementTable } from "../placement/types.ts";
import type { KeyLocation, LocalReplica } from "../replica/contract.ts";
import type { KeyName } from "./contract.ts";
import type { FanOutWindows } from "./fan-out.ts";
import type {
  BucketLookup,
  CoordinatorCounters,
  HandoffSink,
  KeyScan,
  PlacementSource,
  RepairSink,
  Seat,
} from "./needs.ts";
import type { HedgeBudget, ReplicaRanking } from "./replica-ranking-core.ts";

/** What the composition root hands to a coordinator. */
export interface CoordinatorParts {
  readonly self: NodeId;
  readonly clock: Clock;
  readonly placement: PlacementSource;
  readonly buckets: BucketLookup;
  readonly local: LocalReplica;
  readonly peers: Peers;
  readonly scan: KeyScan;
  readonly repairs: RepairSink;
  readonly handoff: HandoffSink;
  readonly log: Log;
}

/** The parts, and what all requests of one coordinator share. */
export interface CoordinatorRoom extends CoordinatorParts, FanOutWindows {
  readonly counters: CoordinatorCounters;
  readonly ranking: ReplicaRanking;
  readonly hedges: HedgeBudget;
  readonly seats: SeatCache;
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

/** Seats by partition and n for the table in force, so that no request makes its own. */
export class SeatCache {
  #table: PlacementTable | undefined;
  #byReplicaCount: (readonly Seat[])[][] = [];

  /** The owners of the partition's slots 0 … n − 1. */
  ownersOf(table: PlacementTable, partition: number, n: number): readonly Seat[] {
    if (this.#table !== table) {
      this.#table = table;
      this.#byReplicaCount = [];
    }
    const byPartition = (this.#byReplicaCount[n] ??= []);
    return (byPartition[partition] ??= ownersFor(table, partition, n).map(({ node, slot }) => ({
      node,
      slot,
      role: "owner",
    })));
  }
}

/** The scope of a request for one key, or undefined before the cluster is made. */
export function scopeOf(room: CoordinatorRoom, name: KeyName): RequestScope | undefined {
  const table = room.placement.table();
  if (table === undefined) return undefined;
  const settings = cappedSettings(room.buckets.settingsOf(name.bucket), table.replicaCount);
  const location = locate(name, table.partitionCount);
  const owners = room.seats.ownersOf(table, location.partition, settings.n);
  const inTable = owners.findIndex((seat) => seat.node === room.self);
  const slot = room.local.slotOf(location.partition);
  const holds = slot >= 0 && slot < settings.n;
  // The table says who should own; only the node's own durable record says that it does.
  if (inTable >= 0 && holds) return { table, location, settings, seats: owners, localIndex: inTable };
  if (holds) {
    const seats: readonly Seat[] = [...owners, { node: room.self, slot, role: "owner" }];
    return { table, location, settings, seats, localIndex: seats.length - 1 };
  }
  const others = inTable < 0 ? owners : owners.filter((seat) => seat.node !== room.self);
  return { table, location, settings, seats: others, localIndex: -1 };
}

/** Settings whose `n` the cluster can serve; the same object when it can already. */
export function cappedSettings(settings: BucketSettings, replicaCount: number): BucketSettings {
  return settings.n <= replicaCount ? settings : { ...settings, n: replicaCount };
}

/**
 * The order in which a read asks: this node (its digest and object cost no trip), then the reachable by latency, then
 * the others. A local store that may have lost data goes behind the reachable ones: its word is taken last anyway.
 */
export function readOrder(room: CoordinatorRoom, scope: RequestScope): readonly Seat[] {
  const { seats, localIndex } = scope;
  const local = seats[localIndex];
  const isLocalFirst = local !== undefined && !room.local.isSuspect(scope.location.partition);
  const order: Seat[] = isLocalFirst ? [local] : [];
  const fixed = order.length;
  let unreachable = NO_SEATS;
  for (let i = 0; i < seats.length; i += 1) {
    const seat = seats[i];
    if (seat === undefined || i === localIndex) continue;
    if (room.peers.isReachable(seat.node)) order.push(seat);
    else unreachable = [...unreachable, seat];
  }
  room.ranking.sort(order, fixed);
  if (room.ranking.isTimeToExplore()) swap(order, fixed);
  if (local !== undefined && !isLocalFirst) order.push(local);
  return unreachable.length === 0 ? order : [...order, ...unreachable];
}

function swap(order: Seat[], at: number): void {
  const [first, second] = [order[at], order[at + 1]];
  if (first === undefined || second === undefined) return;
  order[at] = second;
  order[at + 1] = first;
}
